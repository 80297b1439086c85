#include "computes/jobs/job_run.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "computes/files/reserve.h"
#include "computes/jobs/job.h"

#define JOBS_AT_ONCE 64  /* jobs of an instance that are begun in a turn */
#define JOBS_PATIENCE 20 /* ms of a turn that begin jobs */
#define JOBS_LOOK 200    /* ms between looks at one without a descriptor */

/* What may be begun in a turn. */
typedef struct {
    const amld_instance_t *instance;
    size_t count;
    size_t most;
    size_t seen;   /* also those whose documents can't be read */
    uint64_t last; /* of these, the latest */
    int spent;     /* nothing begins, see reserve.h */
    struct {
        amld_key_t key;
        uint64_t seq;
        json_t *doc;
    } found[JOBS_AT_ONCE];
} jobs_found_t;

static void jobs_see(amld_instance_t *i, int64_t now);
static void jobs_seen(amld_job_run_t *run);
static void jobs_again(amld_job_run_t *run);
static void jobs_ask(amld_instance_t *i);
static void jobs_begin(amld_instance_t *i, int64_t until);
static int jobs_find(amld_instance_t *i, size_t most, jobs_found_t *found);
static int jobs_found(void *data, uint64_t seq, const amld_key_t *key);
static aml_registry_rc_t
jobs_cancel(amld_instance_t *i, const jobs_found_t *found);
static void jobs_settle(amld_supervisor_t *s);
static void jobs_release(amld_job_run_t *run);
static void jobs_forget(amld_instance_t *i);
static size_t jobs_room(const amld_instance_t *i);
static size_t jobs_places(const amld_instance_t *i);
static void jobs_promote(amld_instance_t *i);
static int jobs_lost(const amld_instance_t *i);
static void jobs_drop(amld_job_run_t *run);
static void jobs_end(amld_job_run_t *run, amld_job_why_t why, int64_t now);


void
amld_jobs_look(amld_instance_t *i)
{
    amld_job_run_t *run;

    i->jobs_wait = 1;
    for (run = i->jobs; run != NULL; run = run->next) {
        run->asked = 1;
    }
}


void
amld_jobs_up(amld_instance_t *i)
{
    i->jobs_next = 0;
    i->jobs_at = 0;
    amld_jobs_look(i);
}


void
amld_jobs_stop(amld_instance_t *i, int at_once)
{
    int64_t now;
    amld_job_run_t *run;

    now = amld_now();

    for (run = i->jobs; run != NULL; run = run->next) {
        if (run->state == AMLD_JOB_RUN_READY) {
            run->state = AMLD_JOB_RUN_OVER;
        }
        if (run->state != AMLD_JOB_RUN_GOES) {
            continue;
        }
        jobs_end(run, AMLD_JOB_WHY_STOP, now);
        if (at_once) {
            (void) amld_command_stop(&run->id, at_once);
        }
    }
}


void
amld_jobs_turn(amld_supervisor_t *s)
{
    int begun;
    size_t count, k, skip;
    int64_t now, until;
    amld_instance_t *i;

    begun = 0;
    now = amld_now();
    for (i = s->first, count = 0; i != NULL; i = i->next, count++) {
        if (i->jobs != NULL) {
            jobs_see(i, now);
            jobs_ask(i);
        }
    }
    if (count == 0) {
        return;
    }

    for (i = s->first; i != NULL; i = i->next) {
        jobs_promote(i);
    }
    jobs_settle(s);

    /* Whose turn it was not the last time is first now. */
    until = amld_now() + JOBS_PATIENCE;
    skip = s->jobs_first % count;
    for (k = 0, i = s->first; k < count + skip; k++) {
        if (k >= skip && i->jobs_wait && jobs_places(i) != 0 &&
            now >= i->jobs_at) {
            if (amld_now() >= until) {
                s->jobs_first = k % count;
                break;
            }
            jobs_begin(i, until);
            begun = 1;
        }
        i = i->next != NULL ? i->next : s->first;
    }

    if (begun) {
        jobs_settle(s);
    }
}


