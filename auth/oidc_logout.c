/*
 * Ends of sign-ins in the registry.
 */

#include "auth/oidc_logout.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/expiring.h"
#include "auth/json.h"
#include "auth/sign_in_secrets.h"
#include "auth/sign_ins.h"

#define KEY_SIZE 96

typedef struct {
    char text[KEY_SIZE];
    size_t n;
} logout_key_t;


static logout_key_t
key_of(const char *prefix, const uint8_t hash[32])
{
    char hex[AMLD_HASH_HEX_SIZE];
    logout_key_t k;

    amld_hash_format(hash, hex);
    k.n = (size_t) snprintf(k.text, sizeof(k.text), "%s%s", prefix, hex);

    return k;
}


/* ---- what was ended ---- */

/* Three texts, each with its end, so that no two make the same.  A key of no
 * bytes, which no registry takes, when OpenSSL fails. */
static logout_key_t
mark_key(const char *iss, const char *what, const char *value)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    logout_key_t k = {.n = 0};
    uint8_t hash[32];

    if (ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
        EVP_DigestUpdate(ctx, iss, strlen(iss) + 1) == 1 &&
        EVP_DigestUpdate(ctx, what, strlen(what) + 1) == 1 &&
        EVP_DigestUpdate(ctx, value, strlen(value) + 1) == 1 &&
        EVP_DigestFinal_ex(ctx, hash, NULL) == 1) {
        k = key_of(AMLD_LOGOUT_PREFIX, hash);
    }
    EVP_MD_CTX_free(ctx);

    return k;
}


typedef struct {
    char expires[AMLD_EXPIRING_HEAD];
    char issued[AMLD_EXPIRING_HEAD]; /* of the logout token */
} mark_t;


static aml_registry_rc_t
mark_put(aml_registry_txn_t *txn, logout_key_t k, int64_t issued, int64_t now)
{
    mark_t mark;

    amld_expiring_write(mark.expires, now + AMLD_LOGOUT_LIFETIME);
    amld_expiring_write(mark.issued, issued);

    return aml_registry_put(txn, k.text, k.n, &mark, sizeof(mark));
}


/* When the logout token was issued; NOTFOUND when there is none, or that is
 * over. */
static aml_registry_rc_t
mark_get(aml_registry_txn_t *txn, logout_key_t k, int64_t now, int64_t *issued)
{
    aml_registry_rc_t rc;
    aml_str_t value;

    rc = aml_registry_get(txn, k.text, k.n, &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }
    if (value.n != sizeof(mark_t) || amld_expiring_read(value) <= now) {
        return AML_REGISTRY_NOTFOUND;
    }

    *issued = amld_expiring_read((aml_str_t){value.p + AMLD_EXPIRING_HEAD,
                                             value.n - AMLD_EXPIRING_HEAD});

    return AML_REGISTRY_OK;
}


int
amld_oidc_logged_out(aml_registry_txn_t *txn, const amld_oidc_who_t *who,
                     int64_t now)
{
    const char *const marks[][2] = {{"sid", who->sid}, {"sub", who->subject}};
    aml_registry_rc_t rc;
    int64_t issued;
    size_t i;

    for (i = 0; i < 2; i++) {
        if (*marks[i][1] == '\0') {
            continue;
        }

        rc = mark_get(txn, mark_key(who->iss, marks[i][0], marks[i][1]), now,
                      &issued);
        if (rc == AML_REGISTRY_OK && issued >= who->identity.issued) {
            return 1;
        }
        if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
            return -1;
        }
    }

    return 0;
}


/* ---- ending ---- */

/* Sign-ins of the provider that have no session of it: its `sid` can't tell
 * them apart from others, so that `sub` has to. */
typedef struct {
    const amld_oidc_who_t *who;
    size_t n;
    aml_principal_id_t id[64];
} without_sid_t;


