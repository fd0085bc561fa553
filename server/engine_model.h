/* A model, and the copy of it that each device has: the model is for everybody who asks for it or tells about
 * it, the copies are for the engines' threads that compute with them. --check loads them in the same way.
 */
#ifndef SERVER_ENGINE_MODEL_H
#define SERVER_ENGINE_MODEL_H

#include "engine/base/error.h"
#include "model/restoration.h"
#include "server/pace.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct checkpoint;
struct device;
struct formulation;
struct generator;
struct generator_options;
struct json_t;
struct sampling;
struct settings_model;
struct shelf_model;

enum { ENGINES_MAX = 16 }; /* devices of a daemon */

/* Requests for images of a model that have ended, and where their time went; for the loop. */
struct engine_model_counts {
    uint64_t n_ok, n_failed; /* those whose client went are failed, too */
    uint64_t n_images;       /* of the good ones, as are the times but for failed_ms */
    double ok_ms, failed_ms, queue_ms, engine_ms, encode_ms;
    int64_t last_s; /* seconds since 1970; 0: there was none */
};

/* Constant once it is loaded, but for what is said of its images and what is the loop's. */
struct engine_model {
    struct checkpoint *checkpoint; /* owned; its weights until all devices have them */
    char name[65];
    char digest[65];  /* SHA-256 of the checkpoint, hex */
    int64_t loaded_s; /* seconds since 1970 */
    /* Borrowed from the checkpoint: */
    const char *corruption, *output, *time_embed;
    const char *licence; /* NULL: none is stated */
    const struct formulation *formulation;
    const struct sampling *sampling; /* what is meant where a request does not say it */
    struct json_t *labels;           /* array of names, or NULL */
    double restores[DEGRADATIONS];   /* restoration_std_max() */
    int side_px, channels;

    /* Of its copies, from engine_model_add(): */
    const char *precision;
    bool batch_invariant;   /* the self-test's result, on every device */
    struct error self_test; /* what differed, if it did */

    /* Several images one after the other were not finite; until one is. Written by the engines'
     * threads, readable by all. */
    atomic_bool unhealthy;
    atomic_int n_not_finite; /* of these images */
    struct pace pace;

    /* The loop's. What its settings allow: images and evaluations of a request, and images that it
     * takes on. */
    int n_max, nfe_max, places;
    struct shelf_model *copies[ENGINES_MAX]; /* by the engines' order; NULL: that device has none */
    struct engine_model_counts counts;
    int n_images; /* admitted and not yet taken back: server/admission.h */
    int n_users;  /* drawings that name it */
    bool retired; /* to be dropped with the last of them: server/models.h */
};

/* All zero: nothing is loaded. The thread's that has the device; constant once loaded and tested. */
struct engine_copy {
    struct engine_model *model;  /* borrowed */
    struct generator *generator; /* owned */
    const char *precision;
    size_t memory_bytes;
    bool batch_invariant;
    struct error self_test;
};

/* What is told of a folder in which all files are passed over. */
#define ENGINE_MODEL_MANY                                                                        \
    "at most %d models are served, and \"%s\" is one more: leave it to another daemon, or take " \
    "it out"
#define ENGINE_MODEL_NONE "none of the files in \"%s\" is a model that draws"

/* Reads a checkpoint. Thread: any. 0, or the code of checkpoint_load(); the text names the model. */
int engine_model_read(const struct settings_model *setting, struct checkpoint **out,
                      struct error *err);

/* Whether the code of engine_model_read() means that the file is passed over: it was found in a folder
 * and is something else than a model. */
bool engine_model_passes_over(const struct settings_model *setting, int code);

/* Makes a model without copies. checkpoint: taken, in any case. 0 or -ENOMEM. */
int engine_model_create(const char *name, struct checkpoint *checkpoint, struct engine_model **out,
                        struct error *err);
/* No device may have a copy. NULL is fine. */
void engine_model_destroy(struct engine_model *m);

/* Takes over what a new copy tells of the model. Thread: that of the model. */
void engine_model_add(struct engine_model *m, const struct engine_copy *copy);

/* Makes the copy of a device: several may be at it for one model. out, all zero, is to be unloaded in
 * any case. 0, or the code of generator_create(); the text names the model. */
int engine_copy_load(struct device *device, struct engine_model *m,
                     const struct generator_options *options, struct engine_copy *out,
                     struct error *err);
void engine_copy_unload(struct engine_copy *copy);

/* Generates a few images: fills in batch_invariant and self_test. 0, -EDOM when they have numbers that are
 * not finite: the model is of no use; or -ECANCELED (device_stop_by()). The text names the model. */
int engine_copy_test(struct engine_copy *copy, struct error *err);

#endif
