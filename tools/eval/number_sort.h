/* Numbers into rising order, fast where there are very many. */
#ifndef TOOLS_EVAL_NUMBER_SORT_H
#define TOOLS_EVAL_NUMBER_SORT_H

#include <stdint.h>

/* Sorts x [n], of which none is NaN; -0 comes before 0. scratch [2,n], content not kept. Takes a time in
 * proportion to n. */
void number_sort(int n, double *x, uint64_t *scratch);

#endif
