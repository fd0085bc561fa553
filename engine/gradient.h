/* Differentiation, from program to program.
 *
 * gradient_append() appends to p the operations of the vector-Jacobian product
 *     d_x = (d y / d x)^T dy    for each x of `wrt`.
 * One rule per kind of operation, in engine/gradient.c. Batched values used several times get the
 * sum of their gradients. The gradient of a parameter is an unbatched sum over the images: it can be
 * an output of a plan but not an input of further operations, so a parameter that is differentiated
 * may be used by one operation only.
 *
 * y, dy      a value and its cotangent, of one shape and type
 * wrt        n values: inputs, parameters or anything between
 * gradients  out: for each the gradient value, or -1 where y does not depend on it, or only through
 *            what is held constant: time embeddings, noise, masks, coefficients, operators
 *
 * Returns 0, or -EINVAL naming an operation that has no derivative (slices, and what this function
 * appends itself: there are no second derivatives), or the program's first error.
 */
#ifndef ENGINE_GRADIENT_H
#define ENGINE_GRADIENT_H

struct error;
struct program;

int gradient_append(struct program *p, int y, int dy, int n, const int *wrt, int *gradients,
                    struct error *err);

#endif
