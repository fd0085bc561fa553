/* The JSON document of a checkpoint: everything in it that is no tensor.
 *
 * checkpoint.h has its members. Reading is strict and bounded: unknown keys, wrong types, numbers
 * out of range and a document of more than DOCUMENT_BYTES_MAX are errors.
 */
#ifndef MODEL_DOCUMENT_H
#define MODEL_DOCUMENT_H

struct checkpoint;
struct error;
struct json_t;

enum {
    DOCUMENT_BYTES_MAX = 1 << 20,
    DOCUMENT_EVIDENCE_BYTES_MAX = 1 << 16, /* as compact JSON */
    DOCUMENT_LABEL_BYTES_MAX = 64,
};

/* Fills in all of c but prior, wiener, digest and weights. text: NULL, there is none. 0, -EINVAL or
 * -ENOMEM (c is then to be destroyed). */
int document_read(const char *text, struct checkpoint *c, struct error *err);

/* *out: malloc'ed. 0, -ENOMEM, or -EINVAL for what document_read() would refuse, above all what
 * format 1 cannot say. */
int document_write(const struct checkpoint *c, char **out, struct error *err);

/* Takes the members "labels" and "evidence" (NULL: none) into c. 0 or -EINVAL. */
int document_set_labels(struct checkpoint *c, const struct json_t *labels, struct error *err);
/* In the place of what was there, which stays after a mistake. */
int document_set_evidence(struct checkpoint *c, const struct json_t *evidence, struct error *err);

/* Adds a member to the evidence, or puts it in the place of one of that name. Takes value, in any
 * case; NULL: there was no memory for it. 0, -EINVAL (it grows too large), -ENOMEM. */
int document_add_evidence(struct checkpoint *c, const char *name, struct json_t *value,
                          struct error *err);

#endif
