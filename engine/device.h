/* Devices: where programs run.
 *
 * A device is a const table of functions, chosen at run time by name:
 *     reference   plain loops, double accumulators, float32 only; the definition
 *     cpu         oneDNN and own vector loops; float32, bfloat16
 *     cuda:N      GPU N, in a module (engine/module.h); float16, bfloat16, float32; cuda: the first
 *     auto        the fastest this machine has
 * engine/device_list.c lists the tables; nothing else knows which exist.
 *
 * A kernel is one operation made ready once for concrete shapes: primitives, choices, packed
 * weight formats. Running it allocates nothing. Kernels of one device may run in several threads
 * at a time as long as their memory is disjoint; a kernel itself is read-only while it runs.
 *
 * Wherever a function here or of executors may return -EIO, it returns -ENODEV where the device is lost, and
 * -ECANCELED where it was told to stop (device_stop_by()): whatever is asked of it from then on fails, too.
 */
#ifndef ENGINE_DEVICE_H
#define ENGINE_DEVICE_H

#include "engine/op.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct choices;
struct error;
struct executor_ops;

enum precision {
    PRECISION_AUTO, /* what the device computes fastest */
    PRECISION_FP32,
    PRECISION_BF16,
    PRECISION_FP16,
    PRECISIONS,
};

const char *precision_name(enum precision p); /* "auto", "fp32", "bf16", "fp16" */
int precision_parse(const char *name, enum precision *out, struct error *err); /* or -EINVAL */
enum dtype precision_dtype(enum precision p); /* of compute values; p is not PRECISION_AUTO */

struct device; /* opaque to callers; each table defines its own, see struct device_base */

enum { KERNEL_STAGES_MAX = 4, DEVICE_ALGORITHMS_MAX = 8, DEVICE_MACHINE_BYTES = 160 };

/* A kernel. Tables embed it as the first member of their own struct. */
struct kernel {
    const struct kernel_ops *ops;
    size_t scratch_bytes; /* wanted by each thread, 64-byte aligned; contents not kept */
    size_t shared_bytes;  /* wanted once, likewise; kept from stage to stage of a run */
    /* A run is n_stages >= 1 stages after each other, each of n_parts[stage] >= 1 parts that may be
     * run in any order and at a time; one stage of one part where a kernel is not split. How it
     * is split depends on the shapes alone, so that the result does not depend on the number of
     * threads. */
    int n_stages;
    int n_parts[KERNEL_STAGES_MAX];
    /* How input i wants its parameter: 0 plain float32 in the layout of engine/op.h, else an
     * identifier of a packed format. Two kernels with equal identifiers for the same parameter
     * share the packed copy. */
    uint64_t packing[OP_INPUTS_MAX];
};

/* What a kernel runs on. */
struct kernel_args {
    /* Dense tensors as the spec says, or the packed copy where packing[i] is not 0; NULL where
     * absent. Outputs overlap nothing else, but for an elementwise operation's (struct op_info), which
     * may be an input of its shape and dtype. */
    const void *const *in;
    void *const *out;
    void *shared;  /* shared_bytes, kept from stage to stage of a run */
    void *scratch; /* scratch_bytes, of this thread; contents not kept */
    void *queue;   /* of a GPU: kernels enqueue there and return; NULL on hosts */
};

struct kernel_ops {
    /* One part of one stage. When all parts of all stages have run, every element of every output
     * is written. Returns 0 or -EIO. Allocates nothing. */
    int (*run)(const struct kernel *kernel, int stage, int part, const struct kernel_args *args,
               struct error *err);
    void (*destroy)(struct kernel *kernel);
    /* For inputs with packing[i] != 0: the size of the packed copy in bytes, and the packing of
     * plain float32 src into dst (64-byte aligned, that size), both on the device. Optional if no
     * kernel packs. */
    size_t (*packed_bytes)(const struct kernel *kernel, int input);
    int (*pack)(const struct kernel *kernel, int input, const float *src, void *dst,
                struct error *err);
};

