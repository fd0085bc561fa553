/* GnuTLS borrows what it is given until the handshake has ended, and the listener ends every handshake
 * within its deadline: a pair that was replaced stays until no handshake can have it.
 */
#include "server/tls.h"

#include "config/settings.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/whole_file.h"
#include "model/digest.h"
#include "server/tls_numbers.h"

#include <errno.h>
#include <gnutls/x509.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

enum {
    CHAIN_MAX = 16,
    FILE_BYTES_MAX = 1 << 20,
    KEY_ID_BYTES = 64,
    NAME_BYTES = 256,
    SOON_DAYS = 14, /* that a certificate has left when the log begins to warn of it */
    DAY_S = 86400,
};

const char tls_priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-CIPHER-ALL:"
                              "+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:%SERVER_PRECEDENCE";

/* A certificate with its chain, and its key. */
struct pair {
    gnutls_pcert_st certificates[CHAIN_MAX];
    unsigned n_certificates;
    gnutls_privkey_t key; /* NULL: none yet */
    char digests[2][DIGEST_TEXT];
    char name[NAME_BYTES]; /* whose it is */
    int64_t begins_s, expires_s;
    uint64_t replaced_ns;
    struct pair *older; /* those that handshakes may still have */
};

struct tls {
    char certificate[SETTINGS_PATH_BYTES], key[SETTINGS_PATH_BYTES];
    uint64_t handshake_ns;
    struct pair *pair;
};

static struct tls *shown; /* by tls_retrieve(), which has no argument */

static void destroy_pair(struct pair *p)
{
    for (unsigned i = 0; p && i < p->n_certificates; i++)
        gnutls_pcert_deinit(&p->certificates[i]);
    if (p && p->key)
        gnutls_privkey_deinit(p->key);
    free(p);
}

static int complain(int status, const char *what, struct error *err)
{
    return error_set(err, status == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL, "%s: %s", what,
                     gnutls_strerror(status));
}

/* Whose it is, and for how long. */
static int look_at(struct pair *p, struct error *err)
{
    size_t size = sizeof(p->name);
    gnutls_x509_crt_t own;
    int rc = gnutls_pcert_export_x509(&p->certificates[0], &own);

    if (rc < 0)
        return complain(rc, "could not read the certificate", err);
    p->begins_s = gnutls_x509_crt_get_activation_time(own);
    p->expires_s = gnutls_x509_crt_get_expiration_time(own);
    if (gnutls_x509_crt_get_subject_alt_name(own, 0, p->name, &size, NULL) != GNUTLS_SAN_DNSNAME) {
        size = sizeof(p->name);
        if (gnutls_x509_crt_get_dn(own, p->name, &size) < 0)
            snprintf(p->name, sizeof(p->name), "-");
    }
    gnutls_x509_crt_deinit(own);
    return 0;
}

/* Whether the key is that of the certificate. */
static int compare(const struct pair *p, struct error *err)
{
    unsigned char ids[2][KEY_ID_BYTES];
    size_t sizes[2] = {KEY_ID_BYTES, KEY_ID_BYTES};
    gnutls_pubkey_t public;
    int rc = gnutls_pubkey_init(&public);

    if (rc < 0)
        return complain(rc, "could not look at the key", err);
    rc = gnutls_pubkey_import_privkey(public, p->key, 0, 0);
    if (rc >= 0)
        rc = gnutls_pubkey_get_key_id(public, GNUTLS_KEYID_USE_SHA256, ids[0], &sizes[0]);
    if (rc >= 0)
        rc = gnutls_pubkey_get_key_id(p->certificates[0].pubkey, GNUTLS_KEYID_USE_SHA256, ids[1],
                                      &sizes[1]);
    gnutls_pubkey_deinit(public);
    if (rc < 0)
        return complain(rc, "could not look at the key", err);
    if (sizes[0] != sizes[1] || memcmp(ids[0], ids[1], sizes[0]) != 0)
        return error_set(err, -EINVAL, "it is the key of another certificate");
    return 0;
}

static int import_certificates(struct pair *p, const gnutls_datum_t *pem, struct error *err)
{
    unsigned n = CHAIN_MAX;
    int rc = gnutls_pcert_list_import_x509_raw(p->certificates, &n, pem, GNUTLS_X509_FMT_PEM,
                                               GNUTLS_X509_CRT_LIST_SORT);

    if (rc < 0)
        return complain(rc, "there is no chain of certificates in it", err);
    p->n_certificates = n;
    return look_at(p, err);
}

