/*
 * Names and passwords.
 */

#include "auth/credentials.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/pam.h"

#define PASSWORD "password"

/* A module may hang for ever, and each check holds a thread: so many at once,
 * so many more that wait, and so long. */
#define PAM_AT_ONCE 8
#define PAM_WAITING 16
#define PAM_SECONDS 10

/* Nobody: a check of this takes as long as one of a name that PAM does not
 * know. */
#define PAM_NOBODY "aml-nobody"

struct amld_credentials {
    amld_backoff_t *backoff;

    pthread_mutex_t mutex;
    pthread_cond_t free;
    unsigned hashes;  /* that may be made now: each takes 16 MB and a core */
    unsigned pam;     /* checks that may be made now */
    unsigned waiting; /* for one of these */
};


amld_credentials_t *
amld_credentials_new(const amld_config_t *config)
{
    amld_backoff_limits_t limits = {.account = config->backoff_account,
                                    .address = config->backoff_address,
                                    .first = config->backoff_first,
                                    .most = config->backoff_most,
                                    .entries = AMLD_BACKOFF_ENTRIES};
    pthread_condattr_t attr;
    amld_credentials_t *c;

    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return NULL;
    }

    pthread_mutex_init(&c->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->free, &attr);
    pthread_condattr_destroy(&attr);
    c->hashes = config->threads;
    c->pam = PAM_AT_ONCE;
    c->backoff = amld_backoff_new(&limits);

    if (c->backoff == NULL) {
        amld_credentials_free(c);
        return NULL;
    }

    return c;
}


void
amld_credentials_free(amld_credentials_t *c)
{
    if (c == NULL) {
        return;
    }

    amld_backoff_free(c->backoff);
    pthread_cond_destroy(&c->free);
    pthread_mutex_destroy(&c->mutex);
    free(c);
}


/* ---- how often ---- */

unsigned
amld_attempt_begin(amld_t *d, const amld_request_t *request, const char *kind,
                   const char *account, amld_attempt_t *attempt)
{
    attempt->kind = kind;
    attempt->account = account;
    attempt->address = request->client;
    attempt->now = amld_backoff_now();

    return amld_backoff_begin(d->credentials->backoff, attempt);
}


void
amld_attempt_end(amld_t *d, amld_attempt_t *attempt, amld_attempt_end_t end)
{
    attempt->now = amld_backoff_now();
    amld_backoff_end(d->credentials->backoff, attempt, end);
}


typedef struct {
    const char *address;
    int64_t now;
    int found;
} here_t;


static int
here_each(void *data, const amld_sign_in_t *s)
{
    here_t *here = data;

    here->found = s->expires > here->now &&
                  amld_backoff_same_address(s->address, here->address);

    return here->found;
}


/*
 * Is the account signed in from there now?  amld may have been started since,
 * and remember nothing.
 */
static int
here_now(amld_t *d, const amld_attempt_t *attempt)
{
    here_t here = {attempt->address, (int64_t) time(NULL), 0};
    aml_principal_id_t principal;
    aml_registry_txn_t *txn;
    amld_account_t account;

    if (aml_registry_read(d->registry, &txn) != AML_REGISTRY_OK) {
        return 0;
    }

    if (amld_account_find(txn, attempt->account, &account) == AMLD_ACCOUNT_OK) {
        principal = account.principal;
    } else if (amld_pam_principal(attempt->account, &principal) != 0) {
        memset(&principal, 0, sizeof(principal));
    }
    (void) amld_sign_ins_each(txn, &principal, here_each, &here);
    aml_registry_end(txn);

    return here.found;
}


/* ---- whose ---- */

/* Waits until one of `places` is free, and takes it. */
static void
place_take(amld_credentials_t *c, unsigned *places)
{
    pthread_mutex_lock(&c->mutex);
    while (*places == 0) {
        pthread_cond_wait(&c->free, &c->mutex);
    }
    (*places)--;
    pthread_mutex_unlock(&c->mutex);
}


/* One of PAM's: RIGHT, BUSY where too many wait, or FAILED after a time. */
static amld_check_t
place_of_pam(amld_credentials_t *c)
{
    amld_check_t rc = AMLD_CHECK_RIGHT;
    struct timespec until;
    int late = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PAM_SECONDS;

    pthread_mutex_lock(&c->mutex);

    if (c->pam == 0 && c->waiting >= PAM_WAITING) {
        rc = AMLD_CHECK_BUSY;

    } else {
        c->waiting++;
        while (c->pam == 0 && late != ETIMEDOUT) {
            late = pthread_cond_timedwait(&c->free, &c->mutex, &until);
        }
        c->waiting--;

        if (c->pam == 0) {
            rc = AMLD_CHECK_FAILED;
        } else {
            c->pam--;
        }
    }

    pthread_mutex_unlock(&c->mutex);

    return rc;
}


static void
place_free(amld_credentials_t *c, unsigned *places)
{
    pthread_mutex_lock(&c->mutex);
    (*places)++;
    pthread_cond_broadcast(&c->free);
    pthread_mutex_unlock(&c->mutex);
}