static int
without_sid_each(void *data, const amld_sign_in_t *s)
{
    without_sid_t *w = data;

    if (*s->sid == '\0' && strcmp(s->method, "oidc") == 0 &&
        strcmp(s->issuer, w->who->iss) == 0) {
        w->id[w->n++] = s->id;
    }

    return w->n == sizeof(w->id) / sizeof(w->id[0]);
}


static aml_registry_rc_t
end_without_sid(aml_registry_txn_t *txn, const amld_oidc_who_t *who,
                const aml_principal_id_t *principal, size_t *ended)
{
    without_sid_t w = {.who = who};
    aml_registry_rc_t rc;
    size_t i;

    do {
        w.n = 0;
        rc = amld_sign_ins_each(txn, principal, without_sid_each, &w);
        for (i = 0; i < w.n && rc == AML_REGISTRY_OK; i++) {
            rc = amld_sign_in_end(txn, &w.id[i]);
            *ended += rc == AML_REGISTRY_OK;
        }
    } while (rc == AML_REGISTRY_OK && w.n > 0);

    return rc;
}


static aml_registry_rc_t
logout_end(aml_registry_txn_t *txn, const amld_oidc_who_t *who, size_t *ended)
{
    aml_principal_id_t principal = {{0}};
    aml_registry_rc_t rc = AML_REGISTRY_NOTFOUND;
    size_t by_sid;

    if (*who->subject != '\0') {
        rc = amld_oidc_principal(txn, who, &principal);
        if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
            return rc;
        }
    }

    if (*who->sid == '\0') {
        return rc == AML_REGISTRY_NOTFOUND
                   ? AML_REGISTRY_OK
                   : amld_sign_ins_end_sid(txn, who->iss, "", &principal,
                                           ended);
    }

    if (rc == AML_REGISTRY_OK) {
        rc = end_without_sid(txn, who, &principal, ended);
        if (rc != AML_REGISTRY_OK) {
            return rc;
        }
    }

    rc = amld_sign_ins_end_sid(txn, who->iss, who->sid, NULL, &by_sid);
    *ended += by_sid;

    return rc;
}


aml_registry_rc_t
amld_oidc_logout(aml_registry_t *registry, const amld_oidc_who_t *who,
                 int64_t now, size_t *ended)
{
    const char *jti = json_string_value(json_object_get(who->claims, "jti"));
    logout_key_t used = mark_key(who->iss, "jti", jti);
    int64_t issued = who->identity.issued, before;
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    *ended = 0;

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = mark_get(txn, used, now, &before);
    rc = rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK
         : rc == AML_REGISTRY_OK     ? AML_REGISTRY_DENIED
                                     : rc;

    if (rc == AML_REGISTRY_OK) {
        rc = mark_put(txn, used, issued, now);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = mark_put(txn,
                      *who->sid != '\0'
                          ? mark_key(who->iss, "sid", who->sid)
                          : mark_key(who->iss, "sub", who->subject),
                      issued, now);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = logout_end(txn, who, ended);
    }

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        *ended = 0;
        return rc;
    }

    return aml_registry_commit(txn);
}


/* ---- on the way to the provider ---- */

static int
leave_key(const char *code, logout_key_t *k)
{
    uint8_t hash[32];

    if (amld_secret_hash(code, hash) != 0) {
        return -1;
    }
    *k = key_of(AMLD_LEAVE_PREFIX, hash);

    return 0;
}


static aml_registry_rc_t
leave_put(aml_registry_txn_t *txn, const amld_sealer_t *sealer, logout_key_t k,
          const char *iss, const char *id_token, int64_t now)
{
    aml_registry_rc_t rc = AML_REGISTRY_FAILED;
    uint8_t *value = NULL;
    char *text;
    json_t *json;
    size_t n;

    json = json_pack("{s:s, s:s}", "iss", iss, "id_token", id_token);
    text = json_dumps(json, JSON_COMPACT);
    amld_sign_in_secret_forget(json);
    n = text != NULL ? strlen(text) : 0;

    if (text != NULL) {
        value = malloc(AMLD_EXPIRING_HEAD + n + AMLD_SEALED_EXTRA);
    }
    errno = ENOMEM;

    if (value != NULL &&
        amld_seal(sealer, (aml_str_t){k.text, k.n}, (aml_str_t){text, n},
                  value + AMLD_EXPIRING_HEAD) == 0) {
        amld_expiring_write(value, now + AMLD_LEAVE_LIFETIME);
        rc = aml_registry_put(txn, k.text, k.n, value,
                              AMLD_EXPIRING_HEAD + n + AMLD_SEALED_EXTRA);
    }

    if (text != NULL) {
        OPENSSL_cleanse(text, n);
    }
    free(text);
    free(value);

    return rc;
}


