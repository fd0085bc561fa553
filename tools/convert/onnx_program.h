/* A program of engine/ as operations of an ONNX graph.
 *
 * Images [n,h,w,c] become [n,c,h,w], what runtimes of that format expect; vectors stay [n,c]. A value
 * may have one image where the graph has n, as all that is the same for all: it is broadcast. Numbers
 * of every type are float32.
 */
#ifndef TOOLS_CONVERT_ONNX_PROGRAM_H
#define TOOLS_CONVERT_ONNX_PROGRAM_H

struct error;
struct onnx;
struct onnx_constants;
struct onnx_key;
struct program;

/* Appends all operations of p. values: [program_n_values(p)], where those of inputs are what stands for
 * them in the graph, -1 for what is not read; the rest is filled. key: what noise is drawn from, whose
 * weights are taken to be 1 and 0.
 * 0, -ENOTSUP (an operation that has no translation; the text names it), -ENOMEM or -EIO. */
int onnx_append_program(struct onnx *o, const struct program *p, struct onnx_constants *constants,
                        const struct onnx_key *key, int *values, struct error *err);

/* Images [n,c,h,w] as pictures, rows of pixels [n,h,w,c]: UINT8, 255 for 1 and beyond. */
int onnx_pixels(struct onnx *o, int x);

#endif
