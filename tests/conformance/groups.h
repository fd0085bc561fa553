/* The groups of tests of the conformance program. Each writes TAP lines. */
#ifndef TESTS_CONFORMANCE_GROUPS_H
#define TESTS_CONFORMANCE_GROUPS_H

#include "engine/device.h"

#include <stdint.h>

struct op_case;

/* What to run on. */
struct subject {
    struct device *device;
    struct device *reference;
    enum precision precision; /* fp32 or bf16 */
    const char *algorithm;    /* NULL: the device's first */
    uint64_t seed;
};

/* One case of one operation against the reference: one line. */
void accuracy_check(const struct subject *s, enum op_kind kind, int index);

/* What is in the slots and sums of a state, and in bytes. False: kind has none of that. */
bool memory_check(const struct subject *s, enum op_kind kind);

/* All cases of an operation, by bytes: the same again by a new kernel in other memory; in the place
 * of an input where that is allowed; unless it is a gradient also with the images of the batch in
 * other places, and for each image alone. One line. */
void invariance_check(const struct subject *s, enum op_kind kind);

/* A gradient of the reference against finite differences of its forward operation: one line,
 * none if kind is no gradient. */
void gradient_check(const struct subject *s, enum op_kind kind, int index);

/* op_check() takes a case and refuses it with a tensor or an attribute changed, naming the operation:
 * one line. */
void contract_check(enum op_kind kind);

/* A device of fp32 alone refuses 16 bits, naming the operation: a line for each type that the operation
 * has. */
void refusal_check(const struct subject *s, enum op_kind kind);

/* Prints the median time of a case. */
void bench_run(const struct subject *s, enum op_kind kind, int index);

/* The case as it is to be run. */
void subject_case(const struct subject *s, enum op_kind kind, int index, struct op_case *out);

/* Whether the case differs between precisions, there is a bfloat16 value in it or precision is
 * fp32, and the subject's algorithm is one for it, other than the device's first. */
bool subject_has_case(const struct subject *s, enum op_kind kind, int index);

/* "cpu bf16 group_norm 3" */
void subject_name(const struct subject *s, enum op_kind kind, int index, char *text, int size);

enum dtype subject_dtype(const struct subject *s);

#endif
