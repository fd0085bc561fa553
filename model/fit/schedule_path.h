/* The levels of a schedule from images: the shortest path between the laws of the corrupted images.
 *
 * Source: Daras et al. 2023, section 3.3.
 */
#ifndef MODEL_FIT_SCHEDULE_PATH_H
#define MODEL_FIT_SCHEDULE_PATH_H

struct corruption;
struct error;
struct watch;

/* Distances between the laws of C_i x_0: D(i,j) = sqrt(mean ||C_i x - C_j x||^2), the Wasserstein
 * distance when C_j C_i^-1 is symmetric positive (identity coupling), an upper bound otherwise.
 * images [n,h,w,channels] in [0,1]; levels: n_levels; out: [n_levels, n_levels]. Everything in
 * double, or mild levels lie about their distances. watch: told of the images, may be NULL, as below.
 * 0, -ENOMEM or -ECANCELED. */
int schedule_distances(const struct corruption *c, int n, int channels, const float *images,
                       int n_levels, const double *levels, const struct watch *watch, double *out,
                       struct error *err);

/* The cheapest path 0 -> n_levels-1 over hops with D <= eps; cost = sum of D. path: room for
 * n_levels indices. Of equally cheap paths the one with fewer nodes. Returns the number of nodes, or
 * -ENOENT when there is no path, -ENOMEM. */
int schedule_shortest_path(int n_levels, const double *distances, double eps, int *path,
                           double *cost, struct error *err);

/* The levels of a path with exactly n_nodes nodes, for the largest eps among the distances that
 * gives so many. nodes: room for n_nodes indices. 0, -ENOENT when no eps gives that many, -ENOMEM or
 * -ECANCELED. */
int schedule_path_of_length(int n_levels, const double *distances, int n_nodes,
                            const struct watch *watch, int *nodes, double *eps, struct error *err);

#endif
