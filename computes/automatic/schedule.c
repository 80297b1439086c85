#include "computes/automatic/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "computes/automatic/due.h"
#include "computes/time/cron.h"
#include "computes/time/timestamp.h"

#define SCHEDULE_COUNTED 1000 /* missed runs, at most */

/* One of the list. */
typedef struct {
    amld_cron_t cron;
    amld_zone_t *zone;
    int64_t since; /* not before */
    int start;
} schedule_entry_t;

static const json_t *schedule_list(const json_t *doc);
static int schedule_entry(const json_t *item, schedule_entry_t *e);
static int64_t schedule_next(const schedule_entry_t *e, int64_t after);
static int64_t schedule_member(const json_t *doc, const char *member);
static void schedule_look_one(const schedule_entry_t *e, int64_t until,
                              int64_t now, amld_schedule_due_t *due);
static void
schedule_miss(amld_schedule_due_t *due, const amld_schedule_run_t *run);


int
amld_schedule_plan(json_t *doc, int64_t now, int64_t *at)
{
    int failed;
    char *text;
    size_t k;
    int64_t until, next;
    json_t *own;
    const json_t *list;
    schedule_entry_t e;

    *at = AMLD_DUE_NEVER;

    list = schedule_list(doc);
    own = json_object_get(doc, "schedule");

    if (list == NULL) {
        if (own != NULL) {
            (void) json_object_del(doc, "schedule");
        }
        return 0;
    }

    text = json_dumps(list, JSON_COMPACT | JSON_SORT_KEYS);
    if (text == NULL) {
        return -1;
    }

    if (own == NULL || strcmp(amld_compute_str(own, "of"), text) != 0) {
        /* A schedule is for what comes after it was made. */
        own = json_pack("{s:s,s:I}", "of", text, "until", (json_int_t) now);
        if (json_object_set_new(doc, "schedule", own) != 0) {
            free(text);
            return -1;
        }
    }
    free(text);

    *at = schedule_member(doc, "next");
    if (*at != AMLD_DUE_NEVER) {
        return 0;
    }

    until = schedule_member(doc, "until");

    for (k = 0; k < json_array_size(list); k++) {
        if (schedule_entry(json_array_get(list, k), &e) != 0) {
            continue;
        }
        next = schedule_next(&e, until);
        amld_zone_free(e.zone);
        if (next != -1 && (*at == AMLD_DUE_NEVER || next < *at)) {
            *at = next;
        }
    }

    failed =
        *at != AMLD_DUE_NEVER &&
        json_object_set_new(own, "next", json_integer((json_int_t) *at)) != 0;

    return failed ? -1 : 0;
}


void
amld_schedule_look(const json_t *doc, int64_t now, amld_schedule_due_t *due)
{
    size_t k;
    int64_t until;
    const json_t *list;
    schedule_entry_t e;

    memset(due, 0, sizeof(*due));
    due->run.at = AMLD_DUE_NEVER;
    due->missed.at = AMLD_DUE_NEVER;

    list = schedule_list(doc);
    until = schedule_member(doc, "until");
    if (list == NULL || until == AMLD_DUE_NEVER) {
        return;
    }

    for (k = 0; k < json_array_size(list); k++) {
        if (schedule_entry(json_array_get(list, k), &e) == 0) {
            schedule_look_one(&e, until, now, due);
            amld_zone_free(e.zone);
        }
    }
}


int
amld_schedule_over(json_t *doc, int64_t now, const amld_schedule_run_t *run,
                   const char *result)
{
    char time[AMLD_TIMESTAMP_SIZE];
    json_t *own;

    own = json_object_get(doc, "schedule");
    if (own == NULL) {
        return 0;
    }

    (void) json_object_del(own, "next");

    if (json_object_set_new(own, "until", json_integer((json_int_t) now)) !=
        0) {
        return -1;
    }

    if (run == NULL) {
        return 0;
    }

    amld_timestamp_write(run->at, time);

    return json_object_set_new(
        own, "last",
        json_pack("{s:s,s:s,s:s}", "time", time, "action",
                  run->start ? "Start" : "Stop", "result", result));
}


