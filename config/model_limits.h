/* Limits of single models, beside those of all: "NAME:max-queue=8:max-images=4:max-nfe=100", or in the file
 * {"NAME": {"max_queue": 8, "max_images": 4, "max_nfe": 100}}. What is left out is as for all.
 *
 * Thread: any.
 */
#ifndef CONFIG_MODEL_LIMITS_H
#define CONFIG_MODEL_LIMITS_H

#include "config/settings.h"

struct error;
struct json_t;

/* Adds one model's, or those of an object after dropping all. 0 or -EINVAL. */
int model_limits_add(struct settings *s, const char *text, struct error *err);
int model_limits_set(struct settings *s, struct json_t *object, struct error *err);

/* New reference; NULL without memory. */
struct json_t *model_limits_to_json(const struct settings *s);

/* Once all is read: nothing may be beyond what holds for all. 0 or -EINVAL. */
int model_limits_check(const struct settings *s, struct error *err);

/* What holds for the model of this name, all filled in. */
struct settings_limits model_limits_of(const struct settings *s, const char *name);

#endif
