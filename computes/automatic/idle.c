#include "computes/automatic/idle.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "computes/automatic/automatic.h"
#include "computes/automatic/due.h"
#include "computes/engines/procfs.h"
#include "computes/jobs/job.h"
#include "computes/time/duration.h"
#include "computes/time/timestamp.h"

#define IDLE_BUSY 300 /* seconds between looks at one that is kept */
#define IDLE_KEEPER 60
#define IDLE_TICKS 5         /* hundredths of a second, of one second */
#define IDLE_PAUSE 250000000 /* nanoseconds */

static int idle_jobs(amld_t *d, const json_t *doc, char *why, size_t size);
static void idle_turn(void *data, const amld_key_t *key, int64_t at);
static void idle_back(void *data);
static int
idle_load(amld_t *d, const amld_key_t *key, int64_t at, json_t **doc);
static aml_registry_rc_t
idle_stop(amld_t *d, aml_registry_txn_t *txn, const amld_key_t *key,
          json_t *doc, amld_idle_facts_t *facts, amld_automatic_t *what,
          char reason[AMLD_IDLE_REASON]);
static int
idle_later(const amld_idle_facts_t *facts, int64_t when, int64_t last);
static int idle_terminals_work(const amld_t *d, const json_t *doc);
static int idle_over(const amld_idle_verdict_t *verdict, int64_t now);
static int64_t
idle_next(amld_t *d, const json_t *doc, const amld_idle_facts_t *facts,
          const amld_idle_verdict_t *verdict);
static void idle_name(const json_t *doc, char name[64]);
static void idle_say_use(const amld_use_t *use, char *text, size_t size);

/* What keeps an instance beside the gateway and Jupyter. */
static const amld_idle_keeper_pt idle_keepers[] = {
    idle_jobs,
    NULL,
};


void
amld_idle_judge(const amld_idle_facts_t *facts, amld_idle_verdict_t *verdict)
{
    char time[AMLD_TIMESTAMP_SIZE], what[64];
    int64_t last;

    memset(verdict, 0, sizeof(*verdict));

    last = facts->since;
    amld_timestamp_write(last, time);
    (void) snprintf(verdict->reason, sizeof(verdict->reason),
                    "Nothing has been used since %s, when it came to run or "
                    "amld began to look after it.",
                    time);

    if (idle_later(facts, facts->use.when, last)) {
        last = facts->use.when;
        amld_timestamp_write(last, time);
        idle_say_use(&facts->use, what, sizeof(what));
        (void) snprintf(verdict->reason, sizeof(verdict->reason),
                        "The last use was at %s: %s.", time, what);
    }

    if (facts->asked && facts->answered) {
        if (idle_later(facts, facts->jupyter.terminal, last)) {
            last = facts->jupyter.terminal;
            amld_timestamp_write(last, time);
            (void) snprintf(verdict->reason, sizeof(verdict->reason),
                            "A terminal was last used at %s.", time);
        }
        if (idle_later(facts, facts->jupyter.kernel, last)) {
            last = facts->jupyter.kernel;
            amld_timestamp_write(last, time);
            (void) snprintf(verdict->reason, sizeof(verdict->reason),
                            "A kernel was last at work at %s.", time);
        }
        if (facts->jupyter.busy > 0) {
            verdict->kept = 1;
            (void) snprintf(verdict->reason, sizeof(verdict->reason),
                            "%u of %u kernels are at work.",
                            facts->jupyter.busy, facts->jupyter.kernels);
        }
    }

    if (!verdict->kept && facts->works) {
        verdict->kept = 1;
        (void) snprintf(verdict->reason, sizeof(verdict->reason),
                        "A program in a terminal is at work.");
    }

    if (!verdict->kept && facts->kept != NULL) {
        verdict->kept = 1;
        (void) snprintf(verdict->reason, sizeof(verdict->reason), "%s",
                        facts->kept);
    }

    /* Clocks may differ, and what an instance says of itself may be wrong. */
    if (last > facts->now || verdict->kept) {
        last = facts->now;
    }

    verdict->idle_since = last;
    verdict->unknown = !facts->answered;
    verdict->stops_at =
        facts->seconds > 0 ? last + facts->seconds : AMLD_DUE_NEVER;
}


int64_t
amld_idle_seconds(const json_t *doc)
{
    int64_t seconds;
    const char *text;

    text = amld_compute_str(json_object_get(doc, "requested"),
                            "idleTimeBeforeShutdown");

    return text[0] != '\0' && amld_duration_read(text, &seconds) == 0 ? seconds
                                                                      : 0;
}