aml_registry_rc_t
amld_oidc_leave_begin(aml_registry_txn_t *txn, const amld_sealer_t *sealer,
                      const aml_principal_id_t *sign_in, int64_t now,
                      char code[AMLD_SECRET_SIZE])
{
    json_t *document = NULL, *json = NULL;
    amld_sign_in_secret_t secret;
    amld_sign_in_t s;
    aml_registry_rc_t rc;
    uint8_t hash[32];

    rc = amld_sign_in_get(txn, sign_in, &s, &document);
    if (rc == AML_REGISTRY_OK && strcmp(s.method, "oidc") != 0) {
        rc = AML_REGISTRY_NOTFOUND;
    }

    if (rc == AML_REGISTRY_OK) {
        rc = amld_sign_in_secret_get(txn, sealer, sign_in, &secret, &json);
        if (rc == AML_REGISTRY_NOTFOUND) {
            secret.id_token = "";
            rc = AML_REGISTRY_OK;
        }
    }

    if (rc == AML_REGISTRY_OK) {
        errno = EIO;
        rc = amld_secret_new(code, hash) == 0
                 ? leave_put(txn, sealer, key_of(AMLD_LEAVE_PREFIX, hash),
                             s.issuer, secret.id_token, now)
                 : AML_REGISTRY_FAILED;
    }

    amld_sign_in_secret_forget(json);
    json_decref(document);

    return rc;
}


static json_t *
leave_open(const amld_sealer_t *sealer, logout_key_t k, aml_str_t value)
{
    json_t *json = NULL;
    uint8_t *text;
    size_t n;

    if (value.n <= AMLD_EXPIRING_HEAD + AMLD_SEALED_EXTRA) {
        return NULL;
    }

    value.p += AMLD_EXPIRING_HEAD;
    value.n -= AMLD_EXPIRING_HEAD;
    n = value.n - AMLD_SEALED_EXTRA;

    text = malloc(n);
    if (text != NULL &&
        amld_unseal(sealer, (aml_str_t){k.text, k.n}, value, text) == 0) {
        json = aml_json_object((aml_str_t){(const char *) text, n});
        OPENSSL_cleanse(text, n);
    }
    free(text);

    return json;
}


aml_registry_rc_t
amld_oidc_leave_take(aml_registry_t *registry, const amld_sealer_t *sealer,
                     const char *code, int64_t now, const char **iss,
                     const char **id_token, json_t **json)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    aml_str_t value;
    logout_key_t k;

    *json = NULL;

    if (leave_key(code, &k) != 0) {
        return AML_REGISTRY_NOTFOUND;
    }

    rc = amld_expiring_there(registry, k.text, k.n);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_write(registry, &txn);
    }
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = aml_registry_get(txn, k.text, k.n, &value);
    if (rc == AML_REGISTRY_OK) {
        if (amld_expiring_read(value) > now) {
            *json = leave_open(sealer, k, value);
        }
        rc = aml_registry_del(txn, k.text, k.n);
    }

    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_commit(txn);
    } else {
        aml_registry_end(txn);
    }

    if (rc == AML_REGISTRY_OK && json_unpack(*json, "{s:s, s:s}", "iss", iss,
                                             "id_token", id_token) != 0) {
        rc = AML_REGISTRY_NOTFOUND;
    }
    if (rc != AML_REGISTRY_OK) {
        amld_sign_in_secret_forget(*json);
        *json = NULL;
    }

    return rc;
}