/* Makes kernel, zeroed before, one stage of one part; whoever splits it counts its parts after. */
void kernel_init(struct kernel *kernel, const struct kernel_ops *ops);

/* Makes a kernel of a spec that does not come from a program, which has checked its own.
 * -EINVAL from op_check(), or what kernel_create() of the device returns. */
int kernel_create(struct device *device, const struct kernel_spec *spec, struct kernel **out,
                  struct error *err);
/* Runs a kernel whole, part by part in the calling thread. 0 or -EIO. */
int kernel_run(const struct kernel *kernel, const struct kernel_args *args, struct error *err);

/* What a device is told when it is asked which cuts a plan should have. */
struct plan_outline {
    int batch_max;
    size_t widest; /* elements of an image's largest convolution result; 0: there is none */
    bool sums;     /* it sums over the images of a run: all cuts must be of one size, by which
                      batch_max can be divided */
};

/* What a step of a plan has to do with the one before it, and those that one is joined to. */
struct step_link {
    int n;       /* steps that are joined so far, 1: the one before is alone */
    bool reads;  /* its first input is the first output of the one before */
    bool shares; /* its first input is the first input of the one before */
    bool apart;  /* it depends on none of them */
};

struct device_ops {
    const char *name;
    /* How many of the kind this machine has: 1 or more, -ENOTSUP where it has none. Optional where
     * there is one. */
    int (*count)(struct error *err);
    /* ordinal: which of several, from 0. n_threads >= 1. 0, or -ENOTSUP when this machine cannot run
     * it, -ENOMEM, -EIO. */
    int (*open)(int ordinal, int n_threads, struct device **out, struct error *err);
    void (*close)(struct device *device);
    /* Resolves PRECISION_AUTO and refuses what the machine lacks: 0 or -ENOTSUP. */
    int (*precision)(struct device *device, enum precision wanted, enum precision *out,
                     struct error *err);
    /* One line on what runs underneath, e.g. "oneDNN 2.6.3, avx512_core_bf16". */
    void (*describe)(struct device *device, char *text, size_t size);
    /* What the bytes and the speed of kernels depend on beside the kind of the device: libraries
     * with their versions, instruction sets, caches or the model of the GPU, as words with a space
     * between; never the number of threads. Optional where there is nothing of the kind. */
    void (*machine)(struct device *device, char *text, size_t size);
    /* Names of the algorithms for a spec, the one for specs without a choice first. Returns how
     * many. All of them pass the test of batch invariance. Optional where there is one for all. */
    int (*algorithms)(struct device *device, const struct kernel_spec *spec,
                      const char *names[DEVICE_ALGORITHMS_MAX]);
    /* For a spec that passes op_check(). 0, -EINVAL (the algorithm that spec or the choices name is
     * not one for it), -ENOTSUP naming what is not supported (asked when a plan
     * is made, never later), -ENOMEM or -EIO. Does not keep spec. */
    int (*kernel_create)(struct device *device, const struct kernel_spec *spec, struct kernel **out,
                         struct error *err);
    /* Runs a kernel whole and waits for it. For tests: plans are run by executors. 0 or -EIO. */
    int (*kernel_run)(struct device *device, const struct kernel *kernel,
                      const struct kernel_args *args, struct error *err);
    /* How many images the largest cut of a plan should have, 1 .. batch_max. By the outline alone,
     * not by the number of threads. */
    int (*size)(struct device *device, const struct plan_outline *outline);
    /* Whether smaller cuts are wanted too, each half of the one before, down to 1. */
    bool halves;
    /* Test equipment, whose times mean nothing and are told to nobody. */
    bool simulated;
    /* Whether a step of a plan runs in one launch with the one before it. Optional; of devices whose
     * executors run the steps of a plan in their order. */
    bool (*joins)(const struct kernel *before, const struct kernel *kernel,
                  const struct step_link *link);
    const struct executor_ops *executor;
    /* Calls task(arg, i) for every i in [0, n), side by side where it can, and returns when all have
     * returned. For packing. */
    void (*tasks)(struct device *device, int n, void (*task)(void *arg, int i), void *arg);
    /* Device memory, 64-byte aligned, and copies to and from host memory. */
    int (*memory_create)(struct device *device, size_t bytes, void **out, struct error *err);
    void (*memory_destroy)(struct device *device, void *memory);
    int (*upload)(struct device *device, void *dst, const void *src, size_t bytes,
                  struct error *err);
    int (*download)(struct device *device, void *dst, const void *src, size_t bytes,
                    struct error *err);
    /* From device memory to device memory, and zeros; maybe still under way when they return, but
     * done before whatever is asked of the device next. */
    int (*memory_copy)(struct device *device, void *dst, const void *src, size_t bytes,
                       struct error *err);
    int (*memory_clear)(struct device *device, void *memory, size_t bytes, struct error *err);
};

