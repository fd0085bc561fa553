/* The weights and tables of a program as constants of an ONNX graph. */
#ifndef TOOLS_CONVERT_ONNX_CONSTANTS_H
#define TOOLS_CONVERT_ONNX_CONSTANTS_H

struct error;
struct onnx;
struct onnx_constants;
struct parameters;
struct value;

/* How the numbers lie. */
enum onnx_layout {
    ONNX_AS_IS,
    ONNX_TRANSPOSED,        /* [a,b] as [b,a] */
    ONNX_WINDOW,            /* [a,b] as [a,b,1,1] */
    ONNX_WINDOW_TRANSPOSED, /* [a,b] as [b,a,1,1] */
    ONNX_IMAGES,            /* [n,h,w,c] or [h,w,c] as [n,c,h,w] */
};

/* Each once. All is borrowed. weights: in the order of parameters, whose tables have been written.
 * 0 or -ENOMEM. */
int onnx_constants_create(struct onnx *o, struct parameters *parameters, const float *weights,
                          struct onnx_constants **out, struct error *err);
void onnx_constants_destroy(struct onnx_constants *c);

/* A parameter or table of a program: *out is its number in the graph. 0, -EINVAL (no such one),
 * -ENOMEM or -EIO. */
int onnx_constants_find(struct onnx_constants *c, const struct value *v, enum onnx_layout layout,
                        int *out, struct error *err);

#endif
