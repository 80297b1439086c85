/*
 * When an instance stops for idleness, and why, or why not.
 */

#include "computes/api/arm.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "computes/automatic/idle.h"
#include "computes/time/timestamp.h"

static void arm_idle_ask(amld_t *d, const amld_request_t *request,
                         amld_response_t *response);
static int arm_idle_begin(amld_t *d, const amld_key_t *key, uint64_t *ask);
static void arm_idle_end(amld_t *d, uint64_t ask);
static json_t *
arm_idle_answer(const json_t *doc, const amld_idle_facts_t *facts,
                const amld_idle_verdict_t *verdict, int running);
static int arm_idle_time(json_t *answer, const char *member, int64_t t);
static void
arm_idle_say(const amld_idle_facts_t *facts, const amld_idle_verdict_t *verdict,
             int running, const char *state, char *text, size_t size);


/* Its Jupyter is asked, which may take seconds. */
void
amld_arm_idle(amld_t *d, const amld_request_t *request,
              amld_response_t *response)
{
    (void) d;
    (void) request;

    amld_response_later(response, arm_idle_ask);
}


static void
arm_idle_ask(amld_t *d, const amld_request_t *request,
             amld_response_t *response)
{
    char why[AMLD_IDLE_REASON];
    int rc, running;
    uint64_t ask;
    amld_arm_t arm;
    amld_idle_facts_t facts;
    amld_idle_verdict_t verdict;

    memset(&facts, 0, sizeof(facts));
    memset(&verdict, 0, sizeof(verdict));

    rc = amld_arm_begin(&arm, d, request, response, 1) == 0
             ? amld_arm_load(&arm, 0)
             : -1;

    if (rc == 0) {
        amld_arm_not_found(&arm);

    } else if (rc == 1) {
        /* Nobody waits for a snapshot that is held while others answer. */
        aml_registry_end(arm.txn);
        arm.txn = NULL;

        running = amld_compute_state(arm.doc) == AMLD_STATE_RUNNING;
        if (running && arm_idle_begin(d, &arm.key, &ask) != 0) {
            amld_response_error(response, 503, "TooManyRequests", NULL,
                                "This instance is being asked already, or too "
                                "many others are.");
            amld_response_header(response, "Retry-After", "5");
            amld_arm_end(&arm);
            return;
        }
        if (running) {
            amld_idle_gather(d, arm.doc, (int64_t) time(NULL), &facts, why);
            amld_idle_judge(&facts, &verdict);
            arm_idle_end(d, ask);
        }
        amld_response_json(response, 200,
                           arm_idle_answer(arm.doc, &facts, &verdict, running));
    }

    amld_arm_end(&arm);
}


/*
 * Threads that wait are few, and sign-in has the same ones; whose Jupyter does
 * not answer is not to hold them all.  -1: this instance is being asked, or
 * there is no place.
 */
static int
arm_idle_begin(amld_t *d, const amld_key_t *key, uint64_t *ask)
{
    size_t k;
    uint64_t none, hash;

    hash = 0xcbf29ce484222325; /* FNV-1a */
    for (k = 0; k < key->n; k++) {
        hash = (hash ^ (unsigned char) key->p[k]) * 0x100000001b3;
    }
    *ask = hash | 1;

    for (k = 0; k < AMLD_ASKS; k++) {
        if (atomic_load(&d->asks[k]) == *ask) {
            return -1;
        }
    }

    for (k = 0; k < AMLD_ASKS; k++) {
        none = 0;
        if (atomic_compare_exchange_strong(&d->asks[k], &none, *ask)) {
            return 0;
        }
    }

    return -1;
}


static void
arm_idle_end(amld_t *d, uint64_t ask)
{
    size_t k;
    uint64_t own;

    for (k = 0; k < AMLD_ASKS; k++) {
        own = ask;
        if (atomic_compare_exchange_strong(&d->asks[k], &own, 0)) {
            return;
        }
    }
}


/* A new reference, NULL without memory. */
static json_t *
arm_idle_answer(const json_t *doc, const amld_idle_facts_t *facts,
                const amld_idle_verdict_t *verdict, int running)
{
    char text[2 * AMLD_IDLE_REASON];
    int failed;
    int64_t left;
    json_t *answer, *keeps, *reasons;
    const char *state, *set;

    answer = json_object();
    keeps = json_array();
    reasons = json_array();
    failed = json_object_set_new(answer, "keeps", keeps) != 0 ||
             json_object_set_new(answer, "reasons", reasons) != 0;

    state = amld_state_name(amld_compute_state(doc));
    set = amld_compute_str(json_object_get(doc, "requested"),
                           "idleTimeBeforeShutdown");

    failed |=
        json_object_set_new(answer, "state", json_string(state)) ||
        json_object_set_new(answer, "idleTimeBeforeShutdown",
                            set[0] != '\0' ? json_string(set) : json_null());

    arm_idle_say(facts, verdict, running, state, text, sizeof(text));
    failed |= json_array_append_new(reasons, json_string(text)) != 0;

    if (running) {
        failed |= json_array_append_new(
                      verdict->kept || verdict->unknown ? keeps : reasons,
                      json_string(verdict->unknown && !verdict->kept
                                      ? "Its Jupyter Server does not say "
                                        "whether it is in use."
                                      : verdict->reason)) != 0;
    }

    failed |= arm_idle_time(answer, "idleSince",
                            running ? verdict->idle_since : AMLD_DUE_NEVER);

    if (running && verdict->stops_at != AMLD_DUE_NEVER && !verdict->kept &&
        !verdict->unknown) {
        left = verdict->stops_at - facts->now;
        failed |= arm_idle_time(answer, "stopsAt", verdict->stops_at) ||
                  json_object_set_new(
                      answer, "minutes",
                      json_integer(left > 0 ? (left + 59) / 60 : 0)) != 0;
    } else {
        failed |= json_object_set_new(answer, "stopsAt", json_null()) ||
                  json_object_set_new(answer, "minutes", json_null());
    }

    if (failed) {
        json_decref(answer);
        return NULL;
    }

    return answer;
}


static int
arm_idle_time(json_t *answer, const char *member, int64_t t)
{
    char text[AMLD_TIMESTAMP_SIZE];

    if (t == AMLD_DUE_NEVER) {
        return json_object_set_new(answer, member, json_null());
    }

    amld_timestamp_write(t, text);

    return json_object_set_new(answer, member, json_string(text));
}


static void
arm_idle_say(const amld_idle_facts_t *facts, const amld_idle_verdict_t *verdict,
             int running, const char *state, char *text, size_t size)
{
    int64_t left;

    left = verdict->stops_at - facts->now;

    if (!running) {
        (void) snprintf(text, size, "It is %s.", state);

    } else if (facts->seconds == 0) {
        (void) snprintf(text, size,
                        "It does not stop by itself: idleTimeBeforeShutdown is "
                        "not set.");

    } else if (verdict->kept) {
        (void) snprintf(text, size, "It does not stop while it is in use.");

    } else if (verdict->unknown) {
        (void) snprintf(text, size,
                        "It does not stop while it is not known whether it is "
                        "in use.");

    } else {
        (void) snprintf(text, size,
                        "It stops in %lld minutes because it has been idle "
                        "for %lld.",
                        (long long) (left > 0 ? (left + 59) / 60 : 0),
                        (long long) (facts->now - verdict->idle_since) / 60);
    }
}
