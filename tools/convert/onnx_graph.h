/* A graph in the Open Neural Network Exchange format, written node by node.
 *
 * Source: the specification that onnx.ai publishes: IR version 8, operators of version 18.
 * Values are numbers >= 0, as in engine/program.h, and are called by them in the file, but for what
 * goes in and out. Lack of memory is told when the file is written.
 *
 * Constants belong to the whole graph; a body, what a Loop runs, sees all values outside of it.
 * Thread: one at a time.
 */
#ifndef TOOLS_CONVERT_ONNX_GRAPH_H
#define TOOLS_CONVERT_ONNX_GRAPH_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct onnx;

/* TensorProto.DataType. */
enum onnx_type {
    ONNX_FLOAT = 1,
    ONNX_UINT8 = 2,
    ONNX_INT64 = 7,
    ONNX_BOOL = 9,
    ONNX_UINT64 = 13,
};

/* Attributes of a node end with an empty one. A list of length 0 is the number alone. */
struct onnx_attribute {
    const char *name; /* NULL: the end */
    int n;            /* of ints; 0: integer, -1: number, -2: text */
    const int64_t *ints;
    int64_t integer;
    float number;
    const char *text;
};

#define ONNX_INTEGER(name, value)         \
    {                                     \
        (name), 0, NULL, (value), 0, NULL \
    }
#define ONNX_NUMBER(name, value)           \
    {                                      \
        (name), -1, NULL, 0, (value), NULL \
    }
#define ONNX_INTEGERS(name, n, values)    \
    {                                     \
        (name), (n), (values), 0, 0, NULL \
    }
#define ONNX_TEXT(name, value)          \
    {                                   \
        (name), -2, NULL, 0, 0, (value) \
    }

int onnx_create(struct onnx **out, struct error *err); /* 0 or -ENOMEM */
void onnx_destroy(struct onnx *o);

/* An input of the graph, or of the body that is open: dims -1 are the number of images. */
int onnx_input(struct onnx *o, const char *name, enum onnx_type type, int n_dims, const int *dims);
/* Makes a value an output under a name, likewise. */
void onnx_output(struct onnx *o, int value, const char *name, enum onnx_type type, int n_dims,
                 const int *dims);

/* Constants. */
int onnx_floats(struct onnx *o, int n_dims, const int *dims, const float *values);
int onnx_integers(struct onnx *o, int n, const int64_t *values); /* a list */
int onnx_integer(struct onnx *o, int64_t value);                 /* a scalar */
int onnx_number(struct onnx *o, float value);                    /* a scalar */

/* Appends an operation with one output, which it returns. inputs: -1 is one that is left out.
 * attributes: NULL for none. */
int onnx_node(struct onnx *o, const char *type, int n_inputs, const int *inputs,
              const struct onnx_attribute *attributes);
int onnx_1(struct onnx *o, const char *type, int a); /* the same, of one, two or three inputs */
int onnx_2(struct onnx *o, const char *type, int a, int b);
int onnx_3(struct onnx *o, const char *type, int a, int b, int c);
/* As another shape; a 0 is the dimension that it was. */
int onnx_reshape(struct onnx *o, int x, int n, const int64_t *dims);
int onnx_transpose(struct onnx *o, int x, int n, const int64_t *order);
int onnx_cast(struct onnx *o, int x, enum onnx_type type);

/* What is appended now goes into a body, until it is ended. One at a time. */
void onnx_body_begin(struct onnx *o);
/* Ends it, and has a Loop run it `rounds` (a value) times: inputs and outputs of the body are as
 * Loop's are, with n values carried from `first[i]` on. out: [n] what they are at last. */
void onnx_body_end(struct onnx *o, int rounds, int n, const int *first, int *out);

/* Says something of the whole: a key and a text. */
void onnx_property(struct onnx *o, const char *key, const char *text);

/* Writes the file, replacing one that is there. 0, -ENOMEM, -EFBIG (beyond what the format can hold),
 * or -errno of the system. */
int onnx_write(struct onnx *o, const char *path, const char *name, struct error *err);

#endif