int
amld_idle_plan(json_t *doc, int64_t now, int64_t *at)
{
    int64_t seconds, since;
    json_t *own;

    *at = AMLD_DUE_NEVER;
    own = json_object_get(doc, "idle");
    seconds = amld_idle_seconds(doc);

    /* Also without an idle time it is good to know since when it runs. */
    if (amld_compute_state(doc) != AMLD_STATE_RUNNING) {
        (void) json_object_del(doc, "idle");
        return 0;
    }

    if (!json_is_object(own)) {
        own = json_pack("{s:I}", "since", (json_int_t) now);
        if (json_object_set_new(doc, "idle", own) != 0) {
            return -1;
        }
    }

    since = json_integer_value(json_object_get(own, "since"));
    if (since > now) {
        since = now;
        if (json_object_set_new(own, "since",
                                json_integer((json_int_t) since)) != 0) {
            return -1;
        }
    }

    if (json_integer_value(json_object_get(own, "seconds")) == seconds) {
        *at = amld_due_at(doc, AMLD_DUE_IDLE);
    } else if (json_object_set_new(own, "seconds",
                                   json_integer((json_int_t) seconds)) != 0) {
        return -1;
    }

    if (seconds == 0) {
        *at = AMLD_DUE_NEVER;
    } else if (*at == AMLD_DUE_NEVER) {
        *at = since + seconds;
    }

    return 0;
}


/* What is not there differs from any time: it is planned from `since`. */
int
amld_idle_reset(json_t *doc, int64_t now)
{
    int64_t at, since, wait;
    json_t *own;

    own = json_object_get(doc, "idle");
    at = amld_due_at(doc, AMLD_DUE_IDLE);
    since = json_integer_value(json_object_get(own, "since"));

    wait = amld_idle_seconds(doc);
    if (wait < AMLD_IDLE_AGAIN) {
        wait = AMLD_IDLE_AGAIN;
    }

    if (!json_is_object(own) ||
        (since <= now && (at == AMLD_DUE_NEVER || at <= now + wait))) {
        return 0;
    }
    (void) json_object_del(own, "seconds");

    return 1;
}


void
amld_idle_gather(amld_t *d, const json_t *doc, int64_t now,
                 amld_idle_facts_t *facts, char why[AMLD_IDLE_REASON])
{
    char name[64], socket[512];
    size_t k;
    amld_command_id_t command;

    memset(facts, 0, sizeof(*facts));
    facts->now = now;
    facts->seconds = amld_idle_seconds(doc);
    facts->answered = 1;

    facts->since = json_integer_value(
        json_object_get(json_object_get(doc, "idle"), "since"));

    if (d->usage != NULL) {
        if (amld_usage_since(d->usage) > facts->since) {
            facts->since = amld_usage_since(d->usage);
        }
        idle_name(doc, name);
        amld_usage_last(d->usage, aml_str_of(name), &facts->use);
    }

    if (amld_compute_command(doc, "jupyter", &command) == 0) {
        facts->asked = 1;
        facts->answered = amld_compute_socket(d->config, doc, "jupyter", socket,
                                              sizeof(socket)) == 0 &&
                          amld_jupyter_ask(socket, &facts->jupyter) == 0;
    }

    if (facts->asked && facts->answered && facts->jupyter.busy == 0 &&
        (facts->jupyter.terminals > 0 ||
         amld_compute_command(doc, "ssh", &command) == 0)) {
        facts->works = idle_terminals_work(d, doc);
    }

    for (k = 0; idle_keepers[k] != NULL; k++) {
        if (idle_keepers[k](d, doc, why, AMLD_IDLE_REASON)) {
            facts->kept = why;
            break;
        }
    }
}


amld_clock_t *
amld_idle_start(amld_t *d)
{
    amld_clock_work_t work = {.name = "idle shutdown",
                              .kind = AMLD_DUE_IDLE,
                              .turn = idle_turn,
                              .back = idle_back,
                              .data = d};

    return amld_clock_start(d, &work);
}


void
amld_idle_back(amld_t *d, int64_t now)
{
    if (d->usage != NULL) {
        amld_usage_back(d->usage, now);
    }

    amld_clock_anew(d, AMLD_DUE_IDLE, "idle shutdown", amld_idle_reset, now);
}


