/*
 * Local accounts: account/<lower-case name>, JSON, amld's alone.
 *
 * An account has a UUID of its own; who it is to the gateway is derived from
 * that, so that an account that is removed and made again is somebody else.
 * Each function is one transaction.
 */

#ifndef AMLD_ACCOUNTS_H
#define AMLD_ACCOUNTS_H

#include "auth/password.h"
#include "auth/principal.h"
#include "registry/registry.h"

#define AMLD_LOCAL_SPACE "urn:aml:local"
#define AMLD_ACCOUNT_NAME_MAX 64
#define AMLD_PASSWORD_MIN 8 /* bytes */

typedef enum {
    AMLD_ACCOUNT_OK = 0,
    AMLD_ACCOUNT_NAME,     /* breaks the rule for names */
    AMLD_ACCOUNT_PASSWORD, /* too short or too long */
    AMLD_ACCOUNT_EXISTS,
    AMLD_ACCOUNT_MISSING,
    AMLD_ACCOUNT_REFUSED, /* no such account, or not its password */
    AMLD_ACCOUNT_FAILED   /* the registry or OpenSSL; it has been logged */
} amld_account_rc_t;

typedef struct {
    char name[AMLD_ACCOUNT_NAME_MAX + 1]; /* as it was given */
    char uuid[AML_UUID_TEXT + 1];
    aml_principal_id_t principal;
    int64_t created; /* seconds since 1970 */
    char hash[AML_PASSWORD_HASH_SIZE];
} amld_account_t;

/* A sentence for people, static, without a full stop. */
const char *amld_account_strerror(amld_account_rc_t rc);

/* 1 to 64 of A-Z a-z 0-9 . _ @ -, a letter or digit first. */
int amld_account_name_valid(const char *name);

/* `account`, unless NULL, is filled. */
amld_account_rc_t
amld_account_add(aml_registry_t *registry, const char *name,
                 const char *password, int64_t now, amld_account_t *account);

/*
 * Ends its sessions and disables its principal: tokens that it still has are
 * void, and no roles are left.
 */
amld_account_rc_t
amld_account_remove(aml_registry_t *registry, const char *name, int64_t now);

/* Ends its sessions and voids its tokens. */
amld_account_rc_t
amld_account_set_password(aml_registry_t *registry, const char *name,
                          const char *password, int64_t now);

/* By name, in any case. */
amld_account_rc_t amld_account_find(aml_registry_txn_t *txn, const char *name,
                                    amld_account_t *account);

/* In the order of names; a return other than 0 ends the walk. */
typedef int (*amld_account_each_pt)(void *data, const amld_account_t *account);
amld_account_rc_t amld_account_each(aml_registry_txn_t *txn,
                                    amld_account_each_pt each, void *data);

/*
 * OK or REFUSED, which takes as long for an account that does not exist.  The
 * password may be changed meanwhile: whoever issues something for it checks
 * with amld_account_same() in the transaction that does.
 */
amld_account_rc_t
amld_account_check(aml_registry_t *registry, const char *name,
                   const char *password, amld_account_t *account);

/* 1 when the account is there still, with the same password. */
int amld_account_same(aml_registry_txn_t *txn, const amld_account_t *account);

#endif /* AMLD_ACCOUNTS_H */