int
amld_jobs_cancel(amld_instance_t *i)
{
    size_t k;
    jobs_found_t found;
    aml_registry_rc_t rc;

    i->jobs_next = 0;

    do {
        if (jobs_find(i, JOBS_AT_ONCE, &found) != 0) {
            return -1;
        }

        rc = jobs_cancel(i, &found);
        if (amld_reserve_is_full(rc) &&
            amld_reserve_spend(i->supervisor->d->registry) == 0) {
            rc = jobs_cancel(i, &found);
        }

        for (k = 0; k < found.count; k++) {
            json_decref(found.found[k].doc);
        }
        if (rc != AML_REGISTRY_OK) {
            amld_log(AMLD_LOG_ERROR, "%s: registry: %s", i->name,
                     aml_registry_strerror(rc));
            return -1;
        }

        i->jobs_next = found.last + 1;
    } while (found.seen > 0);

    return 0;
}


int64_t
amld_jobs_next(const amld_instance_t *i)
{
    int64_t look, next;
    const amld_job_run_t *run;

    next = i->jobs_wait && jobs_places(i) != 0 ? i->jobs_at : AMLD_NEVER;
    look = amld_now() + JOBS_LOOK;

    for (run = i->jobs; run != NULL; run = run->next) {
        if (run->state == AMLD_JOB_RUN_ENDED ||
            (run->state == AMLD_JOB_RUN_READY && jobs_room(i) != 0)) {
            next = i->jobs_at < next ? i->jobs_at : next;
        } else if (run->state == AMLD_JOB_RUN_OVER) {
            next = 0;
        } else if (run->state == AMLD_JOB_RUN_READY && run->hold != -1 &&
                   run->watch == -1) {
            next = look < next ? look : next;
        } else if (run->state == AMLD_JOB_RUN_GOES) {
            if (run->watch == -1) {
                next = look < next ? look : next;
            }
            next = run->by < next ? run->by : next;
            next = run->kill_at < next ? run->kill_at : next;
        }
    }

    return next;
}


void
amld_jobs_free(amld_instance_t *i)
{
    amld_job_run_t *run;

    while ((run = i->jobs) != NULL) {
        i->jobs = run->next;
        jobs_drop(run);
    }
    i->job_count = 0;
}


static void
jobs_see(amld_instance_t *i, int64_t now)
{
    int gone;
    amld_job_run_t *run;

    for (run = i->jobs; run != NULL; run = run->next) {
        if (run->state != AMLD_JOB_RUN_GOES &&
            (run->state != AMLD_JOB_RUN_READY || run->hold == -1)) {
            continue;
        }

        gone = (run->watch == -1 || run->stirred) &&
               amld_command_inspect(&run->id) != AMLD_COMMAND_RUNNING;
        run->stirred = 0;
        if (!gone && run->watch == -1) {
            run->watch = amld_command_watch(&run->id);
        }

        if (run->state == AMLD_JOB_RUN_READY) {
            if (gone) {
                jobs_again(run);
            }

        } else if (gone) {
            jobs_seen(run);

        } else if (now >= run->by) {
            run->by = AMLD_NEVER;
            jobs_end(run, AMLD_JOB_WHY_LATE, now);

        } else if (now >= run->kill_at) {
            (void) amld_command_stop(&run->id, 1 + (run->kills > 0));
            run->kills++;
            run->kill_at = now + AMLD_KILL_PAUSE;
        }
    }
}


/* It has ended. */
static void
jobs_seen(amld_job_run_t *run)
{
    char path[PATH_MAX + 64];
    struct stat st;

    run->state = AMLD_JOB_RUN_ENDED;
    run->result = amld_command_result(run->instance->runtime, run->command);
    run->lost = amld_command_lost(run->instance->runtime, run->command,
                                  &run->lost_fault);
    run->ended = amld_jobs_wall();

    /* Nobody may have looked since. */
    amld_jobs_status(run, path);
    if (run->adopted && run->result >= 0 && stat(path, &st) == 0) {
        run->ended =
            (int64_t) st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    }

    if (run->watch != -1) {
        close(run->watch);
        run->watch = -1;
    }

    /* A shim leaves nothing behind, unless it was killed itself. */
    if (run->result < 0) {
        amld_command_sweep(run->instance->runtime, run->command);
    }
}


