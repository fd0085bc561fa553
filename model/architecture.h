/* The numbers that define a network, and their JSON form.
 *
 * JSON keys are the field names of yang-song/score_sde_pytorch (cb1f359), configs/: image_size,
 * num_channels, nf, ch_mult, num_res_blocks, attn_resolutions, embedding_type ("fourier" or
 * "positional"), fourier_scale, centered, dropout; and network, n_labels and augment, which are
 * ours. What a network has at any size is not a field but its name.
 */
#ifndef MODEL_ARCHITECTURE_H
#define MODEL_ARCHITECTURE_H

#include <stdbool.h>

struct error;
struct json_t;

enum { ARCHITECTURE_LEVELS_MAX = 8, ARCHITECTURE_LABELS_MAX = 1000 };

enum embedding_type {
    EMBEDDING_FOURIER,    /* features of log(time_cond), frozen random frequencies */
    EMBEDDING_POSITIONAL, /* features of time_cond */
};

/* By the fields that they have in the reference's configurations; attention is "ddpm" in all. */
enum network {
    NETWORK_NCSNPP, /* "ncsnpp": resblock biggan, fir [1,3,3,1], progressive_input residual,
                       skip_rescale */
    NETWORK_DDPMPP, /* "ddpmpp": resblock biggan, no fir, progressive_input none, skip_rescale */
    NETWORK_DDPM,   /* "ddpm": resblock ddpm, no fir, progressive_input none, no skip_rescale. Its
                       norms have min(c/4, 32) groups like those of the others; in the reference's
                       models/ddpm.py, and in Ho et al. 2020 (arXiv:2006.11239), they have 32, which
                       is the same from nf 128 on */
    NETWORK_DDPM_ORIGINAL, /* "ddpm_original": the same, but with attention after every block of the
                       decoder where there is attention, as in Ho et al.'s code, which UNet2DModel of
                       diffusers has it from */
};

struct architecture {
    enum network network;
    int image_size;   /* side_px, square; divisible by 2^(n_levels-1), 4 .. 1024 */
    int num_channels; /* of an image: 3 (1 .. 16) */
    int nf;           /* channels at the first level, a multiple of 4, 4 .. 1024 */
    int n_levels;
    int ch_mult[ARCHITECTURE_LEVELS_MAX]; /* channels of level i: nf ch_mult[i]; 1 .. 16 */
    int num_res_blocks;                   /* per level, 1 .. 16 */
    int n_attn;
    int attn_resolutions[ARCHITECTURE_LEVELS_MAX]; /* sides with attention; the middle always has */
    enum embedding_type embedding_type;
    float fourier_scale; /* std of the random frequencies, EMBEDDING_FOURIER only; 1e-3 .. 1e3 */
    bool centered;       /* false: the network itself maps x to 2x - 1 */
    float dropout;       /* rate in training, 0 .. 0.999 */
    int n_labels;        /* classes that images belong to; 0: none, .. ARCHITECTURE_LABELS_MAX */
    bool augment;        /* told in training how images were augmented (augmentation.h) */
};

/* Reads a JSON object. Strict: unknown keys, wrong types and numbers out of range are -EINVAL and
 * the text names the key. Optional, with defaults: network "ncsnpp", num_channels 3, attn_resolutions [16],
 * embedding_type "fourier", fourier_scale 16, centered false, dropout 0.1, n_labels 0, augment
 * false. */
int architecture_from_json(const struct json_t *json, struct architecture *out, struct error *err);

/* The same from text, e.g. a file's content. */
int architecture_parse(const char *text, struct architecture *out, struct error *err);

/* New JSON object with every field, but network only where it is not "ncsnpp", and n_labels and
 * augment where there are such; owned by the caller; NULL without memory. */
struct json_t *architecture_to_json(const struct architecture *a);

bool network_is_ddpm(enum network n);      /* one of the two */
const char *network_title(enum network n); /* for people: "NCSN++", ... */

#endif
