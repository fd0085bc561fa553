/* The operations of tensor programs: what each computes, in one place.
 *
 * A value is a dense tensor. Activations are batched: [n,h,w,c] in memory order (NHWC), or
 * [n,c] and [n,k] for vectors; the batch dimension n is open in a program and fixed in a plan.
 * Parameters and constants are unbatched and keep the layout of the reference checkpoints
 * (convolutions [o,i,kh,kw], Linear [o,i], NIN [i,o]).
 *
 * Image i of a batched output depends on image i of the batched inputs only. An unbatched output
 * of an operation with batched inputs (the gradient of a parameter) is a sum over the images.
 *
 * engine/reference/ is the definition in code; other devices are held to it.
 * Sources: the network of Soft Diffusion is NCSN++ of yang-song/score_sde_pytorch (cb1f359),
 * models/layerspp.py, models/up_or_down_sampling.py, op/upfirdn2d.py.
 */
#ifndef ENGINE_OP_H
#define ENGINE_OP_H

#include "engine/tensor.h"

#include <stdbool.h>
#include <stdint.h>

struct error;
struct signature;

/* What a value holds. */
enum value_type {
    VALUE_EXACT,   /* float32 in every precision: state, statistics, embeddings, loss */
    VALUE_COMPUTE, /* the plan's precision: float32, bfloat16 or float16 */
    VALUE_KEY,     /* uint32: [n,4], a struct philox_key per image; [n,1], its slot in a state */
    VALUE_PIXEL,   /* uint8, 0 .. 255 */
};

/* compute: what values of VALUE_COMPUTE are. */
enum dtype value_dtype(enum value_type type, enum dtype compute);

enum { OP_INPUTS_MAX = 8, OP_OUTPUTS_MAX = 4 };

/* Inputs -> outputs. Optional inputs are marked ?. E: exact, C: compute, K: key, a: exact or
 * compute, all a of an operation alike, f: the same, each for itself, P: an exact, unbatched
 * parameter, S: a whole state, all its slots where it is batched. Gradients marked "sum" are exact and unbatched. engine/op.c has the same as a table. */
enum op_kind {
    /* x:C [n,h,w,i], weight:P [o,i,k,k], bias:P? [o] -> y:f [n,h',w',o]
     * Cross-correlation, zero padding, k in {1, 3}, stride in {1, 2}. attributes: window. */
    OP_CONVOLUTION,
    /* x:C, weight:P, bias:P?, residual:C [n,h',w',o] -> y:C = (convolution + bias + residual)
     * add.scale. attributes: window. Made by engine/passes.h; not differentiated. */
    OP_CONVOLUTION_ADD,
    /* x:C [n,h,w,i], weight:P [o,i/groups,kh,kw], bias:P? [o] -> y:f [n,h',w',o]
     * Cross-correlation, kh and kw in 1 .. 7, each side padded with fewer zeros than the window is long
     * there, stride in {1, 2}; output channel j reads the i / groups channels of x from those of group
     * j groups / o on. attributes: general. Of feature networks: not differentiated. */
    OP_CONVOLUTION_GENERAL,
    /* dy:C [n,h',w',o], weight:P -> dx:C [n,h,w,i] */
    OP_CONVOLUTION_GRAD_DATA,
    /* x:C, dy:C -> dweight [o,i,k,k] sum, dbias [o] sum */
    OP_CONVOLUTION_GRAD_WEIGHT,

    /* x:a [n,...,i], weight:P, bias:P? [o] -> y:a [n,...,o], x and y of one type. The weight of
     * exact values may also be a constant input.
     * y = x W^T + b with W [o,i], or y = x W + b with W [i,o] when linear.in_first. */
    OP_LINEAR,
    /* dy [n,...,o], weight:P -> dx [n,...,i] */
    OP_LINEAR_GRAD_DATA,
    /* x [n,...,i], dy [n,...,o] -> dweight sum (layout by linear.in_first), dbias [o] sum */
    OP_LINEAR_GRAD_WEIGHT,

