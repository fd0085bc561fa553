#include "api/pictures/srgb.h"
#include "api/pictures/raster.h"
#include "engine/base/error.h"
#include "engine/base/retreat.h"

#include <errno.h>
#include <lcms2.h>
#include <lcms2_plugin.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Light of a sample by other laws than these would be a mistake of the file. */
#define GAMMA_MIN 0.1
#define GAMMA_MAX 10.0

enum { GRID = 6, RAMP = 256, PROBES = GRID * GRID * GRID + RAMP, PLAIN_OFF_MAX = 1 };

/* A grey picture with a profile of three colours: its grey as three. */
static int expand_grey(struct raster *r, struct error *err)
{
    size_t n = (size_t)r->w * (size_t)r->h, bytes = (size_t)(r->depth / 8);
    size_t from = bytes * (size_t)(1 + r->alpha), to = bytes * (size_t)(3 + r->alpha);
    uint8_t *wide = malloc(n * to);

    if (!wide)
        return error_set(err, -ENOMEM, "out of memory for a picture of %dx%d", r->w, r->h);
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < 3; c++)
            memcpy(wide + i * to + c * bytes, r->samples + i * from, bytes);
        memcpy(wide + i * to + 3 * bytes, r->samples + i * from + bytes, from - bytes);
    }
    free(r->samples);
    r->samples = wide;
    r->model = RASTER_RGB;
    return 0;
}

static uint8_t sample_8(const struct raster *r, const uint8_t *samples, size_t i)
{
    uint16_t deep;

    if (r->depth == 8)
        return samples[i];
    memcpy(&deep, samples + 2 * i, sizeof(deep));
    return (uint8_t)((deep * 255u + 32895u) >> 16); /* the nearest of 256 */
}

/* Channels of the result of n pixels. */
static int result_channels(const struct raster *r, bool transformed)
{
    return (r->model == RASTER_GREY && !transformed ? 1 : 3) + r->alpha;
}

/* Without a profile: out [n,result_channels]. */
static void convert_plain(const struct raster *r, const uint8_t *samples, size_t n, uint8_t *out)
{
    size_t channels = (size_t)raster_channels(r);

    if (r->model != RASTER_CMYK) {
        for (size_t i = 0; i < n * channels; i++)
            out[i] = sample_8(r, samples, i);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < 3; c++)
            out[3 * i + c] = (uint8_t)((samples[4 * i + c] * samples[4 * i + 3] + 127) / 255);
    }
}

/* What the file says, or NULL: sRGB, or nothing that can be used. */
static cmsHPROFILE open_profile(const struct raster *r)
{
    const struct raster_colors *c = &r->colors;
    const double *p = c->primaries;
    const cmsCIExyY white = {c->white[0], c->white[1], 1};
    const cmsCIExyYTRIPLE primaries = {{p[0], p[1], 1}, {p[2], p[3], 1}, {p[4], p[5], 1}};
    cmsToneCurve *curve, *curves[3];
    cmsHPROFILE profile = NULL;

    if (r->icc)
        return cmsOpenProfileFromMem(r->icc, (cmsUInt32Number)r->icc_size);
    if (!c->given || !(c->curve[0] > GAMMA_MIN && c->curve[0] < GAMMA_MAX))
        return NULL;
    curve = cmsBuildParametricToneCurve(NULL, 4, c->curve);
    curves[0] = curves[1] = curves[2] = curve;
    if (curve && r->model == RASTER_RGB)
        profile = cmsCreateRGBProfile(&white, &primaries, curves);
    else if (curve)
        profile = cmsCreateGrayProfile(&white, curve);
    cmsFreeToneCurve(curve);
    return profile;
}

static cmsUInt32Number format_of(const struct raster *r)
{
    static const cmsUInt32Number spaces[] = {
        [RASTER_GREY] = COLORSPACE_SH(PT_GRAY) | CHANNELS_SH(1),
        [RASTER_RGB] = COLORSPACE_SH(PT_RGB) | CHANNELS_SH(3),
        [RASTER_CMYK] = COLORSPACE_SH(PT_CMYK) | CHANNELS_SH(4) | FLAVOR_SH(1),
    };

    return spaces[r->model] | BYTES_SH((cmsUInt32Number)r->depth / 8) |
           EXTRA_SH((cmsUInt32Number)r->alpha);
}

/* NULL: the profile is of other colours, or broken. */
static cmsHTRANSFORM create_transform(const struct raster *r, cmsHPROFILE profile)
{
    static const cmsColorSpaceSignature spaces[] = {
        [RASTER_GREY] = cmsSigGrayData,
        [RASTER_RGB] = cmsSigRgbData,
        [RASTER_CMYK] = cmsSigCmykData,
    };
    cmsHPROFILE srgb;
    cmsHTRANSFORM transform;

    if (cmsGetColorSpace(profile) != spaces[r->model])
        return NULL;
    srgb = cmsCreate_sRGBProfile();
    if (!srgb)
        return NULL;
    /* For 16 bits Little CMS would replace the profile by a table of 33^3 colours, which is off by
     * several of 256 where colours are cut off. */
    transform = cmsCreateTransform(profile, format_of(r), srgb, r->alpha ? TYPE_RGBA_8 : TYPE_RGB_8,
                                   INTENT_PERCEPTUAL,
                                   (r->alpha ? cmsFLAGS_COPY_ALPHA : 0) |
                                       (r->depth == 16 ? cmsFLAGS_NOOPTIMIZE : 0));
    cmsCloseProfile(srgb);
    return transform;
}

