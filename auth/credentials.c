/*
 * Names and passwords.
 */

#include "auth/credentials.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PASSWORD "password"

struct amld_credentials {
    amld_backoff_t *backoff;

    /* a hash takes 16 MB, and a core's time */
    pthread_mutex_t mutex;
    pthread_cond_t free;
    unsigned hashes; /* that may be made now */
};


amld_credentials_t *
amld_credentials_new(const amld_config_t *config)
{
    amld_backoff_limits_t limits = {.account = config->backoff_account,
                                    .address = config->backoff_address,
                                    .first = config->backoff_first,
                                    .most = config->backoff_most,
                                    .entries = AMLD_BACKOFF_ENTRIES};
    amld_credentials_t *c;

    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return NULL;
    }

    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->free, NULL);
    c->hashes = config->threads;
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
    aml_registry_txn_t *txn;
    amld_account_t account;

    if (aml_registry_read(d->registry, &txn) != AML_REGISTRY_OK) {
        return 0;
    }

    if (amld_account_find(txn, attempt->account, &account) == AMLD_ACCOUNT_OK) {
        (void) amld_sign_ins_each(txn, &account.principal, here_each, &here);
    }
    aml_registry_end(txn);

    return here.found;
}


/* ---- whose ---- */

static amld_account_rc_t
check_account(amld_t *d, const char *name, const char *password,
              amld_account_t *account)
{
    amld_credentials_t *c = d->credentials;
    amld_account_rc_t rc;

    pthread_mutex_lock(&c->mutex);
    while (c->hashes == 0) {
        pthread_cond_wait(&c->free, &c->mutex);
    }
    c->hashes--;
    pthread_mutex_unlock(&c->mutex);

    rc = amld_account_check(d->registry, name, password, account);

    pthread_mutex_lock(&c->mutex);
    c->hashes++;
    pthread_cond_signal(&c->free);
    pthread_mutex_unlock(&c->mutex);

    return rc;
}


static amld_check_t
check_local(amld_t *d, const char *name, const char *password,
            amld_person_t *person)
{
    memset(person, 0, sizeof(*person));

    switch (check_account(d, name, password, &person->account)) {
    case AMLD_ACCOUNT_OK:
        break;
    case AMLD_ACCOUNT_FAILED:
        return AMLD_CHECK_FAILED;
    default:
        return AMLD_CHECK_WRONG;
    }

    person->principal = person->account.principal;
    strcpy(person->name, person->account.name);
    person->method = "password";
    person->issuer = AMLD_LOCAL_SPACE;

    return AMLD_CHECK_RIGHT;
}


amld_check_t
amld_credentials_check(amld_t *d, const amld_request_t *request,
                       const char *name, const char *password,
                       amld_person_t *person, unsigned *seconds)
{
    amld_attempt_t attempt;
    amld_check_t rc;

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

    rc = check_local(d, name, password, person);

    amld_attempt_end(d, &attempt,
                     rc == AMLD_CHECK_RIGHT   ? AMLD_ATTEMPT_RIGHT
                     : rc == AMLD_CHECK_WRONG ? AMLD_ATTEMPT_WRONG
                                              : AMLD_ATTEMPT_NONE);

    return rc;
}
