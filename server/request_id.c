#include "server/request_id.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <uv.h>

void request_id_make(char out[REQUEST_ID_MADE_BYTES])
{
    uint64_t random = 0;

    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        random = uv_hrtime();
    snprintf(out, REQUEST_ID_MADE_BYTES, "%016" PRIx64, random);
}

void request_id_take(const char *given, char out[REQUEST_ID_BYTES])
{
    size_t i, n = given ? strlen(given) : 0;

    for (i = 0; i < n; i++)
        if (!isalnum((unsigned char)given[i]) && !strchr("._-", given[i]))
            break;
    if (n > 0 && n < REQUEST_ID_BYTES && i == n)
        memcpy(out, given, n + 1);
    else
        request_id_make(out);
}
