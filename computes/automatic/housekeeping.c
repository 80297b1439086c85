/*
 * The housekeeping thread.
 */

#include "computes/automatic/housekeeping.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "auth/audit.h"
#include "auth/device.h"
#include "auth/local_issuer.h"
#include "auth/oidc.h"
#include "auth/personal_tokens.h"
#include "auth/sessions.h"
#include "auth/sign_ins.h"
#include "computes/automatic/activity.h"
#include "computes/automatic/steady.h"
#include "computes/files/reserve.h"
#include "computes/files/shares.h"
#include "computes/instances/operations.h"
#include "computes/jobs/job_remove.h"

/* A round looks at no more than so many of a kind, and others may write after
 * each step. */
#define SWEEP_STEP 1024
#define SWEEP_STEPS 32

struct amld_housekeeping {
    amld_t *amld;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    int ends; /* under mutex */
    amld_steady_t clock;
    int clock_seen;

    /* where the next rounds begin */
    char sign_in_from[AML_REGISTRY_KEY_MAX + 1];
    char token_from[AML_REGISTRY_KEY_MAX + 1];
    char refresh_from[AML_REGISTRY_KEY_MAX + 1];
    char job_from[AML_REGISTRY_KEY_MAX + 1];
};


static void
sweep_over(void *data, const aml_principal_id_t *id,
           const aml_principal_id_t *principal, int idle)
{
    const amld_t *d = data;

    amld_audit(d->audit,
               &(amld_audit_event_t){.event = "session-end",
                                     .reason = idle ? "session_idle"
                                                    : "session_expired",
                                     .of = principal,
                                     .id = id});
}


static aml_registry_rc_t
sweep_sign_ins(amld_t *d, int64_t now, char *from, size_t *ended)
{
    int64_t idle = amld_sign_ins_idle(d->config->session_idle,
                                      amld_activity_since(d->activity), now);

    return amld_sign_ins_sweep(d->registry, now, idle, SWEEP_STEP, from, ended,
                               sweep_over, d);
}


static aml_registry_rc_t
sweep_tokens(amld_t *d, int64_t now, char *from, size_t *removed)
{
    return amld_personal_tokens_sweep(d->registry, now, SWEEP_STEP, from,
                                      removed);
}


static aml_registry_rc_t
sweep_refresh(amld_t *d, int64_t now, char *from, size_t *removed)
{
    return amld_refresh_sweep(d->registry, now, SWEEP_STEP, from, removed);
}


/* Their creators' files are left. */
static aml_registry_rc_t
sweep_jobs(amld_t *d, int64_t now, char *from, size_t *removed)
{
    amld_job_which_t which = {.before = (now - d->config->job_keep) * 1000};

    return amld_jobs_remove(d->registry, &which, SWEEP_STEP, from, NULL, NULL,
                            removed);
}


static aml_registry_rc_t
sweep_devices(amld_t *d, int64_t now, char *from, size_t *removed)
{
    from[0] = '\0';

    return amld_devices_sweep(d->registry, now, removed);
}


static void
housekeeping_sweep(amld_t *d, const char *what, char *from, int64_t now,
                   aml_registry_rc_t (*sweep)(amld_t *d, int64_t now,
                                              char *from, size_t *n))
{
    aml_registry_rc_t rc;
    size_t n, total = 0;
    int i = 0;

    do {
        rc = sweep(d, now, from, &n);
        total += n;
    } while (rc == AML_REGISTRY_OK && from[0] != '\0' && ++i < SWEEP_STEPS);

    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "%s: %s", what, aml_registry_strerror(rc));
    } else if (total > 0) {
        amld_log(AMLD_LOG_INFO, "%s: %zu have ended", what, total);
    }
}


/* 1 when the wall's clock can be believed, which is `wall`. */
static int
housekeeping_clock(amld_housekeeping_t *h, int64_t *wall)
{
    struct timespec boot;

    clock_gettime(CLOCK_BOOTTIME, &boot);
    *wall = (int64_t) time(NULL);

    if (!h->clock_seen) {
        amld_steady_begin(&h->clock, h->amld->registry, *wall, boot.tv_sec);
        h->clock_seen = 1;
    }

    return amld_steady_look(&h->clock, h->amld->registry, *wall, boot.tv_sec);
}


static void
housekeeping_jobs(amld_housekeeping_t *h)
{
    int64_t now;

    if (h->amld->config->job_keep > 0 && housekeeping_clock(h, &now)) {
        housekeeping_sweep(h->amld, "jobs past job_keep", h->job_from, now,
                           sweep_jobs);
    }
}