/* The part of struct device that engine/ reads. Tables embed it first in their own struct. */
struct device_base {
    const struct device_ops *ops;
    struct choices *choices; /* owned by device_list.c */
    const atomic_bool *stop; /* borrowed; NULL: nobody stops it */
};

/* Opens a device by name. n_threads 0: as many as this process may use. choices: a file that says
 * which algorithms to use (engine/choices.h); NULL or "": those that come with the program.
 * 0, -EINVAL for an unknown name (the text lists the known ones) or a file that is no table of
 * choices, -errno if it could not be read, -ENOTSUP, -ENOMEM. */
int device_open(const char *name, int n_threads, const char *choices, struct device **out,
                struct error *err);
void device_close(struct device *device);

/* From when *stop is true on, which another thread may say at any time, plans are not made and runs fail with
 * -ECANCELED: one that is under way between two kernels where the device is this processor, else at its end, and
 * what it computes is undefined. For who gives up all that he has there. stop is borrowed. Called once, before the
 * device computes. */
void device_stop_by(struct device *device, const atomic_bool *stop);
/* 0 or -ECANCELED. */
int device_check_stop(const struct device *device, struct error *err);

/* 0 for a name that may be a device's on some machine, else -EINVAL; the text lists the known. */
int device_name_check(const char *name, struct error *err);

/* Whether a name is that of a device that is this processor: where several are opened, they share it. */
bool device_is_host(const char *name);
/* Whether two names are those of one GPU. */
bool device_is_same(const char *a, const char *b);

/* Why "auto" opened this device and not a faster one, for which a module is installed: -ENOTSUP with the
 * text, or what else opening that returns; 0 where there is nothing to say. */
int device_passed_over(const struct device *device, struct error *err);

/* Names of the devices that every machine has; NULL past the end. */
const char *device_name_at(int i);

enum { DEVICES_MAX = 64, DEVICE_NAME_BYTES = 32 };

/* A device as people are told of it. */
struct device_entry {
    char name[DEVICE_NAME_BYTES]; /* to open it by */
    bool usable;
    char text[256]; /* what it is, or why it cannot be used */
};

/* All that this machine has or might have, each opened for a moment. Returns how many. */
int device_list(struct device_entry entries[DEVICES_MAX]);
/* What --list-devices prints: a line for each, of its name, a tab and its text. */
void device_list_print(FILE *file);

/* How far the engine for GPUs is to be trusted: part of every answer about versions. */
#define DEVICE_CUDA_NOTE "CUDA engine: tested on a simulated device only"

const struct device_base *device_base(const struct device *device);

/* Its name and what it says of the machine, e.g. "cpu oneDNN-2.6.3 avx512_core_bf16 ...". */
void device_machine(struct device *device, char text[DEVICE_MACHINE_BYTES]);
/* As the entry of struct device_ops; 0 where there is one algorithm for all. */
int device_algorithms(struct device *device, const struct kernel_spec *spec,
                      const char *names[DEVICE_ALGORITHMS_MAX]);
/* For kernel_create() of a device: which of its n names is meant by the spec, else by the device's
 * choices, else the first. Their index, or -EINVAL naming the operation; 0 where n is 0. */
int device_algorithm_of(struct device *device, const struct kernel_spec *spec, int n,
                        const char *const *names, struct error *err);

#endif
