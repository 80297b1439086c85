/*
 * Names and passwords: whose they are, and how often they may be tried.
 *
 * A name that is a local account's is that account's, and nobody else's; any
 * other is PAM's, where that is configured.  Whether there is such an account
 * makes no difference to the answer or to the time that it takes.
 */

#ifndef AMLD_CREDENTIALS_H
#define AMLD_CREDENTIALS_H

#include "auth/accounts.h"
#include "auth/backoff.h"
#include "auth/sign_ins.h"
#include "computes/http/http.h"

/* Who asks when too many wait may do so again in so many seconds. */
#define AMLD_CHECK_BUSY_SECONDS 5

#define AMLD_BACKOFF_ENTRIES 65536 /* of each kind; 3 MB */

/* What is shared between requests. */
typedef struct amld_credentials amld_credentials_t;

amld_credentials_t *amld_credentials_new(const amld_config_t *config);
void amld_credentials_free(amld_credentials_t *c); /* NULL is allowed */

/* Who it is. */
typedef struct {
    aml_principal_id_t principal;
    char name[AMLD_ACCOUNT_NAME_MAX + 1]; /* a label, and the subject */
    const char *method;                   /* "password" or "pam" */
    const char *issuer;                   /* the namespace */
    amld_account_t account; /* what was checked; not of PAM, see `local` */
    int local;
    aml_principal_id_t *groups; /* what PAM brought, or NULL */
    size_t group_count;
    int groups_unknown;
} amld_person_t;

typedef enum {
    AMLD_CHECK_RIGHT,
    AMLD_CHECK_WRONG,
    AMLD_CHECK_LATER, /* try_later: in *seconds */
    AMLD_CHECK_BUSY,  /* too many wait already: daemon_busy */
    AMLD_CHECK_FAILED /* it has been logged */
} amld_check_t;

/* Is there anybody who could sign in with a password? */
int amld_credentials_any(const amld_config_t *config);

/*
 * May take a while.  The password may be changed meanwhile: whoever issues
 * something for it checks with amld_account_same() in the transaction that
 * does.  amld_person_clear() is due in every case.
 */
amld_check_t amld_credentials_check(amld_t *d, const amld_request_t *request,
                                    const char *name, const char *password,
                                    amld_person_t *person, unsigned *seconds);

void amld_person_clear(amld_person_t *person);

/*
 * Attempts at something else, such as codes, by what `account` names: 0, or how
 * many seconds to wait; and what came of it.
 */
unsigned
amld_attempt_begin(amld_t *d, const amld_request_t *request, const char *kind,
                   const char *account, amld_attempt_t *attempt);
void
amld_attempt_end(amld_t *d, amld_attempt_t *attempt, amld_attempt_end_t end);

#endif /* AMLD_CREDENTIALS_H */
