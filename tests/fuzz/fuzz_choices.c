/* Any text as a table of kernel choices: an error that names a line, or a table that says the same
 * when it is read again.
 */
#include "tests/fuzz/target.h"

#include "engine/base/error.h"
#include "engine/choices.h"

#include <stdlib.h>
#include <string.h>

static const char machine[] = "abacus 7";

static struct choices *new_choices(void)
{
    struct choices *c;

    if (choices_create(&c, NULL) < 0)
        abort();
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct choices *one = new_choices(), *two = new_choices();
    const char *text = (const char *)data;
    struct error err = {""};

    if (choices_parse(one, "table", text, size, &err) == 0) {
        if (choices_parse(two, "table", text, size, &err) < 0 ||
            choices_hash(one, machine) != choices_hash(two, machine))
            abort();
    } else if (!strstr(err.text, "choices \"table\", line ")) {
        abort();
    }
    choices_destroy(one);
    choices_destroy(two);
    return 0;
}
