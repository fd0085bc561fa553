#include "api/bearer.h"

#include <errno.h>
#include <nettle/sha2.h>
#include <string.h>
#include <strings.h>

static const char scheme[] = "Bearer";

int bearer_digest(const char *authorization, uint8_t out[BEARER_DIGEST_BYTES])
{
    struct sha256_ctx sha;
    const char *key;
    size_t n;

    if (!authorization || strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
        return -ENOENT;
    key = authorization + sizeof(scheme) - 1;
    if (*key != ' ')
        return -ENOENT;
    key += strspn(key, " ");
    n = strcspn(key, " \t");
    if (n == 0 || key[n + strspn(key + n, " \t")])
        return -ENOENT;
    sha256_init(&sha);
    sha256_update(&sha, n, (const uint8_t *)key);
    sha256_digest(&sha, BEARER_DIGEST_BYTES, out);
    return 0;
}
