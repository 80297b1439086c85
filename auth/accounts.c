/*
 * Local accounts in the registry.
 */

#include "auth/accounts.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/assignments.h"
#include "auth/personal_tokens.h"
#include "auth/principals.h"
#include "auth/sign_ins.h"
#include "computes/amld.h"

#define ACCOUNT_PREFIX "account/"


const char *
amld_account_strerror(amld_account_rc_t rc)
{
    switch (rc) {
    case AMLD_ACCOUNT_OK:
        return "done";
    case AMLD_ACCOUNT_NAME:
        return "a name is 1 to 64 letters, digits and . _ @ -, with a letter "
               "or a digit first";
    case AMLD_ACCOUNT_PASSWORD:
        return "a password is 8 to 511 bytes";
    case AMLD_ACCOUNT_EXISTS:
        return "there is an account of this name";
    case AMLD_ACCOUNT_MISSING:
        return "there is no account of this name";
    case AMLD_ACCOUNT_REFUSED:
        return "name or password is wrong";
    case AMLD_ACCOUNT_FAILED:
        break;
    }

    return "the registry can't be used";
}


int
amld_account_name_valid(const char *name)
{
    size_t i;

    if (!isalnum((unsigned char) name[0])) {
        return 0;
    }

    for (i = 0; name[i] != '\0'; i++) {
        if (i == AMLD_ACCOUNT_NAME_MAX || (!isalnum((unsigned char) name[i]) &&
                                           strchr("._@-", name[i]) == NULL)) {
            return 0;
        }
    }

    return 1;
}


static amld_account_rc_t
account_failed(const char *name, aml_registry_rc_t rc)
{
    amld_log(AMLD_LOG_ERROR, "account %s: %s", name, aml_registry_strerror(rc));

    return AMLD_ACCOUNT_FAILED;
}


static size_t
account_key(char key[AML_REGISTRY_KEY_MAX + 1], const char *name)
{
    size_t n = sizeof(ACCOUNT_PREFIX) - 1;

    memcpy(key, ACCOUNT_PREFIX, n);
    for (; *name != '\0'; name++) {
        key[n++] = (char) tolower((unsigned char) *name);
    }
    key[n] = '\0';

    return n;
}


static int
account_derive(amld_account_t *account)
{
    return aml_principal_derive(aml_str(AMLD_LOCAL_SPACE),
                                aml_str_of(account->uuid), &account->principal);
}


static int
account_decode(aml_str_t value, amld_account_t *account)
{
    const char *uuid, *name, *hash;
    json_int_t created;
    json_t *json;
    int rc = -1;

    json = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);

    if (json_unpack(json, "{s:s, s:s, s:s, s:I}", "uuid", &uuid, "name", &name,
                    "hash", &hash, "created", &created) == 0 &&
        strlen(uuid) == AML_UUID_TEXT && amld_account_name_valid(name) &&
        strlen(hash) < AML_PASSWORD_HASH_SIZE) {
        memset(account, 0, sizeof(*account));
        memcpy(account->uuid, uuid, strlen(uuid));
        memcpy(account->name, name, strlen(name));
        memcpy(account->hash, hash, strlen(hash));
        account->created = created;
        rc = account_derive(account);
    }

    json_decref(json);

    return rc;
}


static aml_registry_rc_t
account_put(aml_registry_txn_t *txn, const amld_account_t *account)
{
    char key[AML_REGISTRY_KEY_MAX + 1], *text;
    aml_registry_rc_t rc;
    json_t *json;

    json = json_pack("{s:s, s:s, s:s, s:I}", "uuid", account->uuid, "name",
                     account->name, "hash", account->hash, "created",
                     (json_int_t) account->created);
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);

    if (text == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    rc = aml_registry_put(txn, key, account_key(key, account->name), text,
                          strlen(text));
    free(text);

    return rc;
}