/*
 * Asks first, without a transaction, and writes then: what has changed in
 * between is seen in that.
 */
void
amld_idle_turn(amld_t *d, const amld_key_t *key, int64_t at, int64_t now)
{
    char reason[AMLD_IDLE_REASON], why[AMLD_IDLE_REASON];
    int stops;
    json_t *doc;
    amld_automatic_t what;
    amld_idle_facts_t facts;
    amld_idle_verdict_t verdict;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    stops = 0;
    memset(&facts, 0, sizeof(facts));
    memset(&verdict, 0, sizeof(verdict));

    if (idle_load(d, key, at, &doc)) {
        amld_idle_gather(d, doc, now, &facts, why);
        amld_idle_judge(&facts, &verdict);
    }
    json_decref(doc);
    doc = NULL;

    rc = aml_registry_write(d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_compute_load(txn, key, &doc);

        if (rc == AML_REGISTRY_NOTFOUND ||
            (rc == AML_REGISTRY_OK && amld_due_at(doc, AMLD_DUE_IDLE) != at)) {
            rc = amld_due_drop(txn, AMLD_DUE_IDLE, key, at);

        } else if (rc == AML_REGISTRY_OK) {
            if (idle_over(&verdict, now)) {
                rc = idle_stop(d, txn, key, doc, &facts, &what, reason);
                stops = amld_compute_state(doc) == AMLD_STATE_STOPPING;
            } else {
                rc = amld_due_set(txn, key, doc, AMLD_DUE_IDLE,
                                  idle_next(d, doc, &facts, &verdict));
                if (rc == AML_REGISTRY_OK) {
                    rc = amld_compute_store(txn, d->config, key, doc);
                }
            }
        }

        if (rc == AML_REGISTRY_OK) {
            rc = aml_registry_commit(txn);
        } else {
            aml_registry_end(txn);
        }
    }

    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "idle shutdown: %s: registry: %s", key->p,
                 aml_registry_strerror(rc));
    } else if (stops) {
        amld_automatic_told(d, doc, &what);
    } else if (verdict.unknown) {
        amld_log(AMLD_LOG_WARN,
                 "%s: its Jupyter Server does not say whether it is in use; "
                 "it is not stopped for idleness",
                 amld_compute_str(doc, "name"));
    }

    json_decref(doc);
}


/* Also one that waits: it runs as soon as another has ended. */
static int
idle_jobs(amld_t *d, const json_t *doc, char *why, size_t size)
{
    size_t n;
    amld_key_t key = {.n = 0};
    aml_registry_txn_t *txn;
    const amld_workspace_t *workspace;

    workspace = amld_compute_workspace(d->config, doc);
    if (workspace == NULL ||
        amld_compute_key(&key, workspace, amld_compute_str(doc, "name")) != 0 ||
        aml_registry_read(d->registry, &txn) != AML_REGISTRY_OK) {
        return 0;
    }

    if (amld_job_queue_count(txn, &key, 1, &n) != AML_REGISTRY_OK) {
        n = 0;
    }
    aml_registry_end(txn);

    (void) snprintf(why, size, "A job runs or waits.");

    return n != 0;
}


static void
idle_turn(void *data, const amld_key_t *key, int64_t at)
{
    amld_idle_turn(data, key, at, (int64_t) time(NULL));
}


static void
idle_back(void *data)
{
    amld_idle_back(data, (int64_t) time(NULL));
}


/* 1 when it is there and it is its turn. */
static int
idle_load(amld_t *d, const amld_key_t *key, int64_t at, json_t **doc)
{
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    *doc = NULL;

    rc = aml_registry_read(d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_compute_load(txn, key, doc);
        aml_registry_end(txn);
    }

    return rc == AML_REGISTRY_OK && amld_due_at(*doc, AMLD_DUE_IDLE) == at &&
           amld_compute_state(*doc) == AMLD_STATE_RUNNING;
}


