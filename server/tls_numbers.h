/* Memory for the numbers that TLS computes with. GMP, which does it for GnuTLS, ends the process where it
 * gets none; it gets some from a reserve then, and the handshake goes on or fails where GnuTLS needs more.
 * What is given back is overwritten: keys are numbers.
 *
 * Thread: the functions that GMP is given may be called on any.
 */
#ifndef SERVER_TLS_NUMBERS_H
#define SERVER_TLS_NUMBERS_H

enum { TLS_NUMBERS_RESERVE_BYTES = 1 << 18 }; /* some handshakes at a time */

/* From now on. Before any other thread computes; again is fine. */
void tls_numbers_reserve(void);

#endif
