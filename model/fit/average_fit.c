#include "model/fit/average_fit.h"
#include "engine/base/error.h"
#include "model/fit/lapack.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* To what is 1 for an average with itself. */
#define RIDGE 1e-10

static double length_of(double g)
{
    return sqrt(g / ((g + 1) * (g + 1) * (g + 2)));
}

/* g of a length, by halving: lengths fall from g = 1 on. */
static double power_of(double length)
{
    double low = 1, high = 1e5;

    for (int i = 0; i < 100; i++) {
        double g = sqrt(low * high);

        if (length_of(g) > length)
            low = g;
        else
            high = g;
    }
    return sqrt(low * high);
}

double average_decay(double length, uint64_t step)
{
    return step <= 1 ? 0 : exp(power_of(length) * log1p(-1 / (double)step));
}

/* s^g - (s-1)^g over end^g, without its digits cancelling. */
static double weight(double g, double s, double end)
{
    return s == 1 ? pow(s / end, g) : -pow(s / end, g) * expm1(g * log1p(-1 / s));
}

enum { LENGTHS_MAX = 8 };

/* Sums over the steps up to some of products of the weights of two lengths, over end^g of each. */
struct sums {
    double of[LENGTHS_MAX][LENGTHS_MAX];
};

struct problem {
    const struct average *stored;
    const struct average *wanted;
    int n, n_lengths;
    double g[LENGTHS_MAX]; /* of the lengths there are; the wanted one is the first */
    int *length;           /* [n] which is that of a stored one */
    struct sums *at;       /* [n] up to its step */
    struct sums end;       /* up to the wanted one's */
};

/* Which lengths there are. */
static int list_lengths(struct problem *p, struct error *err)
{
    p->g[p->n_lengths++] = power_of(p->wanted->length);
    for (int i = 0; i < p->n; i++) {
        double g = power_of(p->stored[i].length);
        int k = 1;

        while (k < p->n_lengths && p->g[k] != g)
            k++;
        if (k == LENGTHS_MAX)
            return error_set(err, -EINVAL, "averages of more than %d lengths", LENGTHS_MAX - 1);
        if (k == p->n_lengths)
            p->g[p->n_lengths++] = g;
        p->length[i] = k;
    }
    return 0;
}

static void sum_products(struct problem *p)
{
    double weights[LENGTHS_MAX], end = (double)p->wanted->step;

    for (uint64_t step = 1; step <= p->wanted->step; step++) {
        for (int a = 0; a < p->n_lengths; a++)
            weights[a] = weight(p->g[a], (double)step, end);
        for (int a = 0; a < p->n_lengths; a++)
            for (int b = 0; b < p->n_lengths; b++)
                p->end.of[a][b] += weights[a] * weights[b];
        for (int i = 0; i < p->n; i++) {
            if (p->stored[i].step == step)
                p->at[i] = p->end;
        }
    }
}

/* The norm of a stored average's weights, but for the factor end^g / step^g. */
static double norm_of(const struct problem *p, int i)
{
    return sqrt(p->at[i].of[p->length[i]][p->length[i]]);
}

/* The cosine of two of them: 0 where one is so much older that nothing is left of it. */
static double cosine(const struct problem *p, int i, int j)
{
    const struct sums *s = p->stored[i].step < p->stored[j].step ? &p->at[i] : &p->at[j];
    double norms = norm_of(p, i) * norm_of(p, j);

    return norms > 0 ? s->of[p->length[i]][p->length[j]] / norms : 0;
}

/* Least squares among vectors of norm 1. matrix [n,n], right [n]: scratch. */
static int solve(const struct problem *p, double *matrix, double *right, double *factors,
                 double *miss, struct error *err)
{
    double end = (double)p->wanted->step, norm = sqrt(p->end.of[0][0]), met = 0;
    int n = p->n, one = 1, info;

    for (int i = 0; i < n; i++) {
        double own = norm_of(p, i);

        right[i] = own > 0 ? p->at[i].of[p->length[i]][0] / (own * norm) : 0;
        factors[i] = right[i];
        for (int j = 0; j < n; j++)
            matrix[(size_t)i * (size_t)n + (size_t)j] = i == j ? 1 + RIDGE : cosine(p, i, j);
    }
    dposv_("U", &n, &one, matrix, &n, right, &n, &info, 1);
    if (info != 0)
        return error_set(err, -EIO, "the averages cannot be told from each other");
    for (int i = 0; i < n; i++) {
        double own = norm_of(p, i), g = p->g[p->length[i]];

        met += factors[i] * right[i];
        factors[i] = own > 0 ? right[i] * norm / own * pow((double)p->stored[i].step / end, g) : 0;
    }
    *miss = sqrt(fmax(1 - met, 0));
    return 0;
}

int average_fit(const struct average *stored, int n, const struct average *wanted, double *factors,
                double *miss, struct error *err)
{
    struct problem p = {.stored = stored, .wanted = wanted, .n = n};
    double *matrix, *right;
    int rc;

    if (n < 1)
        return error_set(err, -EINVAL, "no average is stored");
    p.length = calloc((size_t)n, sizeof(*p.length));
    p.at = calloc((size_t)n, sizeof(*p.at));
    matrix = calloc((size_t)n * (size_t)n, sizeof(*matrix));
    right = calloc((size_t)n, sizeof(*right));
    if (!p.length || !p.at || !matrix || !right)
        rc = error_set(err, -ENOMEM, "out of memory for %d averages", n);
    else
        rc = list_lengths(&p, err);
    if (rc == 0) {
        sum_products(&p);
        rc = solve(&p, matrix, right, factors, miss, err);
    }
    free(p.length);
    free(p.at);
    free(matrix);
    free(right);
    return rc;
}
