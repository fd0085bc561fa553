/* How different two pictures look: by what a network sees in them, place by place.
 *
 * After Zhang et al. 2018 (arXiv:1801.03924, LPIPS): at seven depths of SqueezeNet, the values at each
 * place are brought to length 1, and the squares of the differences are summed over channels and
 * averaged over places; the depths add up. Differs: all channels weigh 1, none are learned from people, and
 * the network is ours (squeezenet.h), so that figures compare with none but those of this program.
 * 0: alike; independent pictures are at about 1.
 */
#ifndef TOOLS_EVAL_PERCEPTUAL_H
#define TOOLS_EVAL_PERCEPTUAL_H

#include <stdint.h>

struct device;
struct error;
struct perceptual;
struct pool;
struct watch;

/* weights: file; NULL: those that come with softdiff. side: of the pictures, px. As extractor_create(). */
int perceptual_create(struct device *device, struct pool *pool, const char *weights, int side,
                      struct perceptual **out, struct error *err);
void perceptual_destroy(struct perceptual *p);

/* a, b [n,side,side,3] RGB -> out [n], the distance of each of a from that of b. watch may be NULL.
 * 0, -ECANCELED, -ENOMEM or -EIO. Thread: one at a time. */
int perceptual_compare(struct perceptual *p, int n, const uint8_t *a, const uint8_t *b,
                       const struct watch *watch, double *out, struct error *err);

#endif
