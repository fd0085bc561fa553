#include "api/pictures/raster.h"

#include <stdlib.h>

int raster_channels(const struct raster *r)
{
    static const int colors[] = {[RASTER_GREY] = 1, [RASTER_RGB] = 3, [RASTER_CMYK] = 4};

    return colors[r->model] + r->alpha;
}

void raster_fini(struct raster *r)
{
    free(r->samples);
    free(r->icc);
    *r = (struct raster){0};
}
