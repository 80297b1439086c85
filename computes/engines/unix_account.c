#include "computes/engines/unix_account.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/accounts.h"
#include "auth/pam.h"

#define UNIX_KEY "unix-account/"
#define UNIX_ROOM 16384 /* of an entry of the machine's accounts */
#define UNIX_BATCH 256  /* records that a commit removes */

typedef struct {
    const amld_config_t *config;
    size_t count;
    aml_principal_id_t of[UNIX_BATCH];
} unix_strays_t;

static size_t unix_key(char key[AML_REGISTRY_KEY_MAX + 1],
                       const aml_principal_id_t *principal);
static int unix_said(const amld_config_t *c, aml_str_t value,
                     char name[AMLD_UNIX_NAME + 1]);
static int unix_each(void *data, aml_str_t key, aml_str_t value);
static int unix_name_valid(const char *name, size_t n);


int
amld_unix_account_of(aml_registry_t *registry, const amld_config_t *c,
                     const char *principal, const char *label,
                     char name[AMLD_UNIX_NAME + 1])
{
    int found;
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_str_t value;
    aml_principal_id_t id, other;
    amld_account_t account;
    aml_registry_txn_t *txn;

    if (aml_uuid_parse(aml_str_of(principal), &id) != 0 ||
        aml_registry_read(registry, &txn) != AML_REGISTRY_OK) {
        return -1;
    }

    found = 0;

    if (aml_registry_get(txn, key, unix_key(key, &id), &value) ==
            AML_REGISTRY_OK &&
        unix_said(c, value, name)) {
        found = 1;

    } else if (unix_name_valid(label, strlen(label)) &&
               ((c->pam != NULL && amld_pam_principal(label, &other) == 0 &&
                 memcmp(&other, &id, sizeof(id)) == 0) ||
                (amld_account_find(txn, label, &account) == AMLD_ACCOUNT_OK &&
                 memcmp(&account.principal, &id, sizeof(id)) == 0))) {
        memcpy(name, label, strlen(label) + 1);
        found = 1;
    }

    aml_registry_end(txn);

    return found ? 0 : -1;
}


int
amld_unix_account_get(const amld_config_t *c, const char *name,
                      amld_unix_account_t *account, char *err, size_t size)
{
    int rc;
    char room[UNIX_ROOM];
    size_t k;
    struct passwd pw, *found;

    rc = getpwnam_r(name, &pw, room, sizeof(room), &found);

    if (rc != 0 || found == NULL) {
        snprintf(err, size,
                 "There is no account \"%s\" on this machine%s%s for this "
                 "instance to run as. Whoever runs the machine has to add it.",
                 name, rc != 0 ? ": " : "", rc != 0 ? strerror(rc) : "");
        return -1;
    }

    if (pw.pw_uid == 0 || pw.pw_gid == 0 ||
        pw.pw_uid < c->unix_accounts_least) {
        snprintf(err, size,
                 "Instances do not run as the account \"%s\" (uid %lu): it is "
                 "root's, or below unix_accounts_least, which is %u.",
                 name, (unsigned long) pw.pw_uid, c->unix_accounts_least);
        return -1;
    }

    for (k = 0; k < c->gateway_uid_count; k++) {
        if (c->gateway_uids[k] == pw.pw_uid) {
            snprintf(err, size,
                     "Instances do not run as the account \"%s\": it is the "
                     "gateway's.",
                     name);
            return -1;
        }
    }

    account->uid = pw.pw_uid;
    account->gid = pw.pw_gid;
    snprintf(account->name, sizeof(account->name), "%s", name);

    return 0;
}


aml_registry_rc_t
amld_unix_account_say(aml_registry_txn_t *txn,
                      const aml_principal_id_t *principal, const char *issuer,
                      const char *claim, const char *name)
{
    char key[AML_REGISTRY_KEY_MAX + 1], *text;
    size_t n;
    json_t *doc;
    aml_str_t value;
    aml_registry_rc_t rc;

    n = unix_key(key, principal);
    rc = aml_registry_get(txn, key, n, &value);
    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        return rc;
    }

    if (name == NULL || !unix_name_valid(name, strlen(name))) {
        return rc == AML_REGISTRY_OK ? aml_registry_del(txn, key, n)
                                     : AML_REGISTRY_OK;
    }

    doc = json_pack("{s:s, s:s, s:s}", "account", name, "claim", claim,
                    "issuer", issuer);
    text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(doc);
    if (text == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    if (rc == AML_REGISTRY_NOTFOUND || !aml_str_eq(value, aml_str_of(text))) {
        rc = aml_registry_put(txn, key, n, text, strlen(text));
    }
    free(text);

    return rc;
}


