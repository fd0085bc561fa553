/* The best linear estimate of x_0 from x_t, mode by mode and colour by colour: what `output: wiener` gives the network
 * for free, so that it learns only the rest.
 *
 * With D the orthonormal DCT-II matrix, R the orthonormal principal directions of the colours of
 * x_0 - mu (grey first, then two faint ones: noise in these must not pass for signal), mu the
 * mirror-symmetric mean image, m = C_t mu and c = D R(x_t - m) D^T, R applied to every pixel:
 *     h = mu + R^T(D^T (G_t .* c) D) + c_out(t) F(c_in(t) (x_t - m), t)
 * G_t = E[c0 ct] / (E[ct^2] + sigma_t^2) per mode and direction, c0 and ct as c for x_0 - mu and
 * C_t (x_0 - mu), expectations over images and mirror images;
 * c_out^2 = mean over all of E[(c0 - G ct)^2] + sigma_t^2 G^2; c_in = 1 / rms(x_t - m).
 * Tables over WIENER_TIMES equally spaced t, interpolated linearly. An extension of ours to the
 * paper, in the spirit of the preconditioning of Karras et al. 2022 (arXiv:2206.00364).
 */
#ifndef MODEL_WIENER_H
#define MODEL_WIENER_H

enum { WIENER_TIMES = 129 };

struct wiener {
    int side, channels;
    float *mean;   /* mu [side, side, channels] */
    float *colors; /* R [channels, channels], a direction per row */
    float *gain;   /* G [WIENER_TIMES, side, side, channels], the last by direction */
    float *scale;  /* [WIENER_TIMES, 2]: c_in, c_out, both > 0 */
};

void wiener_fini(struct wiener *w);

/* Where t lies in the tables, their entry and the fraction of the way to the next, as
 * OP_MULTIPLY_TABLE reads it, and c_in, c_out there. */
void wiener_place(const struct wiener *w, double t, float place[2], float *c_in, float *c_out);

/* The numbers at one t: gain [side, side, channels], c_in, c_out. */
void wiener_at(const struct wiener *w, double t, float *gain, float *c_in, float *c_out);

/* The orthonormal DCT-II matrix [n,n]: D[k,i] = sqrt((k ? 2 : 1) / n) cos(pi k (2i + 1) / 2n). */
void wiener_dct_matrix(int n, float *out);

#endif
