/* How errors in colour are made to count alike: the principal directions of the colours of a
 * data set, each divided by how far its pictures go in it.
 */
#ifndef MODEL_FIT_COLOR_FIT_H
#define MODEL_FIT_COLOR_FIT_H

struct error;

/* W [channels,channels], a direction per row: R diag(g / s), with R the orthonormal principal
 * directions of the pixels of images [n,pixels,channels] about their mean, s their standard deviations,
 * and g^2 = sum s^2 / channels, so that |W e|^2 of an error that is distributed as the data is as large as
 * |e|^2, in equal parts. 0, -EINVAL (a direction in which the images have nothing: they are grey),
 * -EIO (LAPACK). channels <= 16. */
int color_weights_fit(int n, int pixels, int channels, const float *images, float *out,
                      struct error *err);

#endif