aml_registry_rc_t
amld_unix_account_sweep(aml_registry_t *registry, const amld_config_t *c)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    size_t i;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;
    unix_strays_t strays = {.config = c};

    do {
        strays.count = 0;
        rc = aml_registry_read(registry, &txn);
        if (rc == AML_REGISTRY_OK) {
            rc = aml_registry_each(txn, aml_str(UNIX_KEY), aml_str(""),
                                   unix_each, &strays);
            aml_registry_end(txn);
        }
        if (rc != AML_REGISTRY_OK || strays.count == 0) {
            return rc;
        }

        rc = aml_registry_write(registry, &txn);
        if (rc != AML_REGISTRY_OK) {
            return rc;
        }
        for (i = 0; i < strays.count && rc == AML_REGISTRY_OK; i++) {
            rc = aml_registry_del(txn, key, unix_key(key, &strays.of[i]));
        }
        if (rc != AML_REGISTRY_OK) {
            aml_registry_end(txn);
            return rc;
        }
        rc = aml_registry_commit(txn);
    } while (rc == AML_REGISTRY_OK && strays.count == UNIX_BATCH);

    return rc;
}


int
amld_unix_gateway_group(const amld_config_t *c, gid_t *gid)
{
    char room[UNIX_ROOM];
    struct group gr, *group;
    struct passwd pw, *user;

    if (c->registry_group != NULL) {
        if (getgrnam_r(c->registry_group, &gr, room, sizeof(room), &group) !=
                0 ||
            group == NULL) {
            return -1;
        }
        *gid = gr.gr_gid;
        return 0;
    }

    if (c->gateway_uid_count == 0 ||
        getpwuid_r(c->gateway_uids[0], &pw, room, sizeof(room), &user) != 0 ||
        user == NULL) {
        return -1;
    }
    *gid = pw.pw_gid;

    return 0;
}


static size_t
unix_key(char key[AML_REGISTRY_KEY_MAX + 1],
         const aml_principal_id_t *principal)
{
    memcpy(key, UNIX_KEY, sizeof(UNIX_KEY) - 1);
    aml_uuid_format(principal, key + sizeof(UNIX_KEY) - 1);

    return strlen(key);
}


/* What was said counts as long as who said it, and by what, is configured. */
static int
unix_said(const amld_config_t *c, aml_str_t value,
          char name[AMLD_UNIX_NAME + 1])
{
    int found;
    size_t k, n;
    json_t *doc;
    const char *account, *issuer, *claim;
    const amld_issuer_config_t *i;

    doc = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);
    found = json_unpack(doc, "{s:s, s:s, s:s}", "account", &account, "issuer",
                        &issuer, "claim", &claim) == 0 &&
            unix_name_valid(account, strlen(account));

    for (k = 0, i = c->issuers; found && k < c->issuer_count; k++, i++) {
        if (i->account_claim == NULL || strcmp(i->account_claim, claim) != 0) {
            continue;
        }
        for (n = 0; n < i->iss_count; n++) {
            if (strcmp(i->iss[n].iss, issuer) == 0) {
                snprintf(name, AMLD_UNIX_NAME + 1, "%s", account);
                json_decref(doc);
                return 1;
            }
        }
    }

    json_decref(doc);

    return 0;
}


static int
unix_each(void *data, aml_str_t key, aml_str_t value)
{
    char name[AMLD_UNIX_NAME + 1];
    unix_strays_t *strays = data;

    key.p += sizeof(UNIX_KEY) - 1;
    key.n -= sizeof(UNIX_KEY) - 1;

    if (!unix_said(strays->config, value, name) &&
        aml_uuid_parse(key, &strays->of[strays->count]) == 0) {
        strays->count++;
    }

    return strays->count == UNIX_BATCH;
}


/* As useradd takes them, and then some; nothing that a path or a list could be
 * made of. */
static int
unix_name_valid(const char *name, size_t n)
{
    size_t k;

    if (n == 0 || n > AMLD_UNIX_NAME ||
        (!isalpha((unsigned char) name[0]) && name[0] != '_')) {
        return 0;
    }

    for (k = 0; k < n; k++) {
        if (!isalnum((unsigned char) name[k]) &&
            (name[k] == '\0' || strchr("._@-", name[k]) == NULL)) {
            return 0;
        }
    }

    return 1;
}