static amld_account_rc_t
check_account(amld_t *d, const char *name, const char *password,
              amld_account_t *account)
{
    amld_account_rc_t rc;

    place_take(d->credentials, &d->credentials->hashes);
    rc = amld_account_check(d->registry, name, password, account);
    place_free(d->credentials, &d->credentials->hashes);

    return rc;
}


static amld_check_t
check_user(amld_t *d, const char *name, const char *password,
           const char *address, amld_pam_user_t *user)
{
    amld_check_t place = place_of_pam(d->credentials);
    amld_pam_rc_t rc;

    memset(user, 0, sizeof(*user));

    if (place != AMLD_CHECK_RIGHT) {
        amld_log(AMLD_LOG_WARN, "pam: %s",
                 place == AMLD_CHECK_BUSY
                     ? "too many wait for it already"
                     : "those who were asked before have no answer yet");
        return place;
    }

    rc = amld_pam_check(d->config->pam, name, password, address, user);
    place_free(d->credentials, &d->credentials->pam);

    return rc == AMLD_PAM_OK       ? AMLD_CHECK_RIGHT
           : rc == AMLD_PAM_FAILED ? AMLD_CHECK_FAILED
                                   : AMLD_CHECK_WRONG;
}


/* Is the name an account's?  -1 after the reason was logged. */
static int
is_local(amld_t *d, const char *name)
{
    aml_registry_txn_t *txn;
    amld_account_rc_t rc;
    amld_account_t account;

    if (aml_registry_read(d->registry, &txn) != AML_REGISTRY_OK) {
        return -1;
    }
    rc = amld_account_find(txn, name, &account);
    aml_registry_end(txn);

    return rc == AMLD_ACCOUNT_OK ? 1 : rc == AMLD_ACCOUNT_FAILED ? -1 : 0;
}


static amld_check_t
check_pam(amld_t *d, const char *name, const char *password,
          const char *address, amld_person_t *person)
{
    amld_pam_user_t user;
    amld_check_t rc;

    rc = check_user(d, name, password, address, &user);

    if (rc != AMLD_CHECK_RIGHT) {
        amld_pam_user_clear(&user);
        return rc;
    }

    person->principal = user.principal;
    strcpy(person->name, user.name);
    person->method = "pam";
    person->issuer = AMLD_PAM_SPACE;
    person->groups = user.groups;
    person->group_count = user.group_count;
    person->groups_unknown = user.groups_unknown;

    return AMLD_CHECK_RIGHT;
}


/*
 * A hash is made for every name, and where there is PAM, whatever is refused
 * was asked there as well: how long it takes tells of no account.
 */
static amld_check_t
check(amld_t *d, const char *name, const char *password, const char *address,
      amld_person_t *person)
{
    int local = is_local(d, name);
    amld_pam_user_t nobody;
    amld_account_rc_t rc;

    rc = check_account(d, name, password, &person->account);

    if (local < 0 || rc == AMLD_ACCOUNT_FAILED) {
        return AMLD_CHECK_FAILED;
    }

    if (!local) {
        return d->config->pam != NULL
                   ? check_pam(d, name, password, address, person)
                   : AMLD_CHECK_WRONG;
    }

    if (rc != AMLD_ACCOUNT_OK || !d->config->local_sign_in) {
        if (d->config->pam != NULL) {
            (void) check_user(d, PAM_NOBODY, password, address, &nobody);
            amld_pam_user_clear(&nobody);
        }
        return AMLD_CHECK_WRONG;
    }

    person->principal = person->account.principal;
    strcpy(person->name, person->account.name);
    person->method = "password";
    person->issuer = AMLD_LOCAL_SPACE;
    person->local = 1;

    return AMLD_CHECK_RIGHT;
}


int
amld_credentials_any(const amld_config_t *config)
{
    return config->local_sign_in || config->pam != NULL;
}


void
amld_person_clear(amld_person_t *person)
{
    free(person->groups);
    OPENSSL_cleanse(person, sizeof(*person));
}


amld_check_t
amld_credentials_check(amld_t *d, const amld_request_t *request,
                       const char *name, const char *password,
                       amld_person_t *person, unsigned *seconds)
{
    amld_attempt_t attempt;
    amld_check_t rc;

    memset(person, 0, sizeof(*person));

    *seconds = amld_attempt_begin(d, request, PASSWORD, name, &attempt);

    if (*seconds != 0 &&
        !amld_backoff_known(d->credentials->backoff, &attempt) &&
        here_now(d, &attempt)) {
        amld_backoff_know(d->credentials->backoff, &attempt);
        *seconds = amld_backoff_begin(d->credentials->backoff, &attempt);
    }

    if (*seconds != 0) {
        return AMLD_CHECK_LATER;
    }

    rc = check(d, name, password, request->client, person);

    amld_attempt_end(d, &attempt,
                     rc == AMLD_CHECK_RIGHT   ? AMLD_ATTEMPT_RIGHT
                     : rc == AMLD_CHECK_WRONG ? AMLD_ATTEMPT_WRONG
                                              : AMLD_ATTEMPT_NONE);

    return rc;
}