int
amld_schedule_reset(json_t *doc, int64_t now)
{
    if (schedule_member(doc, "until") <= now + AMLD_SCHEDULE_LATE) {
        return 0;
    }

    return amld_schedule_over(doc, now, NULL, NULL) == 0;
}


/* NULL where there is none that could ever run. */
static const json_t *
schedule_list(const json_t *doc)
{
    const json_t *list;

    list = json_object_get(
        json_object_get(json_object_get(doc, "requested"), "schedules"),
        "computeStartStop");

    return json_array_size(list) != 0 &&
                   amld_compute_state(doc) != AMLD_STATE_DELETING
               ? list
               : NULL;
}


/* 0, or -1 when it is not to run: disabled, or nothing that can be read. */
static int
schedule_entry(const json_t *item, schedule_entry_t *e)
{
    char err[256];
    const char *action, *start, *status;
    const json_t *cron;

    memset(e, 0, sizeof(*e));

    cron = json_object_get(item, "cron");
    status = amld_compute_str(item, "status");
    action = amld_compute_str(item, "action");
    start = amld_compute_str(cron, "startTime");

    e->start = strcasecmp(action, "Start") == 0;
    e->since = INT64_MIN;

    if (strcasecmp(status, "Disabled") == 0 ||
        (!e->start && strcasecmp(action, "Stop") != 0) ||
        amld_cron_parse(&e->cron, amld_compute_str(cron, "expression"), err,
                        sizeof(err)) != 0) {
        return -1;
    }

    e->zone = amld_zone_load(amld_compute_str(cron, "timeZone"));
    if (e->zone == NULL) {
        return -1;
    }

    if (start[0] != '\0' &&
        amld_timestamp_read(start, e->zone, &e->since) != 0) {
        amld_zone_free(e->zone);
        e->zone = NULL;
        return -1;
    }

    return 0;
}


static int64_t
schedule_next(const schedule_entry_t *e, int64_t after)
{
    if (e->since != INT64_MIN && after < e->since - 1) {
        after = e->since - 1;
    }

    return amld_cron_next_in(&e->cron, e->zone, after);
}


static int64_t
schedule_member(const json_t *doc, const char *member)
{
    const json_t *value;

    value = json_object_get(json_object_get(doc, "schedule"), member);

    return json_is_integer(value) ? (int64_t) json_integer_value(value)
                                  : AMLD_DUE_NEVER;
}


/*
 * Those of the last hour one by one, as one of them may have to be done; of
 * those before it is told that they were missed, which takes no exact number.
 */
static void
schedule_look_one(const schedule_entry_t *e, int64_t until, int64_t now,
                  amld_schedule_due_t *due)
{
    int64_t at, recent;
    unsigned n;
    amld_schedule_run_t run;

    run.start = e->start;
    recent = now - AMLD_SCHEDULE_LATE;

    at = until;
    for (n = 0; n < SCHEDULE_COUNTED; n++) {
        at = schedule_next(e, at);
        if (at == -1 || at >= recent) {
            break;
        }
        run.at = at;
        schedule_miss(due, &run);
    }

    at = until > recent - 1 ? until : recent - 1;
    for (;;) {
        at = schedule_next(e, at);
        if (at == -1 || at > now) {
            return;
        }

        run.at = at;
        /* Of two at the same time the later one of the list, and neither is
         * missed. */
        if (due->run.at == AMLD_DUE_NEVER || at >= due->run.at) {
            if (due->run.at != AMLD_DUE_NEVER && at != due->run.at) {
                schedule_miss(due, &due->run);
            }
            due->run = run;
        } else {
            schedule_miss(due, &run);
        }
    }
}


static void
schedule_miss(amld_schedule_due_t *due, const amld_schedule_run_t *run)
{
    if (run->at == due->missed.at) {
        return;
    }

    if (due->missed.at == AMLD_DUE_NEVER || run->at > due->missed.at) {
        due->missed = *run;
    }
    due->more++;
}