amld_account_rc_t
amld_account_find(aml_registry_txn_t *txn, const char *name,
                  amld_account_t *account)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc;
    aml_str_t value;

    if (!amld_account_name_valid(name)) {
        return AMLD_ACCOUNT_NAME;
    }

    rc = aml_registry_get(txn, key, account_key(key, name), &value);
    if (rc == AML_REGISTRY_NOTFOUND) {
        return AMLD_ACCOUNT_MISSING;
    }

    if (rc == AML_REGISTRY_OK && account_decode(value, account) != 0) {
        rc = AML_REGISTRY_CORRUPT;
    }

    return rc == AML_REGISTRY_OK ? AMLD_ACCOUNT_OK : account_failed(name, rc);
}


/* The principal of the account as it is from now on.  What was issued up to
 * `now` is void; 0: there is nothing yet. */
static aml_registry_rc_t
account_principal(aml_registry_txn_t *txn, const amld_account_t *account,
                  int64_t now, int disabled)
{
    amld_principal_t p;
    aml_registry_rc_t rc;

    rc = amld_principal_load(txn, &account->principal, &p);
    if (rc == AML_REGISTRY_NOTFOUND) {
        rc = AML_REGISTRY_OK;
    }

    if (rc == AML_REGISTRY_OK) {
        free(p.name);
        free(p.issuer);
        p.name = strdup(account->name);
        p.issuer = strdup(AMLD_LOCAL_SPACE);
        if (now != 0) {
            amld_principal_void(&p, now);
        }
        if (disabled) {
            p.flags |= AML_PRINCIPAL_DISABLED;
            p.count = 0;
        }

        if (p.name == NULL || p.issuer == NULL) {
            errno = ENOMEM;
            rc = AML_REGISTRY_FAILED;
        } else {
            rc = amld_principal_store(txn, &account->principal, &p);
        }
    }

    amld_principal_clear(&p);

    return rc;
}


static amld_account_rc_t
account_finish(aml_registry_txn_t *txn, const char *name, aml_registry_rc_t rc)
{
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_commit(txn);
    } else {
        aml_registry_end(txn);
    }

    return rc == AML_REGISTRY_OK ? AMLD_ACCOUNT_OK : account_failed(name, rc);
}


static amld_account_rc_t
account_hash(const char *password, amld_account_t *account)
{
    size_t n = strlen(password);

    if (n < AMLD_PASSWORD_MIN || n > AML_PASSWORD_MAX) {
        return AMLD_ACCOUNT_PASSWORD;
    }

    if (aml_password_hash(password, account->hash) != 0) {
        amld_log(AMLD_LOG_ERROR, "account %s: the password can't be hashed",
                 account->name);
        return AMLD_ACCOUNT_FAILED;
    }

    return AMLD_ACCOUNT_OK;
}


amld_account_rc_t
amld_account_add(aml_registry_t *registry, const char *name,
                 const char *password, int64_t now, amld_account_t *out)
{
    amld_account_t account, other;
    aml_principal_id_t uuid;
    aml_registry_txn_t *txn;
    amld_account_rc_t found;
    aml_registry_rc_t rc;

    if (!amld_account_name_valid(name)) {
        return AMLD_ACCOUNT_NAME;
    }

    memset(&account, 0, sizeof(account));
    memcpy(account.name, name, strlen(name));
    account.created = now;

    found = account_hash(password, &account);
    if (found != AMLD_ACCOUNT_OK) {
        return found;
    }

    if (aml_uuid_random(&uuid) != 0) {
        return account_failed(name, AML_REGISTRY_FAILED);
    }
    aml_uuid_format(&uuid, account.uuid);

    if (account_derive(&account) != 0) {
        return account_failed(name, AML_REGISTRY_FAILED);
    }

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return account_failed(name, rc);
    }

    found = amld_account_find(txn, name, &other);
    if (found != AMLD_ACCOUNT_MISSING) {
        aml_registry_end(txn);
        return found == AMLD_ACCOUNT_OK ? AMLD_ACCOUNT_EXISTS : found;
    }

    rc = account_put(txn, &account);
    if (rc == AML_REGISTRY_OK) {
        rc = account_principal(txn, &account, 0, 0);
    }

    if (out != NULL) {
        *out = account;
    }

    return account_finish(txn, name, rc);
}


