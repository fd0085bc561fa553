/* Pictures to features, on a device, with a network of feature_network.h in float32.
 *
 * Pictures are first brought to a side that the network is for.
 * Thread: one at a time.
 */
#ifndef TOOLS_EVAL_EXTRACTOR_H
#define TOOLS_EVAL_EXTRACTOR_H

#include "tools/eval/feature_resize.h"

#include <stdbool.h>
#include <stdint.h>

enum { EXTRACTOR_BATCH = 32, EXTRACTOR_WEIGHTS = 17 };

struct device;
struct error;
struct feature_network;
struct pool;
struct shape;
struct watch;
struct extractor;

struct extractor_options {
    const struct feature_network *network; /* borrowed, must outlive the extractor */
    const char *weights;                   /* file; NULL: that of feature_network_path() */
    enum feature_resize resize;            /* of pictures to the network's size */
    int side;                              /* of the pictures, px */
};

/* device is borrowed and must outlive it.
 * 0, -EINVAL (a weight is missing or of another shape, a side out of 1 .. 1024), -ENOMEM, -EIO or
 * -errno of the file. */
int extractor_create(struct device *device, struct pool *pool,
                     const struct extractor_options *options, struct extractor **out,
                     struct error *err);
void extractor_destroy(struct extractor *e);

/* The same for the maps of the network, which has some, instead of its features. */
int extractor_create_maps(struct device *device, struct pool *pool,
                          const struct extractor_options *options, struct extractor **out,
                          struct error *err);
const struct shape *extractor_map_shape(const struct extractor *e, int map); /* [h,w,c] */
/* pixels of at most EXTRACTOR_BATCH pictures -> out[map]: [n,h,w,c]. As extractor_compute(). */
int extractor_compute_maps(struct extractor *e, int n, const uint8_t *pixels, float *const *out,
                           struct error *err);

int extractor_side(const struct extractor *e);
const struct feature_network *extractor_network(const struct extractor *e);
enum feature_resize extractor_resize(const struct extractor *e); /* never FEATURE_RESIZE_OWN */
/* 16 digits of the SHA-256 of the network's weights. */
const char *extractor_weights(const struct extractor *e);
/* Whether the weights are marked as those that published figures are measured with. */
bool extractor_is_published(const struct extractor *e);

/* pixels [n,side,side,3] RGB -> out [n,n_features of the network]. A picture's features do not depend on
 * those beside it. watch: told of the pictures, may be NULL. 0, -ECANCELED, -ENOMEM or -EIO. */
int extractor_compute(struct extractor *e, int n, const uint8_t *pixels, const struct watch *watch,
                      float *out, struct error *err);

#endif
