/* Any text as a training recipe: an error with its text, or a recipe with which its own training
 * may go on.
 */
#include "tests/fuzz/target.h"

#include "engine/base/error.h"
#include "tools/train/recipe.h"

#include <stdlib.h>
#include <string.h>

/* Two readings of one text differ in nothing. */
static void on_change(void *arg, const char *key, const char *before, const char *after)
{
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    struct recipe one, two;
    struct error err = {""};

    if (!text)
        abort();
    if (recipe_parse(text, &one, &err) == 0) {
        if (recipe_parse(text, &two, &err) < 0 ||
            recipe_continues(&one, &two, on_change, NULL, &err) < 0)
            abort();
        recipe_fini(&two);
        recipe_fini(&one);
    } else if (!*err.text || !memchr(err.text, '\0', sizeof(err.text))) {
        abort();
    }
    free(text);
    return 0;
}