static void
housekeeping_once(amld_housekeeping_t *h)
{
    amld_t *d = h->amld;
    int64_t now = (int64_t) time(NULL);
    char all[AML_REGISTRY_KEY_MAX + 1] = "";
    aml_registry_rc_t rc;
    size_t removed;
    int slots;

    rc = amld_sessions_sweep(d->registry, now, &removed);
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "sessions: %s", aml_registry_strerror(rc));
    } else if (removed > 0) {
        amld_log(AMLD_LOG_DEBUG, "sessions: %zu expired", removed);
    }

    housekeeping_sweep(d, "sign-ins", h->sign_in_from, now, sweep_sign_ins);
    housekeeping_sweep(d, "tokens", h->token_from, now, sweep_tokens);
    housekeeping_sweep(d, "refresh tokens", h->refresh_from, now,
                       sweep_refresh);
    housekeeping_sweep(d, "devices", all, now, sweep_devices);
    housekeeping_jobs(h);

    removed = amld_operations_sweep(d->registry, now);
    if (removed > 0) {
        amld_log(AMLD_LOG_DEBUG, "operations: %zu removed", removed);
    }

    rc = amld_oidc_sweep(d->registry, now, &removed);
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "oidc: %s", aml_registry_strerror(rc));
    }

    /* it logs itself; the keys that there are go on being good */
    (void) amld_issuer_tend(d->registry, d->config, now);

    (void) aml_registry_reserve(d->registry);
    amld_reserve_keep(d->registry);

    slots = aml_registry_check_readers(d->registry);
    if (slots > 0) {
        amld_log(AMLD_LOG_INFO,
                 "registry: %d reader slots of dead processes "
                 "were freed",
                 slots);
    }
}


static void
housekeeping_look(amld_t *d)
{
    if (!d->failed && aml_registry_stale(d->registry)) {
        amld_log(AMLD_LOG_ERROR,
                 "registry %s was removed or replaced: amld ends; start it "
                 "again",
                 d->config->registry);
        d->failed = 1;
        (void) kill(getpid(), SIGTERM);
    }
}


static void *
housekeeping_run(void *data)
{
    amld_housekeeping_t *h = data;
    struct timespec until;
    unsigned looks = 0;
    int64_t wall;
    int rc;

    housekeeping_jobs(h);

    pthread_mutex_lock(&h->mutex);

    while (!h->ends) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += AMLD_HOUSEKEEPING_LOOK;

        rc = 0;
        while (!h->ends && rc != ETIMEDOUT) {
            rc = pthread_cond_timedwait(&h->condition, &h->mutex, &until);
        }

        if (!h->ends) {
            pthread_mutex_unlock(&h->mutex);
            housekeeping_look(h->amld);
            if (h->amld->config->job_keep > 0) {
                (void) housekeeping_clock(h, &wall);
            }
            amld_shares_mind(h->amld);
            if (++looks * AMLD_HOUSEKEEPING_LOOK % AMLD_HOUSEKEEPING_SECONDS ==
                0) {
                housekeeping_once(h);
            }
            pthread_mutex_lock(&h->mutex);
        }
    }

    pthread_mutex_unlock(&h->mutex);

    return NULL;
}


amld_housekeeping_t *
amld_housekeeping_start(amld_t *d)
{
    amld_housekeeping_t *h;
    pthread_condattr_t attr;
    int rc;

    h = calloc(1, sizeof(*h));
    if (h == NULL) {
        amld_log(AMLD_LOG_ERROR, "housekeeping: no memory");
        return NULL;
    }
    h->amld = d;

    pthread_mutex_init(&h->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&h->condition, &attr);
    pthread_condattr_destroy(&attr);

    rc = pthread_create(&h->thread, NULL, housekeeping_run, h);
    if (rc != 0) {
        amld_log(AMLD_LOG_ERROR, "housekeeping: %s", strerror(rc));
        pthread_cond_destroy(&h->condition);
        pthread_mutex_destroy(&h->mutex);
        free(h);
        return NULL;
    }

    return h;
}


void
amld_housekeeping_stop(amld_housekeeping_t *h)
{
    if (h == NULL) {
        return;
    }

    pthread_mutex_lock(&h->mutex);
    h->ends = 1;
    pthread_cond_signal(&h->condition);
    pthread_mutex_unlock(&h->mutex);

    pthread_join(h->thread, NULL);

    pthread_cond_destroy(&h->condition);
    pthread_mutex_destroy(&h->mutex);
    free(h);
}