/* It was called off, or somebody did that: it waits where it was. */
static void
jobs_again(amld_job_run_t *run)
{
    amld_instance_t *i = run->instance;

    run->state = AMLD_JOB_RUN_OVER;
    if (run->seq < i->jobs_next) {
        i->jobs_next = run->seq;
    }
    i->jobs_wait = 1;
    i->jobs_at = amld_now() + AMLD_RETRY_PAUSE;
}


/* Those that run and whose document may say that they are to end. */
static void
jobs_ask(amld_instance_t *i)
{
    json_t *doc;
    amld_job_run_t *run;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    txn = NULL;

    for (run = i->jobs; run != NULL; run = run->next) {
        if (!run->asked || (run->state != AMLD_JOB_RUN_GOES &&
                            run->state != AMLD_JOB_RUN_READY)) {
            continue;
        }
        if (txn == NULL && aml_registry_read(i->supervisor->d->registry,
                                             &txn) != AML_REGISTRY_OK) {
            return;
        }

        rc = amld_job_load(txn, &run->key, &doc);
        if (run->state == AMLD_JOB_RUN_READY) {
            if (rc != AML_REGISTRY_OK || amld_job_has_ended(doc)) {
                run->state = AMLD_JOB_RUN_OVER;
            }
        } else if (rc == AML_REGISTRY_NOTFOUND) {
            jobs_end(run, AMLD_JOB_WHY_GONE, amld_now());
        } else if (rc == AML_REGISTRY_OK &&
                   json_is_true(json_object_get(doc, "cancel"))) {
            jobs_end(run, AMLD_JOB_WHY_CANCEL, amld_now());
        }
        json_decref(doc);
        run->asked = 0;
    }

    aml_registry_end(txn);
}


/* Those that are ready, as many as there is room for now. */
static void
jobs_promote(amld_instance_t *i)
{
    size_t room;
    amld_job_run_t *run, *first;

    for (room = jobs_room(i); room > 0; room--) {
        for (run = i->jobs, first = NULL; run != NULL; run = run->next) {
            if (run->state == AMLD_JOB_RUN_READY &&
                (first == NULL || run->seq < first->seq)) {
                first = run;
            }
        }
        if (first == NULL || amld_now() < i->jobs_at) {
            return;
        }

        /* Those before it come first, which could not be begun. */
        if (i->jobs_wait && i->jobs_next <= first->seq) {
            first->state = AMLD_JOB_RUN_OVER;
            room++;
            continue;
        }
        if (jobs_lost(i)) {
            i->jobs_at = amld_now() + AMLD_RETRY_PAUSE;
            return;
        }
        first->state = AMLD_JOB_RUN_NEW;
    }
}


/* What they would run in has ended: the instance is started again first. */
static int
jobs_lost(const amld_instance_t *i)
{
    amld_engine_instance_t e;
    const amld_engine_t *engine = i->supervisor->engine;

    if (engine->lost == NULL) {
        return 0;
    }
    amld_instance_engine(i, &e);

    return engine->lost(i->supervisor->d->config, &e);
}


/* The next of one instance, held back until that is written down, or until
 * there is room. */
