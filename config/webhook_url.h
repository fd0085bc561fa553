/* Where webhooks may go. A client names the address, so that without a rule it could have the daemon speak to
 * whatever the daemon reaches: nothing is sent but to addresses that begin as one of the operator's does.
 *
 *     https://hooks.example.com/softdiff/,http://10.0.0.7:8080/
 *
 * Scheme, host and port are equal, the host letter by letter: there are no patterns, and what it resolves to is the
 * operator's choice with its name. A path allows itself and all that is below it, none allows every path. Addresses
 * are taken in one spelling: no user, fragment, dot segment, or escaped dot, slash or backslash, which two readers
 * may read in two ways.
 *
 * Thread: any.
 */
#ifndef CONFIG_WEBHOOK_URL_H
#define CONFIG_WEBHOOK_URL_H

#include <stdbool.h>

struct error;

enum { WEBHOOK_URL_BYTES = 512 }; /* with its NUL */

/* Whether it is an address as they are taken. 0 or -EINVAL. */
int webhook_url_check(const char *url, struct error *err);

/* Rules with commas between. 0 or -EINVAL. */
int webhook_rules_check(const char *rules, struct error *err);

/* Whether an address that was checked is allowed by rules that were. */
bool webhook_url_is_allowed(const char *url, const char *rules);

#endif
