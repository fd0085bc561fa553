#include "server/restoration_source.h"

#include "api/limits.h"
#include "api/pictures/picture.h"
#include "api/pictures/resize.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/upload.h"
#include "engine/base/error.h"
#include "model/restoration.h"
#include "model/sampling.h"
#include "server/engine_model.h"

#include <errno.h>
#include <stdlib.h>

enum { WHITE_FROM = 128 };

static size_t pixels_of(const struct engine_model *m)
{
    return (size_t)m->side_px * (size_t)m->side_px;
}

size_t restoration_source_bytes(const struct engine_model *m, bool masked)
{
    return pixels_of(m) * (masked ? 4 : 3);
}

static int decode(const struct upload_file *file, const char *name, uint8_t **rgb, int *w, int *h,
                  struct problem *problem)
{
    struct error error;
    int rc = picture_decode(file->bytes, file->size, LIMITS_UPLOAD_PIXELS, w, h, rgb, &error);

    if (rc == -ENOMEM)
        return problem_set(problem, 503, "out of memory");
    if (rc < 0)
        problem_add_field(problem, name, "%s", error.text);
    return rc;
}

/* To [side,side,3]. */
static int read_square(const struct upload_file *file, const char *name, int side, uint8_t *out,
                       struct problem *problem)
{
    uint8_t *rgb;
    int w, h, rc = decode(file, name, &rgb, &w, &h, problem);

    if (rc < 0)
        return rc;
    rc = resize_square(rgb, w, h, 3, 0, side, out, NULL);
    free(rgb);
    return rc < 0 ? problem_set(problem, 503, "out of memory") : 0;
}

static void read_mask(const struct upload_file *file, const struct engine_model *m, uint8_t *out,
                      struct problem *problem)
{
    size_t pixels = pixels_of(m);
    uint8_t *square = malloc(pixels * 3);

    if (!square)
        problem_set(problem, 503, "out of memory");
    else if (read_square(file, "mask", m->side_px, square, problem) == 0)
        for (size_t i = 0; i < pixels; i++)
            out[i] = square[3 * i] < WHITE_FROM;
    free(square);
}

int restoration_source_read(const struct upload *u, const struct engine_model *m, bool masked,
                            uint8_t **out, struct problem *problem)
{
    uint8_t *bytes = malloc(restoration_source_bytes(m, masked));

    if (!bytes)
        return problem_set(problem, 503, "out of memory");
    read_square(&u->image, "image", m->side_px, bytes, problem);
    if (masked && problem->status != 503)
        read_mask(&u->mask, m, bytes + pixels_of(m) * 3, problem);
    if (problem->status) {
        free(bytes);
        return -EINVAL;
    }
    *out = bytes;
    return 0;
}

/* Colours, or their luma (Rec. 601) where the model has one channel. */
static void to_floats(const uint8_t *rgb, size_t pixels, int channels, float *out)
{
    for (size_t i = 0; i < pixels; i++, rgb += 3) {
        if (channels == 1)
            out[i] = (0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2]) / 255;
        for (int c = 0; c < channels && channels > 1; c++)
            out[i * (size_t)channels + (size_t)c] = (float)rgb[c] / 255;
    }
}

/* picture: [side,side,channels], mask: [side,side] behind it. */
static int make(const struct engine_model *m, struct restoration_options *options,
                struct restoration **out, struct error *err)
{
    bool masked = options->degradation == DEGRADATION_MASK;
    int rc = 0;

    if (options->std < 0 && !masked)
        rc = restoration_estimate(options->degradation, m->side_px, m->channels, options->picture,
                                  &options->std, err);
    return rc < 0 ? rc : restoration_create(m->formulation, options, out, err);
}

static void describe(const struct restoration *made, const struct restoration_options *options,
                     struct sampling_choice *sampling, struct response_restoration *out)
{
    struct restoration_choice choice;
    bool masked = options->degradation == DEGRADATION_MASK;

    restoration_chosen(made, &choice);
    sampling->nfe = choice.nfe;
    out->estimated |= !masked && out->std < 0;
    out->std = masked ? 0 : options->std;
    out->strength = choice.time;
    out->consistency = choice.consistency;
}

int restoration_source_make(const uint8_t *bytes, size_t size, const struct engine_model *m,
                            struct sampling_choice *sampling, struct response_restoration *restored,
                            struct restoration **out, struct error *err)
{
    size_t pixels = pixels_of(m), channels = (size_t)m->channels;
    struct restoration_options options = {.std = restored->std,
                                          .time = restored->strength,
                                          .consistency = restored->consistency,
                                          .sampler = sampling->sampler,
                                          .nfe = sampling->nfe};
    float *picture, *mask;
    bool masked;
    int rc = degradation_parse(restored->degradation, &options.degradation, err);

    masked = options.degradation == DEGRADATION_MASK;
    if (rc == 0 && size != restoration_source_bytes(m, masked))
        rc = error_set(err, -EINVAL, "the picture is not one of the model's");
    if (rc < 0)
        return rc;
    picture = malloc(pixels * (channels + 1) * sizeof(*picture));
    if (!picture)
        return error_set(err, -ENOMEM, "out of memory");
    mask = picture + pixels * channels;
    to_floats(bytes, pixels, m->channels, picture);
    for (size_t i = 0; masked && i < pixels; i++)
        mask[i] = bytes[3 * pixels + i];
    options.picture = picture;
    options.mask = mask;
    rc = make(m, &options, out, err);
    free(picture);
    if (rc == 0)
        describe(*out, &options, sampling, restored);
    return rc;
}
