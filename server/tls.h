/* TLS of the public listener: the certificate that it shows, from two PEM files that can be read again at
 * any time.
 *
 * New connections see the new certificate, those that are there go on with what they agreed upon. At least
 * TLS 1.2, with forward secrecy and authenticated ciphers alone. One at a time in a process, as GnuTLS's
 * callback has no argument.
 *
 * Thread: loop.
 */
#ifndef SERVER_TLS_H
#define SERVER_TLS_H

#include <gnutls/abstract.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct settings;
struct tls;

/* What is agreed upon, in the words of GnuTLS. */
extern const char tls_priorities[];

/* By tls-cert and tls-key; *out NULL: they are not set. The first file holds the server's own certificate and
 * then those that lead to a root, as far as clients have not got them. 0, -ENOTSUP: libmicrohttpd has no TLS;
 * -EINVAL: what is in them does not fit together; -ENOMEM, -EFBIG or -errno of the system. */
int tls_create(const struct settings *settings, struct tls **out, struct error *err);
void tls_destroy(struct tls *t); /* once nobody agrees any more; NULL is fine */

/* Reads both again; where they are bad, or what they were, all stays. As tls_create(). */
int tls_reload(struct tls *t, struct error *err);

/* When the certificate ends, in seconds since 1970. */
int64_t tls_expires_s(const struct tls *t);

/* Its name and its end, for people. */
void tls_describe(const struct tls *t, char *out, size_t size);

/* Sends all of it in a session of libmicrohttpd's, as it gives it, or says no. Does not block. */
bool tls_send(void *session, const void *bytes, size_t size);

/* For MHD_OPTION_HTTPS_CERT_CALLBACK. */
gnutls_certificate_retrieve_function2 tls_retrieve;

#endif
