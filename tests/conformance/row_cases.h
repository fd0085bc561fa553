/* The part of tests/conformance/cases.h for operations that read short rows and tables. */
#ifndef TESTS_CONFORMANCE_ROW_CASES_H
#define TESTS_CONFORMANCE_ROW_CASES_H

#include "tests/conformance/cases.h"

int row_cases_count(enum op_kind kind); /* 0 for operations of another kind */
void row_case_make(enum op_kind kind, int index, struct op_case *c);

#endif