/* Whether a transform leaves numbers as they are, but for rounding: of colours all over the space
 * and of all greys. */
static bool changes_nothing(const struct raster *r, cmsHTRANSFORM transform)
{
    int channels = raster_channels(r), n_out = result_channels(r, true);
    int n_plain = result_channels(r, false);
    uint8_t in[PROBES * 4 * 2], out[PROBES * 4], plain[PROBES * 4];

    if (r->model == RASTER_CMYK)
        return false;
    for (int i = 0; i < PROBES; i++) {
        for (int c = 0; c < channels; c++) {
            static const int powers[4] = {1, GRID, GRID * GRID, 0};
            int place = c == 3 || i < RAMP ? 0 : (i - RAMP) / powers[c] % GRID;
            uint8_t value = (uint8_t)(i < RAMP ? i : place * 255 / (GRID - 1));

            memset(in + (i * channels + c) * r->depth / 8, value, (size_t)r->depth / 8);
        }
    }
    cmsDoTransform(transform, in, out, PROBES);
    convert_plain(r, in, PROBES, plain);
    for (int i = 0; i < PROBES; i++) {
        for (int c = 0; c < 3; c++) {
            int off = out[i * n_out + c] - plain[i * n_plain + (n_plain < 3 ? 0 : c)];

            if (abs(off) > PLAIN_OFF_MAX)
                return false;
        }
    }
    return true;
}

/* Memory for the library (engine/base/retreat.h). */

static void *allocate(cmsContext context, cmsUInt32Number size)
{
    return retreat_alloc(size);
}

static void *reallocate(cmsContext context, void *old, cmsUInt32Number size)
{
    return retreat_realloc(old, size);
}

static void release(cmsContext context, void *p)
{
    retreat_free(p);
}

static void begin_library(void)
{
    static cmsPluginMemHandler memory = {
        .base = {.Magic = cmsPluginMagicNumber,
                 .ExpectedVersion = 2000,
                 .Type = cmsPluginMemHandlerSig},
        .MallocPtr = allocate,
        .FreePtr = release,
        .ReallocPtr = reallocate,
    };

    cmsPlugin(&memory);
}

struct choice {
    struct raster *r;
    struct error *err;
    cmsHTRANSFORM transform; /* that the file asks for; NULL: none */
    int rc;
};

static void choose_transform(void *arg)
{
    struct choice *c = arg;
    struct raster *r = c->r;
    cmsHPROFILE profile = open_profile(r);

    if (!profile)
        return;
    if (r->model == RASTER_GREY && cmsGetColorSpace(profile) == cmsSigRgbData)
        c->rc = expand_grey(r, c->err);
    if (c->rc == 0)
        c->transform = create_transform(r, profile);
    cmsCloseProfile(profile);
    if (c->transform && changes_nothing(r, c->transform)) {
        cmsDeleteTransform(c->transform);
        c->transform = NULL;
    }
}

static int convert(struct raster *r, cmsHTRANSFORM transform, struct error *err)
{
    size_t w = (size_t)r->w, h = (size_t)r->h;
    size_t from = w * (size_t)raster_channels(r) * (size_t)(r->depth / 8);
    size_t channels = (size_t)result_channels(r, transform != NULL);
    uint8_t *out = malloc(w * h * channels);

    if (!out)
        return error_set(err, -ENOMEM, "out of memory for a picture of %dx%d", r->w, r->h);
    for (size_t y = 0; y < h; y++) {
        const uint8_t *row = r->samples + y * from;

        if (transform)
            cmsDoTransform(transform, row, out + y * w * channels, (cmsUInt32Number)w);
        else
            convert_plain(r, row, w, out + y * w * channels);
    }
    free(r->samples);
    r->samples = out;
    r->depth = 8;
    r->model = channels >= 3 ? RASTER_RGB : RASTER_GREY;
    return 0;
}

int srgb_convert(struct raster *r, struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct choice c = {.r = r, .err = err};
    int rc = 0;

    if (r->icc || r->colors.given) {
        pthread_once(&once, begin_library);
        if (retreat_run(choose_transform, &c) < 0)
            return error_set(err, -ENOMEM, "out of memory for the colours of a picture");
        rc = c.rc;
    }
    if (rc == 0 && (c.transform || r->depth != 8 || r->model == RASTER_CMYK))
        rc = convert(r, c.transform, err);
    if (c.transform)
        cmsDeleteTransform(c.transform);
    if (rc == 0) {
        free(r->icc);
        r->icc = NULL;
        r->icc_size = 0;
        r->colors = (struct raster_colors){0};
    }
    return rc;
}