static void
jobs_begin(amld_instance_t *i, int64_t until)
{
    int all;
    size_t k, most, room;
    jobs_found_t found;
    amld_job_run_t *run;

    if (jobs_lost(i)) {
        i->jobs_at = amld_now() + AMLD_RETRY_PAUSE;
        return;
    }

    room = jobs_room(i);
    most = jobs_places(i);
    if (most > JOBS_AT_ONCE) {
        most = JOBS_AT_ONCE;
    }
    if (jobs_find(i, most, &found) != 0) {
        i->jobs_at = amld_now() + AMLD_RETRY_PAUSE;
        return;
    }
    if (found.seen < most) {
        i->jobs_wait = 0;
    }
    if (found.spent && found.count > 0) {
        i->jobs_wait = 1;
        i->jobs_at = amld_now() + AMLD_RETRY_PAUSE;
    }
    all = !found.spent || found.count == 0;

    for (k = 0; k < found.count; k++) {
        /* One at least, so that all comes to its end. */
        if (all && k > 0 && amld_now() >= until) {
            i->jobs_wait = 1;
            all = 0;
        }
        if (all) {
            run = amld_jobs_add(i, &found.found[k].key, found.found[k].seq);
            if (run != NULL) {
                i->jobs_next = run->seq + 1;
                run->state = k < room ? AMLD_JOB_RUN_NEW : AMLD_JOB_RUN_READY;
                amld_jobs_exec(run, found.found[k].doc);
            } else {
                i->jobs_wait = 1;
                i->jobs_at = amld_now() + AMLD_RETRY_PAUSE;
            }

            /* Those behind it wait, too. */
            all = run != NULL && run->state != AMLD_JOB_RUN_OVER &&
                  run->waits == NULL;
        }
        json_decref(found.found[k].doc);
    }

    /* Past what can't be read, too. */
    if (all && found.seen > 0 && found.last >= i->jobs_next) {
        i->jobs_next = found.last + 1;
    }
}


static int
jobs_find(amld_instance_t *i, size_t most, jobs_found_t *found)
{
    size_t k;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    memset(found, 0, offsetof(jobs_found_t, found));
    found->instance = i;
    found->most = most;

    rc = aml_registry_read(i->supervisor->d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_job_queue_each(txn, &i->key, i->jobs_next, jobs_found, found);
        found->seen = found->count;
        found->count = 0;
        found->spent = amld_reserve_is_spent(txn);
        for (k = 0; k < found->seen && rc == AML_REGISTRY_OK; k++) {
            found->found[found->count] = found->found[k];
            rc = amld_job_load(txn, &found->found[k].key,
                               &found->found[found->count].doc);
            if (rc == AML_REGISTRY_OK) {
                found->count++;
            } else if (rc == AML_REGISTRY_CORRUPT ||
                       rc == AML_REGISTRY_NOTFOUND) {
                amld_log(AMLD_LOG_ERROR, "%s: %s: %s", i->name,
                         found->found[k].key.p, aml_registry_strerror(rc));
                rc = AML_REGISTRY_OK;
            }
        }
        aml_registry_end(txn);
    }

    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "%s: registry: %s", i->name,
                 aml_registry_strerror(rc));
        while (found->count > 0) {
            json_decref(found->found[--found->count].doc);
        }
        return -1;
    }

    return 0;
}


static int
jobs_found(void *data, uint64_t seq, const amld_key_t *key)
{
    const amld_job_run_t *run;
    jobs_found_t *found = data;

    for (run = found->instance->jobs; run != NULL; run = run->next) {
        if (run->seq == seq) {
            return 0;
        }
    }

    found->found[found->count].key = *key;
    found->found[found->count++].seq = seq;
    found->last = seq;

    return found->count == found->most;
}


/* In one commit; nobody else changes what waits for one that is deleted, but
 * its creator may have removed some. */
