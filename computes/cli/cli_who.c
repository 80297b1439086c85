/*
 * Whom a command is about: an account, a principal, a group, an app role.
 */

#include "computes/cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "auth/accounts.h"


int
amld_cli_who_named(const amld_cli_who_t *who)
{
    int alone, spaced, spaces;

    alone = (who->account != NULL) + (who->principal != NULL);
    spaced =
        (who->subject != NULL) + (who->group != NULL) + (who->app_role != NULL);
    spaces = (who->space != NULL) + (who->issuer != NULL);

    if (alone + spaced == 0) {
        return spaces == 0 ? 0 : -1;
    }

    return alone + spaced == 1 && spaced == spaces ? 1 : -1;
}


int
amld_cli_who_person(const amld_cli_who_t *who)
{
    return who->group != NULL || who->app_role != NULL
               ? -1
               : amld_cli_who_named(who);
}


static int
who_account(aml_registry_txn_t *txn, const char *name, amld_cli_whom_t *whom)
{
    amld_account_t account;
    amld_account_rc_t rc;

    rc = amld_account_find(txn, name, &account);
    if (rc != AMLD_ACCOUNT_OK) {
        return amld_cli_fail(AMLD_EXIT_FAILED, "%s: %s", name,
                             amld_account_strerror(rc));
    }

    whom->id = account.principal;
    whom->label = name;
    whom->space = AMLD_LOCAL_SPACE;

    return AMLD_EXIT_OK;
}


/* The namespace of a section: one, but for Entra's tenants. */
static int
who_issuer(const amld_config_t *config, const char *name, const char **space)
{
    const amld_issuer_config_t *issuer = amld_issuer_find(config, name);
    size_t i;

    if (issuer == NULL) {
        return amld_cli_fail(AMLD_EXIT_FAILED,
                             "%s: the configuration has no such issuer", name);
    }

    for (i = 1; i < issuer->iss_count; i++) {
        if (strcmp(issuer->iss[i].space, issuer->iss[0].space) != 0) {
            return amld_cli_fail(AMLD_EXIT_FAILED,
                                 "%s: has several tenants; name one by --space",
                                 name);
        }
    }

    *space = issuer->iss[0].space;

    return AMLD_EXIT_OK;
}


static int
who_derived(const amld_config_t *config, const amld_cli_who_t *who,
            amld_cli_whom_t *whom)
{
    aml_str_t space;
    int rc;

    whom->space = who->space;
    if (who->issuer != NULL) {
        rc = who_issuer(config, who->issuer, &whom->space);
        if (rc != AMLD_EXIT_OK) {
            return rc;
        }
    }

    space = aml_str_of(whom->space);
    whom->group = who->subject == NULL;
    whom->label = who->subject != NULL ? who->subject
                  : who->group != NULL ? who->group
                                       : who->app_role;

    rc = who->subject != NULL
             ? aml_principal_derive(space, aml_str_of(who->subject), &whom->id)
             : aml_group_derive(who->group != NULL ? AML_GROUP : AML_APP_ROLE,
                                space, aml_str_of(whom->label), &whom->id);

    return rc == 0 ? AMLD_EXIT_OK
                   : amld_cli_fail(AMLD_EXIT_USAGE,
                                   "neither the name nor the space can be "
                                   "empty");
}


int
amld_cli_who_find(const amld_config_t *config, aml_registry_txn_t *txn,
                  const amld_cli_who_t *who, amld_cli_whom_t *whom)
{
    memset(whom, 0, sizeof(*whom));

    if (who->account != NULL) {
        return who_account(txn, who->account, whom);
    }

    if (who->principal != NULL) {
        whom->label = who->principal;
        whom->space = "";
        return aml_uuid_parse(aml_str_of(who->principal), &whom->id) == 0
                   ? AMLD_EXIT_OK
                   : amld_cli_fail(AMLD_EXIT_USAGE, "%s: is not a UUID",
                                   who->principal);
    }

    return who_derived(config, who, whom);
}


void
amld_cli_print(const char *text, size_t n)
{
    size_t i;
    unsigned char c;

    for (i = 0; i < n; i++) {
        c = (unsigned char) text[i];

        /* U+0080 to U+009F drive terminals too */
        if (c == 0xc2 && i + 1 < n && (unsigned char) text[i + 1] < 0xa0) {
            i++;
            c = 0;
        }
        putchar(c < ' ' || c == 0x7f ? '?' : c);
    }
}


int
amld_cli_who_whose(const amld_config_t *config, aml_registry_txn_t *txn,
                   const amld_cli_who_t *who, aml_principal_id_t *room,
                   const aml_principal_id_t **whose)
{
    int status;
    amld_cli_whom_t whom;

    *whose = NULL;
    if (amld_cli_who_named(who) == 0) {
        return AMLD_EXIT_OK;
    }

    status = amld_cli_who_find(config, txn, who, &whom);
    *room = whom.id;
    *whose = room;

    return status;
}
