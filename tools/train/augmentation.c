#include "tools/train/augmentation.h"
#include "engine/base/philox.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

/* Standard deviations of log2 scale, log2 stretch, and shift in sides. */
#define SCALE_STD   0.2
#define STRETCH_STD 0.2
#define SHIFT_STD   0.125

/* What is drawn: whether each change is made, and how much. */
enum { GATE_TURN, GATE_SCALE, GATE_ROTATE, GATE_STRETCH, GATE_SHIFT, TURN, ANGLE, AXIS, ANY_AXIS };
enum { UNIFORMS = ANY_AXIS + 1 };
enum { N_SCALE, N_STRETCH, N_RIGHT, N_DOWN, NORMALS };

/* What the network is told, in its order. */
enum { TOLD_TURN, TOLD_SCALE, TOLD_COS, TOLD_SIN, TOLD_ALONG, TOLD_ACROSS, TOLD_RIGHT, TOLD_DOWN };

/* m <- m (a b; c d): what is done to the result's places before what was there already. */
static void combine(double m[6], double a, double b, double c, double d)
{
    for (int row = 0; row < 6; row += 3) {
        double x = m[row], y = m[row + 1];

        m[row] = x * a + y * c;
        m[row + 1] = x * b + y * d;
    }
}

static void rotate(double m[6], double angle)
{
    combine(m, cos(angle), -sin(angle), sin(angle), cos(angle));
}

void augmentation_draw(double probability, const struct philox_key *key, int side,
                       struct augmentation *out)
{
    struct augmentation a = {.m = {1, 0, 0, 0, 1, 0}};
    float u[UNIFORMS], n[NORMALS];
    bool made[GATE_SHIFT + 1];

    *out = a;
    if (probability <= 0)
        return;
    philox_uniforms(key, PHILOX_STREAM_AUGMENT, UNIFORMS, u);
    philox_normals(key, PHILOX_STREAM_AUGMENT_NORMAL, NORMALS, n);
    for (int i = 0; i <= GATE_SHIFT; i++)
        made[i] = (double)u[i] <= probability;
    if (made[GATE_TURN] && u[TURN] < 0.5f) {
        a.told[TOLD_TURN] = 1;
        combine(a.m, 1, 0, 0, -1);
    }
    if (made[GATE_SCALE]) {
        double scale = exp2(SCALE_STD * (double)n[N_SCALE]);

        a.told[TOLD_SCALE] = n[N_SCALE];
        combine(a.m, 1 / scale, 0, 0, 1 / scale);
    }
    if (made[GATE_ROTATE]) {
        double angle = (2 * (double)u[ANGLE] - 1) * pi;

        a.told[TOLD_COS] = (float)(cos(angle) - 1);
        a.told[TOLD_SIN] = (float)sin(angle);
        rotate(a.m, angle);
    }
    if (made[GATE_STRETCH]) {
        double angle = u[ANY_AXIS] < 0.5f ? (2 * (double)u[AXIS] - 1) * pi : 0;
        double scale = exp2(STRETCH_STD * (double)n[N_STRETCH]);

        a.told[TOLD_ALONG] = (float)((double)n[N_STRETCH] * cos(angle));
        a.told[TOLD_ACROSS] = (float)((double)n[N_STRETCH] * sin(angle));
        rotate(a.m, angle);
        combine(a.m, 1 / scale, 0, 0, scale);
        rotate(a.m, -angle);
    }
    if (made[GATE_SHIFT]) {
        double right = SHIFT_STD * side * (double)n[N_RIGHT];
        double down = SHIFT_STD * side * (double)n[N_DOWN];

        a.told[TOLD_RIGHT] = n[N_RIGHT];
        a.told[TOLD_DOWN] = n[N_DOWN];
        a.m[2] -= a.m[0] * right + a.m[1] * down;
        a.m[5] -= a.m[3] * right + a.m[4] * down;
    }
    for (int i = 0; i < AUGMENTATION_NUMBERS; i++)
        a.any = a.any || a.told[i] != 0;
    *out = a;
}

/* Pixel i of a row that goes on as its mirror image at both ends, the end itself once more. */
static int mirror(int i, int n)
{
    i %= 2 * n;
    if (i < 0)
        i += 2 * n;
    return i < n ? i : 2 * n - 1 - i;
}

/* Weights of the four pixels around a place, a fraction f after the second; their numbers in `at`. */
static void find_taps(double place, int n, int at[4], float weights[4])
{
    double first = floor(place), f = place - first;

    for (int i = 0; i < 4; i++)
        at[i] = mirror((int)first - 1 + i, n);
    weights[0] = (float)(f * (-0.5 + f * (1 - 0.5 * f)));
    weights[1] = (float)(1 + f * f * (-2.5 + 1.5 * f));
    weights[2] = (float)(f * (0.5 + f * (2 - 1.5 * f)));
    weights[3] = (float)(f * f * (-0.5 + 0.5 * f));
}

void augmentation_apply(const struct augmentation *a, int side, int channels, const float *src,
                        float *dst)
{
    double centre = (side - 1) / 2.0;

    if (!a->any) {
        memcpy(dst, src, (size_t)side * (size_t)side * (size_t)channels * sizeof(*dst));
        return;
    }
    for (int i = 0; i < side * side; i++) {
        int column = i % side, row = i / side;
        double x = column - centre, y = row - centre;
        float wx[4], wy[4];
        int ax[4], ay[4];

        find_taps(a->m[0] * x + a->m[1] * y + a->m[2] + centre, side, ax, wx);
        find_taps(a->m[3] * x + a->m[4] * y + a->m[5] + centre, side, ay, wy);
        for (int c = 0; c < channels; c++) {
            float sum = 0;

            for (int k = 0; k < 16; k++)
                sum += wy[k / 4] * wx[k % 4] * src[(ay[k / 4] * side + ax[k % 4]) * channels + c];
            dst[i * channels + c] = fminf(fmaxf(sum, 0), 1);
        }
    }
}
