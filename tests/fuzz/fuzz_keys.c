/* Any bytes as a file of keys: an error with its text, or keys of which no two have a name or a digest in
 * common, each within its bounds. And as a file of secrets of webhooks, which sign or are refused.
 */
#include "tests/fuzz/target.h"

#include "api/webhook.h"
#include "config/key_file.h"
#include "config/setting.h"
#include "engine/base/error.h"

#include <stdlib.h>
#include <string.h>

static void check(const struct key_entry *list, int n)
{
    for (int i = 0; i < n; i++) {
        const struct key_entry *e = &list[i];

        if (!setting_is_name(e->name, strlen(e->name)) || e->rate < 0 || e->concurrent < 0 ||
            (e->rate > 0) != (e->period_s > 0))
            abort();
        for (int k = 0; k < i; k++)
            if (strcmp(list[k].name, e->name) == 0 ||
                memcmp(list[k].digest, e->digest, sizeof(e->digest)) == 0)
                abort();
    }
}

/* text is overwritten. */
static void try_secrets(char *text, size_t size)
{
    char signature[WEBHOOK_SIGNATURE_BYTES];
    struct webhook_secrets *secrets = NULL;
    struct error err = {""};

    if (webhook_secrets_parse(text, size, &secrets, &err) < 0) {
        if (!*err.text)
            abort();
        return;
    }
    webhook_sign(secrets, "", "id", 1, "body", signature);
    if (webhook_secrets_have(secrets, "") != (*signature != '\0') ||
        strlen(signature) >= sizeof(signature))
        abort();
    webhook_secrets_destroy(secrets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct key_entry *list;
    struct error err = {""};
    int n;

    if (!text)
        abort();
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    if (key_file_parse(text, size, &list, &n, &err) == 0) {
        check(list, n);
        free(list);
    } else if (!*err.text || !memchr(err.text, '\0', sizeof(err.text))) {
        abort();
    }
    if (size > 0)
        memcpy(text, data, size);
    try_secrets(text, size);
    free(text);
    return 0;
}