    /* x:C [n,h,w,c], gamma:P [c], beta:P [c], shift:E? [n,c] -> y:C [n,h,w,c],
     * stats:E [n,2,groups] (means, then 1/sqrt(variance + eps)).
     * u = x + shift; u' = (u - mean) rstd gamma + beta with mean and biased variance over
     * (h, w, c/groups); y = u' or SiLU(u') = u' / (1 + exp(-u')) when group_norm.silu. */
    OP_GROUP_NORM,
    /* x, gamma, beta, stats, dy:C, shift? -> dx:C, dgamma sum, dbeta sum, dshift:E [n,c] (only
     * with shift: the sum of dx over h, w before rounding) */
    OP_GROUP_NORM_GRAD,

    /* x:a -> y = x / (1 + exp(-x)) of the same type */
    OP_SILU,
    /* x, dy -> dx */
    OP_SILU_GRAD,
    /* x:a -> y = min(max(x, 0), relu.top) of the same type; NaN stays NaN. top > 0: INFINITY, or 6 of
     * ReLU6. Not differentiated. */
    OP_RELU,

    /* x:a [n,h,w,c] -> y:a [n,h',w',c] of the same type: per channel the largest of every k x k
     * window that lies in the image, k in {2, 3}, stride in {1, 2}. h' = (h - k) / stride + 1,
     * w' likewise. attributes: window. Not differentiated. */
    OP_MAX_POOL,
    /* x:a [n,h,w,c] -> y:E [n,c], per channel the mean over h, w. Not differentiated. */
    OP_MEAN_POOL,
    /* x:a [n,h,w,c] -> y:a [n,h,w,c] of the same type: per channel the mean of those of the 3 x 3 places
     * around each that lie in the image. Not differentiated. */
    OP_AVERAGE_POOL,

    /* x:a [n,h,w,c], bias:P? [c] -> y:a [n,h',w',c]. Per channel: put x on a grid `up` times as
     * dense (zeros between), pad with zeros (negative pads crop), convolve (true convolution: kernel
     * flipped) with the 4x4 kernel, keep every `down`-th sample, add bias. Not differentiated with a
     * bias, which engine/passes.h brings in.
     * h' = (h up + pad[0] + pad[1] - 4) / down + 1, w' likewise with pad[2], pad[3]. */
    OP_UPFIRDN,

    /* a, b [n,h,w,ca], [n,h,w,cb] -> y [n,h,w,ca+cb], one type */
    OP_CONCAT,
    /* x [n,h,w,c] -> y [n,h,w,slice.count], channels slice.first .. */
    OP_SLICE,

    /* q, k, v:C [n,h,w,c] -> o:C [n,h,w,c], p:C [n,hw,hw]
     * p_ij = softmax_j(attention.scale q_i . k_j) over all positions, o_i = sum_j p_ij v_j.
     * The softmax is computed in float32. */
    OP_ATTENTION,
    /* q, k, v, p, do -> dq, dk, dv */
    OP_ATTENTION_GRAD,

    /* time_cond:E [n,1], W:E [nf] -> y:E [n,2nf] = [sin a, cos a], a = log(time_cond) W 2 pi.
     * Rounded as the reference does: fl(fl(fl(u W) 2) fl(pi)) in float32. Not differentiated. */
    OP_FOURIER,
    /* time_cond:E [n,1] -> y:E [n,dim] = [sin(t f), cos(t f)],
     * f_j = exp(-j ln(10000) / (dim/2 - 1)), dim even and >= 4. The exponent's factor, the
     * exponent, f_j and t f_j are each rounded to float32. Not differentiated. */
    OP_POSITIONAL,

    /* a, b of one shape and type -> y = (a + b) add.scale */
    OP_ADD,
    /* x:f -> y:f = x affine.scale + affine.shift. Types may differ: this is also the cast. */
    OP_AFFINE,
    /* coefficients:E [n,k], x_0 .. x_{m-1}:f of one shape -> y:f,
     * y = sum_j coefficients[:, mix.first + j] x_j, accumulated in float32.
     * Differentiated with respect to x_j only. */
    OP_MIX,
    /* x:a [n,h,w,c], m:f [n,h,w,c] or [n,h,w,1] -> y = x m of x's type.
     * Differentiated with respect to x only. */
    OP_MULTIPLY,