static aml_registry_rc_t
jobs_cancel(amld_instance_t *i, const jobs_found_t *found)
{
    size_t k;
    json_t *doc;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    if (found->count == 0) {
        return AML_REGISTRY_OK;
    }

    rc = aml_registry_write(i->supervisor->d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    for (k = 0; k < found->count && rc == AML_REGISTRY_OK; k++) {
        rc = amld_job_load(txn, &found->found[k].key, &doc);
        if (rc == AML_REGISTRY_OK) {
            rc = amld_job_set_status(doc, AMLD_JOB_CANCELED) == 0 &&
                         amld_job_set_time(doc, "ended", amld_jobs_wall()) ==
                             0 &&
                         amld_compute_set_str(doc, "message",
                                              "The instance was deleted.") == 0
                     ? amld_job_store(txn, &found->found[k].key, doc)
                     : AML_REGISTRY_FAILED;
        } else if (rc == AML_REGISTRY_NOTFOUND) {
            rc = AML_REGISTRY_OK;
        }
        json_decref(doc);
    }

    if (rc == AML_REGISTRY_OK) {
        return aml_registry_commit(txn);
    }
    aml_registry_end(txn);

    return rc;
}


static void
jobs_settle(amld_supervisor_t *s)
{
    int rc;
    size_t count, room;
    int64_t now;
    amld_instance_t *i;
    amld_job_run_t *run, **runs;

    for (i = s->first, room = 0; i != NULL; i = i->next) {
        room += i->job_count;
    }
    if (room == 0) {
        return;
    }

    now = amld_now();
    runs = malloc(room * sizeof(void *));
    for (i = s->first, count = 0; i != NULL && runs != NULL; i = i->next) {
        for (run = i->jobs; run != NULL; run = run->next) {
            if (run->state == AMLD_JOB_RUN_NEW ||
                (run->state == AMLD_JOB_RUN_ENDED && now >= i->jobs_at)) {
                runs[count++] = run;
            }
        }
    }

    rc = runs == NULL ? -1 : count != 0 ? amld_jobs_record(s, runs, count) : 0;
    free(runs);

    for (i = s->first; i != NULL; i = i->next) {
        for (run = i->jobs; run != NULL && rc == 0; run = run->next) {
            if (run->state == AMLD_JOB_RUN_GOES) {
                jobs_release(run);
            }
        }
        if (rc != 0 && i->jobs != NULL) {
            i->jobs_at = amld_now() + AMLD_RETRY_PAUSE;
        }
        jobs_forget(i);
    }
}


static void
jobs_release(amld_job_run_t *run)
{
    if (run->hold == -1) {
        return;
    }

    /* If it is gone already, that is seen like any other end. */
    (void) amld_engine_release(run->hold);
    run->hold = -1;

    if (run->timeout > 0) {
        run->by = amld_now() + run->timeout * 1000;
    }
}


/* Those that are over; those that were not written down are called off, and
 * wait. */
static void
jobs_forget(amld_instance_t *i)
{
    char path[PATH_MAX + 64];
    amld_job_run_t *run, **at;

    for (at = &i->jobs; (run = *at) != NULL;) {
        if (run->state == AMLD_JOB_RUN_NEW) {
            jobs_again(run);
        } else if (run->state != AMLD_JOB_RUN_OVER) {
            at = &run->next;
            continue;
        }

        amld_jobs_status(run, path);
        (void) unlink(path);
        *at = run->next;
        jobs_drop(run);
        i->job_count--;
    }
}


/* How many more may run. */
static size_t
jobs_room(const amld_instance_t *i)
{
    size_t slots, used;
    const amld_job_run_t *run;

    if (i->phase != AMLD_PHASE_UP) {
        return 0;
    }

    slots = (size_t) AMLD_JOBS_A_CORE * (i->cores > 0 ? i->cores : 1);
    for (run = i->jobs, used = 0; run != NULL; run = run->next) {
        used +=
            run->state == AMLD_JOB_RUN_GOES || run->state == AMLD_JOB_RUN_NEW;
    }

    return used < slots ? slots - used : 0;
}


/* How many more may be held back, or run. */
static size_t
jobs_places(const amld_instance_t *i)
{
    size_t ready;
    const amld_job_run_t *run;

    if (i->phase != AMLD_PHASE_UP) {
        return 0;
    }

    for (run = i->jobs, ready = 0; run != NULL; run = run->next) {
        ready += run->state == AMLD_JOB_RUN_READY;
    }

    return jobs_room(i) +
           (ready < AMLD_JOBS_READY ? AMLD_JOBS_READY - ready : 0);
}


/* Called off, where it was held back. */
static void
jobs_drop(amld_job_run_t *run)
{
    if (run->hold != -1) {
        close(run->hold);
    }
    if (run->watch != -1) {
        close(run->watch);
    }
    free(run->fault);
    free(run->waits);
    free(run);
}


static void
jobs_end(amld_job_run_t *run, amld_job_why_t why, int64_t now)
{
    if (run->why != AMLD_JOB_WHY_NONE) {
        return;
    }

    run->why = why;
    (void) amld_command_stop(&run->id, 0);
    run->kill_at =
        now +
        (int64_t) run->instance->supervisor->d->config->stop_timeout * 1000;
}
