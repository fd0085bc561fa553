/* Restoration: what a generator has to be asked for so that its samples agree with a picture that has
 * been blurred, has noise or is known in part.
 *
 * The observed picture is y = A x_0 + s eta. Where it is what the model's own corruption makes of x_0,
 * it is a state of the path x_t = C_t x_0 + sigma_t eta (Daras et al. 2023, arXiv:2209.05442, Eq. 4)
 * but for some noise: with t* the time at which C_t* = A,
 *     x_t* = y + sqrt(sigma_t*^2 - s^2) eta
 * is a draw of x_t* given x_0, and a sampler that starts there draws x_0 given x_t*.
 *     blur    t*: where the level of blur or blur-dct is the std
 *     noise   t*: where C_t = a_t I, in the noise phase of a blur or a mask and of noise, vp, subvp and
 *             fade always, and sigma_t = a_t s; x_t* = a_t* y
 *     mask    none: C_t is never the user's mask; starts at x_1
 * A blur of a model that undoes something else starts at x_1, too. Asked to start at another time t,
 *     x_t = C_t y + sqrt(max(sigma_t^2 - a_t^2 s^2, 0)) eta
 * (Meng et al. 2022, SDEdit, arXiv:2108.01073), where for blurs C_t is what the level has beyond the
 * blur that is there: Gaussians add up by their variances. Pixels behind a mask are the mean of the
 * others then. At t = 1 it is x_1, at 0 the picture itself comes back.
 * (a_t is 0 where C_t is not a_t I.) On the way every prediction is led to y with the weight `consistency` (model/step.h; Wang et al.
 * 2022, DDNM, arXiv:2212.00490), which for a noisy picture would draw its noise and is 0 by default.
 *
 * Edges: a blurred photograph does not grow dark towards its edges, the paper's zero-padded blur does. The
 * picture is taken for one whose weights beyond the edge are left out, y = (A x_0) / (A 1), and
 * multiplied by A 1 again where A is zero-padded.
 */
#ifndef MODEL_RESTORATION_H
#define MODEL_RESTORATION_H

#include "model/sampler.h"

#include <stdint.h>

struct error;
struct formulation;
struct generator_task;
struct restoration;

enum degradation { DEGRADATION_BLUR, DEGRADATION_NOISE, DEGRADATION_MASK, DEGRADATIONS };

const char *degradation_name(enum degradation d); /* "blur", "noise", "mask" */
int degradation_parse(const char *name, enum degradation *out, struct error *err); /* or -EINVAL */

/* The largest std that has a time t* above, 0: none has; negative: there is no t*, and any std will do. */
double restoration_std_max(const struct formulation *f, enum degradation d);

/* The time t* above, else 1. 0, or -EDOM: the model undoes no blur or noise of this std; the text says
 * up to which. */
int restoration_time(const struct formulation *f, enum degradation d, double std, double *out,
                     struct error *err);

/* The std of a picture's blur (px) or noise, of the spectrum: that for which the powers of its cosine
 * transform are the likeliest, if those of pictures fall with a power of the frequency
 * (restoration_estimate.c). picture: [side,side,channels] in [0,1]. 0 or -ENOMEM. */
int restoration_estimate(enum degradation d, int side, int channels, const float *picture,
                         double *out, struct error *err);

struct restoration_options {
    enum degradation degradation;
    double std;           /* > 0, of blur in px, of noise where white is 1 */
    const float *picture; /* [h,w,c] in [0,1] */
    const float *mask;    /* [h,w] of DEGRADATION_MASK: 1 where it is known, else 0 */
    double time;          /* to start at, [0, 1]; negative: t* */
    double consistency;   /* [0, 1]; negative: the default */
    enum sampler sampler;
    int nfe;
};

/* What the options came to. */
struct restoration_choice {
    double time, consistency;
    int nfe; /* as wanted, but 1 at time 0 */
};

/* f is borrowed, pictures are copied. 0, -EDOM as restoration_time(), -EINVAL as
 * sampler_table_from(), -ENOMEM. */
int restoration_create(const struct formulation *f, const struct restoration_options *options,
                       struct restoration **out, struct error *err);
void restoration_destroy(struct restoration *r);
void restoration_chosen(const struct restoration *r, struct restoration_choice *out);

/* Makes a task with a seed one that restores. What it points to stays until the next call.
 * Thread: one at a time. */
void restoration_lead(struct restoration *r, struct generator_task *task);

/* Makes an image that came of it agree with a blurred picture once more: generation ends with one step
 * towards y, which leaves what the blur has made faint far from it. More of them follow,
 *     x <- x + g A^T (y - A x)
 * (Landweber's iteration: what the blur has left is brought to y, what it has wiped out stays as it was
 * drawn), RESTORATION_STEPS, which leave noise of y below four times what it was. Others stay as
 * they are. pixels: [side,side,channels], in place. 0 or -ENOMEM. Thread: any, several at a time. */
enum { RESTORATION_STEPS = 32 };
int restoration_finish(const struct restoration *r, uint8_t *pixels);

#endif
