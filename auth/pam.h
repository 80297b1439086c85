/*
 * Accounts of the machine, by PAM: whether a password is right, whether the
 * account may be used, and which groups it is in.
 */

#ifndef AMLD_PAM_H
#define AMLD_PAM_H

#include "auth/accounts.h"
#include "computes/config/config.h"

#define AMLD_PAM_SPACE "urn:aml:pam"

typedef enum {
    AMLD_PAM_OK = 0,
    AMLD_PAM_REFUSED, /* also an account that is over, or in no allowed group */
    AMLD_PAM_FAILED   /* it can't be told; it has been logged */
} amld_pam_rc_t;

typedef struct {
    char name[AMLD_ACCOUNT_NAME_MAX + 1]; /* as PAM knows it */
    aml_principal_id_t principal;
    aml_principal_id_t *groups; /* principals of Unix groups, or NULL */
    size_t group_count;
    int groups_unknown;
} amld_pam_user_t;

/* 1 when a service of that name is there: PAM would take "other" for one that
 * is not. */
int amld_pam_service_exists(const amld_pam_config_t *pam);

/* Who a name is, whether there is such a user or not; 0, or -1. */
int amld_pam_principal(const char *name, aml_principal_id_t *principal);

/*
 * Takes as long as the modules of the service do; of any thread.  `address` is
 * the client's.  amld_pam_user_clear() is due in every case.
 */
amld_pam_rc_t amld_pam_check(const amld_pam_config_t *pam, const char *name,
                             const char *password, const char *address,
                             amld_pam_user_t *user);
void amld_pam_user_clear(amld_pam_user_t *user);

#endif /* AMLD_PAM_H */
