#include "model/fit/color_fit.h"
#include "engine/base/error.h"
#include "model/fit/lapack.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>

enum { CHANNELS_MAX = 16 };

/* Smallest standard deviation of a direction, as a part of the largest: what JPEG makes of a grey
 * picture is below. */
#define DIRECTION_MIN 0.01

/* Of the colours of so many pixels, about their mean. */
static void find_covariance(size_t n, int channels, const float *pixels, double *out)
{
    double mean[CHANNELS_MAX] = {0};

    for (size_t i = 0; i < n; i++) {
        const float *pixel = pixels + i * (size_t)channels;

        for (int a = 0; a < channels; a++) {
            mean[a] += (double)pixel[a] / (double)n;
            for (int b = 0; b < channels; b++)
                out[a * channels + b] += (double)pixel[a] * (double)pixel[b] / (double)n;
        }
    }
    for (int a = 0; a < channels; a++) {
        for (int b = 0; b < channels; b++)
            out[a * channels + b] -= mean[a] * mean[b];
    }
}

int color_weights_fit(int n, int pixels, int channels, const float *images, float *out,
                      struct error *err)
{
    double covariance[CHANNELS_MAX * CHANNELS_MAX] = {0}, variances[CHANNELS_MAX], total = 0;
    double work[8 * CHANNELS_MAX];
    int info = 0, work_size = 8 * CHANNELS_MAX;

    assert(channels <= CHANNELS_MAX);
    find_covariance((size_t)n * (size_t)pixels, channels, images, covariance);
    dsyev_("V", "U", &channels, covariance, &channels, variances, work, &work_size, &info, 1, 1);
    if (info != 0)
        return error_set(err, -EIO, "the colours have no directions that can be found");
    if (!(variances[0] > DIRECTION_MIN * DIRECTION_MIN * variances[channels - 1]))
        return error_set(err, -EINVAL,
                         "the pictures have %s: colours cannot be made to count alike",
                         channels == 3 ? "no or hardly any colour" : "channels that say the same");
    for (int i = 0; i < channels; i++)
        total += variances[i];
    for (int i = 0; i < channels; i++) {
        int from = channels - 1 - i; /* they rise */
        double scale = sqrt(total / channels / variances[from]);

        for (int j = 0; j < channels; j++)
            out[i * channels + j] = (float)(scale * covariance[from * channels + j]);
    }
    return 0;
}
