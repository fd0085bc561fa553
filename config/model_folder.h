/* The models that settings name, one by one and as a folder.
 *
 * Thread: any.
 */
#ifndef CONFIG_MODEL_FOLDER_H
#define CONFIG_MODEL_FOLDER_H

#include "config/settings.h"

struct error;

/* Those of --model in their order, then every NAME.safetensors of --model-dir that is not among them,
 * by name, as the folder is now; whether these are models shows when they are read. out: [SETTINGS_FILES_MAX].
 * 0, or -EINVAL (none at all, more than these, or a file that cannot be a model's name), -errno of the
 * folder. */
int model_folder_list(const struct settings *s, struct settings_model *out, int *n,
                      struct error *err);

#endif
