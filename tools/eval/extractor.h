/* Pictures to features, on a device, with the network of squeezenet.h in float32.
 *
 * Pictures smaller than 128 px are enlarged to that first: the network was trained on larger ones.
 * Thread: one at a time.
 */
#ifndef TOOLS_EVAL_EXTRACTOR_H
#define TOOLS_EVAL_EXTRACTOR_H

#include <stdint.h>

struct device;
struct error;
struct pool;
struct watch;
struct extractor;

/* network: file of the weights. side: of the pictures, px. device is borrowed and must outlive it.
 * 0, -EINVAL (a weight is missing or of another shape, a side out of 1 .. 1024), -ENOMEM, -EIO or
 * -errno of the file. */
int extractor_create(struct device *device, struct pool *pool, const char *network, int side,
                     struct extractor **out, struct error *err);
void extractor_destroy(struct extractor *e);

int extractor_side(const struct extractor *e);

/* pixels [n,side,side,3] RGB -> out [n,SQUEEZENET_FEATURES]. A picture's features do not depend on
 * those beside it. watch: told of the pictures, may be NULL. 0, -ECANCELED, -ENOMEM or -EIO. */
int extractor_compute(struct extractor *e, int n, const uint8_t *pixels, const struct watch *watch,
                      float *out, struct error *err);

#endif
