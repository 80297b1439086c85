#include "computes/instances/ssh_key.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "computes/instances/base64.h"

#define SSH_RSA_LEAST 2048
#define SSH_RSA_MOST 16384

typedef struct {
    const uint8_t *p;
    size_t n;
} ssh_part_t;

typedef struct {
    const char *name;
    const char *curve; /* in the blob; NULL: no ECDSA */
    const char *group; /* OpenSSL's */
} ssh_type_t;

static const ssh_type_t ssh_types[] = {
    {"ssh-ed25519", NULL, NULL},
    {"ssh-rsa", NULL, NULL},
    {"ecdsa-sha2-nistp256", "nistp256", "P-256"},
    {"ecdsa-sha2-nistp384", "nistp384", "P-384"},
    {"ecdsa-sha2-nistp521", "nistp521", "P-521"},
};

static const char *
ssh_blob(const ssh_type_t *type, const uint8_t *blob, size_t n);
static int ssh_take(ssh_part_t *rest, ssh_part_t *part);
static int ssh_is(const ssh_part_t *part, const char *text);
static size_t ssh_number(const ssh_part_t *part);
static int ssh_point(const char *group, const ssh_part_t *point);


const char *
amld_ssh_key_fault(const char *text, size_t *len)
{
    char blob[amld_base64_room(AMLD_SSH_KEY_MAX)];
    size_t i, k, n, end;

    n = strlen(text);
    while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL) {
        n--;
    }
    *len = n;

    if (n == 0) {
        return "is empty";
    }
    if (n > AMLD_SSH_KEY_MAX) {
        return "is longer than a key can be";
    }

    for (i = 0; i < n; i++) {
        if ((unsigned char) text[i] < ' ' || text[i] == 127) {
            return "is more than one line, or has a control character";
        }
    }

    n = strcspn(text, " ");

    for (k = 0; k < sizeof(ssh_types) / sizeof(ssh_types[0]); k++) {
        if (strlen(ssh_types[k].name) == n &&
            memcmp(text, ssh_types[k].name, n) == 0) {
            break;
        }
    }
    if (k == sizeof(ssh_types) / sizeof(ssh_types[0])) {
        return "does not begin with ssh-ed25519, ssh-rsa, "
               "ecdsa-sha2-nistp256, ecdsa-sha2-nistp384 or "
               "ecdsa-sha2-nistp521";
    }

    i = n + strspn(text + n, " ");
    end = i;
    while (end < *len && text[end] != ' ') {
        end++;
    }

    if (end == i || amld_base64_decode(blob, &n, text + i, end - i) != 0) {
        return "has no base64 behind its type";
    }

    return ssh_blob(&ssh_types[k], (const uint8_t *) blob, n);
}


static const char *
ssh_blob(const ssh_type_t *type, const uint8_t *blob, size_t n)
{
    size_t bits;
    ssh_part_t rest, name, first, second;

    static const char cut[] = "is cut short, or something follows it";

    rest.p = blob;
    rest.n = n;

    if (ssh_take(&rest, &name) != 0) {
        return cut;
    }
    if (!ssh_is(&name, type->name)) {
        return "says one type and is of another";
    }
    if (ssh_take(&rest, &first) != 0) {
        return cut;
    }

    if (type->curve == NULL && strcmp(type->name, "ssh-ed25519") == 0) {
        return rest.n != 0     ? cut
               : first.n != 32 ? "is no Ed25519 key: it has not 32 bytes"
                               : NULL;
    }

    if (ssh_take(&rest, &second) != 0 || rest.n != 0) {
        return cut;
    }

    if (type->curve != NULL) {
        return !ssh_is(&first, type->curve) ? "says one curve and is of another"
               : !ssh_point(type->group, &second) ? "is no point of its curve"
                                                  : NULL;
    }

    /* the exponent, then the modulus */
    bits = ssh_number(&first);
    if (bits < 2 || bits > 64 || (first.p[first.n - 1] & 1) == 0) {
        return "is no RSA key: its exponent can't be one";
    }

    bits = ssh_number(&second);
    if (bits < SSH_RSA_LEAST || bits > SSH_RSA_MOST ||
        (second.p[second.n - 1] & 1) == 0) {
        return "is no RSA key of 2048 to 16384 bits";
    }

    return NULL;
}


/* A string: its length in four bytes, then as many. */
static int
ssh_take(ssh_part_t *rest, ssh_part_t *part)
{
    uint32_t n;

    if (rest->n < 4) {
        return -1;
    }

    n = (uint32_t) rest->p[0] << 24 | (uint32_t) rest->p[1] << 16 |
        (uint32_t) rest->p[2] << 8 | rest->p[3];
    if (n > rest->n - 4) {
        return -1;
    }

    part->p = rest->p + 4;
    part->n = n;
    rest->p += 4 + n;
    rest->n -= 4 + n;

    return 0;
}


static int
ssh_is(const ssh_part_t *part, const char *text)
{
    return part->n == strlen(text) && memcmp(part->p, text, part->n) == 0;
}


/* Bits of an mpint (RFC 4251 section 5); 0 when it is none, or not above 0. */
static size_t
ssh_number(const ssh_part_t *part)
{
    size_t bits;
    unsigned top;
    const uint8_t *p;

    p = part->p;
    bits = part->n * 8;

    if (part->n == 0 || (p[0] & 0x80) != 0) {
        return 0;
    }
    if (p[0] == 0) {
        /* only where it is needed */
        if (part->n == 1 || (p[1] & 0x80) == 0) {
            return 0;
        }
        return bits - 8;
    }

    for (top = p[0]; (top & 0x80) == 0; top <<= 1) {
        bits--;
    }

    return bits;
}


static int
ssh_point(const char *group, const ssh_part_t *point)
{
    int ok;
    EVP_PKEY *key;
    EVP_PKEY_CTX *ctx;
    OSSL_PARAM params[3];

    /* RFC 5656 allows compressed points; OpenSSH makes none */
    if (point->n == 0 || point->p[0] != 4) {
        return 0;
    }

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                 (char *) group, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
                                                  (void *) point->p, point->n);
    params[2] = OSSL_PARAM_construct_end();

    key = NULL;
    ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    ok = ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
         EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1;

    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);

    return ok;
}