    /* x:E [n,h,w,c], a:E [n?,h',h], b:E [n?,w',w] -> y:E [n,h',w',c] = a X b^T per channel;
     * with separable.transposed, x is [n,h',w',c] and y [n,h,w,c] = a^T X b.
     * Accumulated in float32 or better. Differentiated with respect to x only. */
    OP_SEPARABLE,

    /* x:E [n,h,w,c], a:E [n,h], b:E? [n,w], gate:E? [n,1] -> y:E [n,h,w,c] = A X B per channel with the
     * symmetric matrices A_ij = a[|i - j|], and B likewise from b; without b, where h = w, B is A.
     * toeplitz.reflect: the ends are mirrors, A_ij = a[|i - j|] + a[i + j + 1] with a[n] = 0 and
     * a[k] = a[2 n - k] for k > n. Where an image's gate is 0, y is 0 and nothing is computed.
     * Accumulated in float32 or better. Differentiated with respect to x only. */
    OP_TOEPLITZ,
    /* x:E [n,h,w,c], table:E [k,h,w,c] or [k,h,w,1], place:E [n,2] -> y:E = x ((1 - f) table[i] +
     * f table[i + 1]) with i = place[0], a whole number in 0 .. k - 2, and f = place[1] in [0, 1],
     * rounded after each operation. Differentiated with respect to x only. */
    OP_MULTIPLY_TABLE,
    /* x:E [n,h,w,c], rank:E [h,w,1], level:E [n,2] -> y:E = x m, m = (level[0] - rank) + level[1] cut
     * to [0, 1]: level[0] a whole number, level[1] the rest. Differentiated with respect to x only. */
    OP_MULTIPLY_RANK,
    /* x:E [n,s,s,c], coefficients:E [n,c m (m + 1) / 2], basis:E [s,m] -> y:E = x + V K V^T per
     * channel, V the basis and K_ij for i + j < m from the coefficients (channel by channel, then i,
     * then j). Each product and sum is rounded. Not differentiated. */
    OP_MODES,
    /* table:E [r,...], index:E? [n,1] -> y:E [n,...], row `index` of the table, 0 without. Differentiated
     * with respect to the table. */
    OP_LOOKUP,
    /* index:E [n,1], dy:E [n,...] -> dtable [r,...] sum; r is slice.count */
    OP_LOOKUP_GRAD,
    /* x:E -> y, bytes = round(255 x) for x cut to [0, 1]; NaN gives 0. Not differentiated. */
    OP_PIXELS,

    /* key:K [n,4], weights:E? [n,2], other:K? [n,4] -> y:E [n,h,w,c], standard normals as
     * philox_normals(key, draw.stream); with the optional ones, weights[0] of these plus weights[1] of
     * the other key's. A weight of 0 leaves its term out. */
    OP_NORMAL,
    /* key:K [n,4] -> m:C [n,h,w,c]: 0 where the uniform of the element is < draw.rate,
     * 1 / (1 - draw.rate) elsewhere */
    OP_DROPOUT_MASK,

    /* x:E [n,h,w,c], weight:E [n,1] -> y:E [n,1] = weight / 2 sum x^2. Differentiated with
     * respect to x only. */
    OP_HALF_SQUARE,
    /* x, weight, dy:E [n,1] -> dx:E = weight dy x */
    OP_HALF_SQUARE_GRAD,

    /* state:S, slot:K [n,1] -> y:E, the tensor in the slot of each image; 0 where that is SLOT_NONE. Not
     * differentiated. */
    OP_LOAD,
    /* x:E, slot:K [n,1] -> state:S, in which the slot of each image then holds its x; the x of SLOT_NONE
     * goes nowhere */
    OP_STORE,
    /* dx: a parameter's gradient, of the images of a chunk -> sum [k], to whose elements from
     * slice.first on it is added: an unbatched state, or what an executor clears before a run */
    OP_SUM,

