/* Smooth random images for the tests of what is fitted to images: noise blurred at two scales, so
 * that neighbouring pixels agree as in photographs. The left half is brighter: mirror images
 * differ.
 */
#ifndef TESTS_UNIT_MODEL_PICTURES_H
#define TESTS_UNIT_MODEL_PICTURES_H

struct corruption;

/* [n,side,side,channels], malloc'ed; a mistake fails the test. */
float *pictures(int n, int side, int channels);

/* The corruption of a JSON text. */
struct corruption *pictures_corruption(const char *json, int side);

#endif