static int import_key(struct pair *p, const gnutls_datum_t *pem, struct error *err)
{
    int rc = gnutls_privkey_init(&p->key);

    if (rc >= 0)
        rc = gnutls_privkey_import_x509_raw(p->key, pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (rc == GNUTLS_E_DECRYPTION_FAILED)
        return error_set(err, -EINVAL, "the key needs a password, which there is nobody to type");
    if (rc < 0)
        return complain(rc, "there is no key in it", err);
    return compare(p, err);
}

static int import(struct pair *p, const char *path, char digest[DIGEST_TEXT],
                  int (*what)(struct pair *p, const gnutls_datum_t *pem, struct error *err),
                  struct error *err)
{
    gnutls_datum_t pem = {NULL, 0};
    size_t size;
    int rc = whole_file_read(path, FILE_BYTES_MAX, &pem.data, &size, err);

    if (rc == 0) {
        pem.size = (unsigned)size;
        digest_of(pem.data, size, digest);
        rc = what(p, &pem, err);
        gnutls_memset(pem.data, 0, size); /* a key should not lie about */
    }
    free(pem.data);
    if (rc < 0)
        error_prefix(err, "\"%s\": ", path);
    return rc;
}

static int read_pair(const struct tls *t, struct pair **out, struct error *err)
{
    struct pair *p = calloc(1, sizeof(*p));
    int rc;

    if (!p)
        return error_set(err, -ENOMEM, "out of memory reading a certificate");
    rc = import(p, t->certificate, p->digests[0], import_certificates, err);
    if (rc == 0)
        rc = import(p, t->key, p->digests[1], import_key, err);
    if (rc < 0)
        destroy_pair(p);
    else
        *out = p;
    return rc;
}

static void write_date(int64_t seconds, char out[32])
{
    time_t moment = (time_t)seconds;
    struct tm date;

    if (!gmtime_r(&moment, &date) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &date) == 0)
        snprintf(out, 32, "-");
}

static void tell(const struct pair *p)
{
    int64_t now_s = (int64_t)time(NULL), left_s = p->expires_s - now_s;
    bool valid = left_s > 0 && p->begins_s <= now_s;
    char begins[32], expires[32];

    write_date(p->begins_s, begins);
    write_date(p->expires_s, expires);
    log_write(valid && left_s >= (int64_t)SOON_DAYS * DAY_S ? LOG_INFO : LOG_WARN,
              "event=certificate name=%s chain=%u begins=%s expires=%s valid=%d", LOG_TEXT(p->name),
              p->n_certificates, begins, expires, valid);
}

/* The list is newest first. */
static void drop_old(struct tls *t, uint64_t now_ns)
{
    struct pair **link = &t->pair, *p;

    while ((p = *link)) {
        if (p == t->pair || now_ns - p->replaced_ns < t->handshake_ns) {
            link = &p->older;
            continue;
        }
        *link = p->older;
        destroy_pair(p);
    }
}

int tls_reload(struct tls *t, struct error *err)
{
    struct pair *p = NULL;
    int rc = read_pair(t, &p, err);

    if (rc < 0)
        return rc;
    drop_old(t, uv_hrtime());
    if (t->pair && memcmp(p->digests, t->pair->digests, sizeof(p->digests)) == 0) {
        destroy_pair(p);
        return 0;
    }
    if (t->pair)
        t->pair->replaced_ns = uv_hrtime();
    p->older = t->pair;
    t->pair = p;
    tell(p);
    return 0;
}

int tls_create(const struct settings *settings, struct tls **out, struct error *err)
{
    struct tls *t;
    int rc;

    *out = NULL;
    if (!*settings->tls_cert)
        return 0;
    if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES ||
        MHD_is_feature_supported(MHD_FEATURE_HTTPS_CERT_CALLBACK) != MHD_YES)
        return error_set(err, -ENOTSUP,
                         "libmicrohttpd %s was built without TLS: put a proxy in front that has "
                         "it, "
                         "and leave out --tls-cert and --tls-key",
                         MHD_get_version());
    tls_numbers_reserve();
    t = calloc(1, sizeof(*t));
    if (!t)
        return error_set(err, -ENOMEM, "out of memory reading a certificate");
    snprintf(t->certificate, sizeof(t->certificate), "%s", settings->tls_cert);
    snprintf(t->key, sizeof(t->key), "%s", settings->tls_key);
    t->handshake_ns = 2 * (uint64_t)settings->header_timeout_ms * 1000000;
    rc = tls_reload(t, err);
    if (rc < 0) {
        tls_destroy(t);
        return rc;
    }
    shown = t;
    *out = t;
    return 0;
}

void tls_destroy(struct tls *t)
{
    struct pair *older;

    for (struct pair *p = t ? t->pair : NULL; p; p = older) {
        older = p->older;
        destroy_pair(p);
    }
    if (shown == t)
        shown = NULL;
    free(t);
}

int64_t tls_expires_s(const struct tls *t)
{
    return t->pair->expires_s;
}

void tls_describe(const struct tls *t, char *out, size_t size)
{
    char expires[32];

    write_date(t->pair->expires_s, expires);
    snprintf(out, size, "%s until %s%s", t->pair->name, expires,
             t->pair->expires_s <= (int64_t)time(NULL) ? ", which is over" : "");
}

int tls_retrieve(gnutls_session_t session, const gnutls_datum_t *authorities, int n_authorities,
                 const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
                 gnutls_pcert_st **certificates, unsigned *n_certificates, gnutls_privkey_t *key)
{
    if (!shown)
        return -1;
    *certificates = shown->pair->certificates;
    *n_certificates = shown->pair->n_certificates;
    *key = shown->pair->key;
    return 0;
}

bool tls_send(void *session, const void *bytes, size_t size)
{
    return gnutls_record_send(session, bytes, size) == (ssize_t)size;
}