    /* The optimiser, on flat arrays of all weights. `numbers` are an unbatched input. Where the norm is
     * not finite the update is neutral. */
    /* x:S [k] -> norm:E [1] = sqrt(sum x^2), summed in double */
    OP_NORM,
    /* weights, m, v, gradient:S [k], norm:E [1], numbers:E [8] -> the four states, in place. With numbers
     * clip, b1, b2, 1 - b1, 1 - b2, step, root, eps: g = gradient min(1, clip / (norm + 1e-6)), or
     * gradient where clip is 0; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
     * weights -= step m / (sqrt(v) / root + eps); gradient = 0. */
    OP_ADAM,
    /* average:S [k], weights:S [k], norm:E [1], numbers:E [j] -> average:S in place:
     * average += numbers[slice.first] (weights - average) */
    OP_AVERAGE,

    OP_KINDS /* how many there are */
};

/* The numbers that go with an operation; which member is read depends on the kind. */
struct op_attributes {
    struct {
        int stride; /* 1 or 2 */
        int pad;    /* zeros on each side, 0 or 1 */
        int in[2];  /* h, w of x: OP_CONVOLUTION_GRAD_DATA needs them for stride 2 */
        int side;   /* k: OP_CONVOLUTION_GRAD_WEIGHT and OP_MAX_POOL need it */
    } window;
    struct {
        int stride; /* 1 or 2 */
        int pad[4]; /* zeros above, below, left, right */
        int groups;
    } general;
    struct {
        bool in_first; /* W is [i,o] (NIN) instead of [o,i] */
    } linear;
    struct {
        int groups;
        float eps;
        bool silu;
    } group_norm;
    struct {
        float top;
    } relu;
    struct {
        float kernel[16]; /* 4x4, row major */
        int up, down;     /* 1 or 2 */
        int pad[4];       /* top, bottom, left, right */
    } upfirdn;
    struct {
        int first, count;
    } slice; /* of OP_SUM and OP_AVERAGE: first; of OP_LOOKUP_GRAD: count */
    struct {
        float scale;
    } attention, add; /* add: also of OP_CONVOLUTION_ADD */
    struct {
        float scale, shift;
    } affine;
    struct {
        int first;
    } mix;
    struct {
        bool transposed;
    } separable;
    struct {
        bool reflect;
    } toeplitz;
    struct {
        uint32_t stream; /* enum philox_stream and up */
        float rate;      /* OP_DROPOUT_MASK: in [0, 1) */
    } draw;
};

/* An operation on concrete tensors, in the order above: what a kernel is made from. */
struct kernel_spec {
    enum op_kind kind;
    struct op_attributes attributes;
    int n_inputs, n_outputs;
    struct tensor_desc inputs[OP_INPUTS_MAX];
    struct tensor_desc outputs[OP_OUTPUTS_MAX];
    const char *algorithm; /* one of device_algorithms(); NULL: as the device's choices have it */
};

/* What programs, plans and gradients ask about an operation. */
struct op_info {
    const char *name;       /* "convolution", "group_norm_grad", ...; for messages */
    const char *signature;  /* see engine/signature.h */
    const char *transposed; /* the same with linear.in_first or separable.transposed */
    /* Checks attributes, and binds letters of outputs that follow from them. Optional.
     * 0 or -EINVAL. */
    int (*rule)(const struct kernel_spec *spec, struct signature *s, struct error *err);
    /* Bit j: input j is held constant where a loss is differentiated; no gradient leaves by it. */
    unsigned constant;
    /* An element of the output depends on the same element of inputs of its shape and dtype, so that
     * it may be written in the place of one. */
    bool elementwise;
    const char *products; /* multiply-adds of an image as a product of letters; NULL: few */
};

extern const struct op_info op_info[OP_KINDS];

const char *op_name(enum op_kind kind);

/* Whether tensors and attributes are what engine/op.c says. float32 tensors stand for exact values
 * and, where none is of 16 bits, for compute ones. 0, or -EINVAL naming what does not fit. */
int op_check(const struct kernel_spec *spec, struct error *err);

/* The same of a spec whose outputs are still to come: gives all that are missing or have no
 * dimensions their shapes and dtypes. What is left open is taken from the spec: the shapes of
 * OP_NORMAL, OP_DROPOUT_MASK, OP_POSITIONAL, and dtypes marked f. compute: dtype of values
 * marked C. */
int op_infer(struct kernel_spec *spec, enum dtype compute, struct error *err);

/* Multiply-adds of one image of a spec that fits; 0 where they are not what counts. */
double op_products(const struct kernel_spec *spec);

#endif