amld_account_rc_t
amld_account_remove(aml_registry_t *registry, const char *name, int64_t now)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_txn_t *txn;
    amld_account_t account;
    amld_account_rc_t found;
    aml_registry_rc_t rc;

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return account_failed(name, rc);
    }

    found = amld_account_find(txn, name, &account);
    if (found != AMLD_ACCOUNT_OK) {
        aml_registry_end(txn);
        return found;
    }

    rc = aml_registry_del(txn, key, account_key(key, name));
    if (rc == AML_REGISTRY_OK) {
        rc = account_principal(txn, &account, now, 1);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = amld_assignments_end_of(txn, &account.principal);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = amld_sign_ins_end_of(txn, &account.principal, NULL, NULL);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = amld_personal_tokens_end_of(txn, &account.principal, NULL);
    }

    return account_finish(txn, name, rc);
}


amld_account_rc_t
amld_account_set_password(aml_registry_t *registry, const char *name,
                          const char *password, int64_t now)
{
    amld_account_t account, changed;
    aml_registry_txn_t *txn;
    amld_account_rc_t found;
    aml_registry_rc_t rc;

    if (!amld_account_name_valid(name)) {
        return AMLD_ACCOUNT_NAME;
    }

    memset(&changed, 0, sizeof(changed));
    memcpy(changed.name, name, strlen(name));

    found = account_hash(password, &changed);
    if (found != AMLD_ACCOUNT_OK) {
        return found;
    }

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return account_failed(name, rc);
    }

    found = amld_account_find(txn, name, &account);
    if (found != AMLD_ACCOUNT_OK) {
        aml_registry_end(txn);
        return found;
    }

    memcpy(account.hash, changed.hash, sizeof(account.hash));

    rc = account_put(txn, &account);
    if (rc == AML_REGISTRY_OK) {
        rc = account_principal(txn, &account, now, 0);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = amld_sign_ins_end_of(txn, &account.principal, NULL, NULL);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = amld_personal_tokens_end_of(txn, &account.principal, NULL);
    }

    return account_finish(txn, name, rc);
}


typedef struct {
    amld_account_each_pt each;
    void *data;
} account_walk_t;


static int
account_walk(void *data, aml_str_t key, aml_str_t value)
{
    account_walk_t *walk = data;
    amld_account_t account;

    if (account_decode(value, &account) != 0) {
        amld_log(AMLD_LOG_ERROR, "%.*s: can't be read", (int) key.n, key.p);
        return 0;
    }

    return walk->each(walk->data, &account);
}


amld_account_rc_t
amld_account_each(aml_registry_txn_t *txn, amld_account_each_pt each,
                  void *data)
{
    account_walk_t walk = {.each = each, .data = data};
    aml_registry_rc_t rc;

    rc = aml_registry_each(txn, aml_str(ACCOUNT_PREFIX), (aml_str_t){NULL, 0},
                           account_walk, &walk);

    return rc == AML_REGISTRY_OK || rc == AML_REGISTRY_NOTFOUND
               ? AMLD_ACCOUNT_OK
               : account_failed("list", rc);
}


amld_account_rc_t
amld_account_check(aml_registry_t *registry, const char *name,
                   const char *password, amld_account_t *account)
{
    aml_registry_txn_t *txn;
    amld_account_rc_t found;
    aml_registry_rc_t rc;
    int right;

    rc = aml_registry_read(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return account_failed("check", rc);
    }

    found = amld_account_find(txn, name, account);
    aml_registry_end(txn);

    if (found == AMLD_ACCOUNT_FAILED) {
        return found;
    }

    right = aml_password_check(password,
                               found == AMLD_ACCOUNT_OK ? account->hash : NULL);

    return found == AMLD_ACCOUNT_OK && right ? AMLD_ACCOUNT_OK
                                             : AMLD_ACCOUNT_REFUSED;
}


int
amld_account_same(aml_registry_txn_t *txn, const amld_account_t *account)
{
    amld_account_t now;

    return amld_account_find(txn, account->name, &now) == AMLD_ACCOUNT_OK &&
           strcmp(now.uuid, account->uuid) == 0 &&
           CRYPTO_memcmp(now.hash, account->hash, sizeof(now.hash)) == 0;
}
