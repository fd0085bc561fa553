/* Where generation starts, as a piece of program: x_1 of model/prior.h.
 *
 * Noise may come from two seeds, mixed: weights (1, 0) take the first alone, (cos a, sin a) anything
 * between the two that is as likely.
 */
#ifndef MODEL_START_H
#define MODEL_START_H

struct error;
struct executor;
struct formulation;
struct parameters;
struct philox_key;
struct prior;
struct program;

/* Noise as inputs of a program. */
struct noise_values {
    int key, other; /* [n,4] */
    int weights;    /* [n,2] */
};

struct start {
    struct noise_values noise;
    int coefficients; /* in [n, n_coefficients]; -1 for a prior without modes */
    int x;            /* out, exact [n,h,w,c] */
};

/* Declares "key", "other" and "weights". */
struct noise_values noise_inputs(struct program *p);

/* other: NULL, or a second key, of which there is mix in [0, 1]. */
void noise_write(const struct noise_values *noise, struct executor *executor, int i,
                 const struct philox_key *key, const struct philox_key *other, double mix);

/* Appends to p; declares tables. 0 or the program's first error. */
int start_append(struct program *p, const struct formulation *f, struct start *out,
                 struct error *err);

/* Fills the tables. 0 or -EIO. */
int start_write_tables(const struct prior *prior, struct parameters *parameters, struct error *err);

/* Fills everything of image i. */
void start_write(const struct start *s, const struct formulation *f, struct executor *executor,
                 int i, const struct philox_key *key, const struct philox_key *other, double mix);

#endif
