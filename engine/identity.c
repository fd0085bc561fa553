#include "engine/identity.h"
#include "engine/base/hash.h"
#include "engine/choices.h"

#include <gnu/libc-version.h>
#include <inttypes.h>
#include <stdio.h>

int identity_of(struct device *device, enum precision precision, char id[IDENTITY_BYTES],
                struct error *err)
{
    char machine[DEVICE_MACHINE_BYTES], text[64];
    uint64_t hash = HASH_START;
    int rc = device_base(device)->ops->precision(device, precision, &precision, err);

    if (rc < 0)
        return rc;
    device_machine(device, machine);
    snprintf(text, sizeof(text), "arithmetic %d", (int)IDENTITY_ARITHMETIC_VERSION);
    hash = hash_text(hash, text);
    hash = hash_text(hash, gnu_get_libc_version());
    hash = hash_text(hash, machine);
    hash = hash_text(hash, precision_name(precision));
    snprintf(text, sizeof(text), "choices %016" PRIx64,
             choices_hash(device_base(device)->choices, machine));
    hash = hash_text(hash, text);
    snprintf(id, IDENTITY_BYTES, "%016" PRIx64, hash);
    return 0;
}