/* Unless it has been used, or its time was changed, since it was asked. */
static aml_registry_rc_t
idle_stop(amld_t *d, aml_registry_txn_t *txn, const amld_key_t *key,
          json_t *doc, amld_idle_facts_t *facts, amld_automatic_t *what,
          char reason[AMLD_IDLE_REASON])
{
    char name[64];
    aml_registry_rc_t rc;
    amld_idle_verdict_t verdict;

    facts->seconds = amld_idle_seconds(doc);
    if (d->usage != NULL) {
        idle_name(doc, name);
        amld_usage_last(d->usage, aml_str_of(name), &facts->use);
    }
    amld_idle_judge(facts, &verdict);

    if (!idle_over(&verdict, facts->now)) {
        rc = amld_due_set(txn, key, doc, AMLD_DUE_IDLE,
                          idle_next(d, doc, facts, &verdict));
        return rc == AML_REGISTRY_OK
                   ? amld_compute_store(txn, d->config, key, doc)
                   : rc;
    }

    (void) snprintf(
        reason, AMLD_IDLE_REASON, "It was idle for %lld minutes. %.200s",
        (long long) (facts->now - verdict.idle_since) / 60, verdict.reason);

    *what = (amld_automatic_t){.name = "Stop",
                               .state = AMLD_STATE_STOPPING,
                               .trigger = "IdleShutdown",
                               .reason = reason};

    return amld_automatic_begin(d, txn, key, doc, what);
}


static int
idle_later(const amld_idle_facts_t *facts, int64_t when, int64_t last)
{
    return when > last && when <= facts->now + AMLD_IDLE_AHEAD;
}


/* Jupyter knows of terminals what is shown of them, and to nobody nothing is
 * shown.  So it is seen whether they use the processor. */
static int
idle_terminals_work(const amld_t *d, const json_t *doc)
{
    char entry[PATH_MAX + 32], runtime[PATH_MAX];
    uint64_t before;
    struct timespec now, until, pause = {.tv_nsec = IDLE_PAUSE};

    if (amld_compute_runtime(d->config, doc, runtime, sizeof(runtime)) != 0) {
        return 0;
    }
    (void) snprintf(entry, sizeof(entry), "AML_COMMAND=%s/", runtime);

    before = amld_proc_terminal_ticks(entry);

    /* What a sleep took, the clock says: it may end before its time. */
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec++;
    do {
        (void) nanosleep(&pause, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < until.tv_sec ||
             (now.tv_sec == until.tv_sec && now.tv_nsec < until.tv_nsec));

    return amld_proc_terminal_ticks(entry) >= before + IDLE_TICKS;
}


static int
idle_over(const amld_idle_verdict_t *verdict, int64_t now)
{
    return verdict->stops_at != AMLD_DUE_NEVER && verdict->stops_at <= now &&
           verdict->idle_since != 0 && !verdict->kept && !verdict->unknown;
}


/*
 * When to look again.  What is kept is noted as used, since whatever keeps it
 * may be gone without a trace by then.
 */
static int64_t
idle_next(amld_t *d, const json_t *doc, const amld_idle_facts_t *facts,
          const amld_idle_verdict_t *verdict)
{
    char name[64];
    int64_t next;
    amld_use_t use = {.when = facts->now};

    if (verdict->stops_at == AMLD_DUE_NEVER) {
        return AMLD_DUE_NEVER;
    }

    next = verdict->stops_at;

    if (verdict->kept) {
        if (d->usage != NULL) {
            idle_name(doc, name);
            amld_usage_note(d->usage, aml_str_of(name), &use);
        }
        next = facts->now + (facts->kept != NULL ? IDLE_KEEPER : IDLE_BUSY);
        if (next > verdict->stops_at) {
            next = verdict->stops_at;
        }
    } else if (verdict->unknown && next < facts->now + AMLD_IDLE_AGAIN) {
        next = facts->now + AMLD_IDLE_AGAIN;
    }

    return next > facts->now ? next : facts->now + 1;
}


static void
idle_name(const json_t *doc, char name[64])
{
    size_t n;
    const char *s;

    s = amld_compute_str(doc, "name");
    for (n = 0; n < 63 && s[n] != '\0'; n++) {
        name[n] = (char) (s[n] >= 'A' && s[n] <= 'Z' ? s[n] + 32 : s[n]);
    }
    name[n] = '\0';
}


static void
idle_say_use(const amld_use_t *use, char *text, size_t size)
{
    const aml_application_t *a;

    a = aml_application_by_port(use->port);

    if (use->port == 0) {
        (void) snprintf(text, size, "something was at work");
    } else if (use->port == 22) {
        (void) snprintf(text, size, "SSH");
    } else if (a != NULL) {
        (void) snprintf(text, size, "%s, by a %s", a->name,
                        use->frames ? "websocket" : "request");
    } else {
        (void) snprintf(text, size, "port %u, by a %s", use->port,
                        use->frames ? "websocket" : "request");
    }
}
