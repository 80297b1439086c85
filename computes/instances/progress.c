#include "computes/instances/progress.h"

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROGRESS_BUCKETS 1024
#define PROGRESS_TICK 100 /* ms: how exactly followers are woken */

struct amld_progress {
    struct amld_progress *next; /* of its bucket */
    amld_progress_hub_t *hub;
    unsigned users;
    unsigned followers;
    uint64_t version;
    char operation[40];
    size_t count;
    amld_progress_step_t *steps; /* AMLD_PROGRESS_STEPS, or NULL */
    size_t key_len;
    char key[];
};

struct amld_progress_hub {
    pthread_mutex_t mutex;
    pthread_cond_t more;
    pthread_t clock;
    int clocked;
    int ends;
    size_t count; /* of followers */
    amld_follower_t *followers;
    amld_progress_t *buckets[PROGRESS_BUCKETS];
};

static void *progress_clock(void *data);
static amld_progress_t **
progress_place(amld_progress_hub_t *hub, const amld_key_t *key);
static void progress_changed(amld_progress_t *p);
static void progress_restore(amld_progress_t *p, const json_t *doc);
static amld_progress_step_t *progress_room(amld_progress_t *p);
static const char *progress_title(const char *name);
static int64_t progress_wall(void);
static int64_t progress_now(void);

static const char *const progress_outcomes[] = {
    [AMLD_OUTCOME_RUNNING] = "Running",
    [AMLD_OUTCOME_SUCCEEDED] = "Succeeded",
    [AMLD_OUTCOME_FAILED] = "Failed",
    [AMLD_OUTCOME_CANCELED] = "Canceled",
};


amld_progress_hub_t *
amld_progress_hub_new(void)
{
    pthread_condattr_t attr;
    amld_progress_hub_t *hub;

    hub = calloc(1, sizeof(*hub));
    if (hub == NULL) {
        return NULL;
    }

    pthread_mutex_init(&hub->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&hub->more, &attr);
    pthread_condattr_destroy(&attr);

    return hub;
}


void
amld_progress_hub_end(amld_progress_hub_t *hub)
{
    int clocked;
    amld_follower_t *f;

    if (hub == NULL) {
        return;
    }

    pthread_mutex_lock(&hub->mutex);
    hub->ends = 1;
    for (f = hub->followers; f != NULL; f = f->next) {
        if (f->waiting) {
            f->waiting = 0;
            MHD_resume_connection(f->connection);
        }
    }
    clocked = hub->clocked;
    hub->clocked = 0;
    pthread_cond_broadcast(&hub->more);
    pthread_mutex_unlock(&hub->mutex);

    if (clocked) {
        pthread_join(hub->clock, NULL);
    }
}


void
amld_progress_hub_free(amld_progress_hub_t *hub)
{
    if (hub != NULL) {
        amld_progress_hub_end(hub);
        pthread_cond_destroy(&hub->more);
        pthread_mutex_destroy(&hub->mutex);
        free(hub);
    }
}


amld_progress_t *
amld_progress_join(amld_progress_hub_t *hub, const amld_key_t *key)
{
    amld_progress_t *p, **place;

    if (hub == NULL) {
        return NULL;
    }

    pthread_mutex_lock(&hub->mutex);

    place = progress_place(hub, key);
    p = *place;
    if (p == NULL) {
        p = calloc(1, sizeof(*p) + key->n);
        if (p != NULL) {
            p->hub = hub;
            p->key_len = key->n;
            memcpy(p->key, key->p, key->n);
            *place = p;
        }
    }
    if (p != NULL) {
        p->users++;
    }

    pthread_mutex_unlock(&hub->mutex);

    return p;
}


void
amld_progress_leave(amld_progress_t *p)
{
    amld_key_t key;
    amld_progress_t **place;
    amld_progress_hub_t *hub;

    if (p == NULL) {
        return;
    }

    hub = p->hub;
    pthread_mutex_lock(&hub->mutex);

    if (--p->users == 0) {
        key.n = p->key_len;
        memcpy(key.p, p->key, p->key_len);
        place = progress_place(hub, &key);
        *place = p->next;
        free(p->steps);
        free(p);
    }

    pthread_mutex_unlock(&hub->mutex);
}


void
amld_progress_look(amld_progress_t *p, const json_t *doc)
{
    const char *operation;

    if (p == NULL) {
        return;
    }

    operation = amld_compute_str(doc, "operation");

    pthread_mutex_lock(&p->hub->mutex);

    if (operation[0] != '\0' && strcmp(p->operation, operation) != 0) {
        snprintf(p->operation, sizeof(p->operation), "%s", operation);
        p->count = 0;
        progress_changed(p);
    }
    if (p->count == 0) {
        progress_restore(p, doc);
    }

    pthread_mutex_unlock(&p->hub->mutex);
}


void
amld_progress_step(amld_progress_t *p, const char *name, const char *log,
                   int64_t offset)
{
    size_t k;
    amld_progress_step_t *step;

    if (p == NULL) {
        return;
    }

    step = NULL;
    pthread_mutex_lock(&p->hub->mutex);

    for (k = 0; k < p->count; k++) {
        if (p->steps[k].outcome == AMLD_OUTCOME_RUNNING &&
            strcmp(p->steps[k].name, name) == 0) {
            step = &p->steps[k];
        }
    }

    if (step == NULL) {
        step = progress_room(p);
    }

    if (step != NULL) {
        if (step->name[0] == '\0') {
            snprintf(step->name, sizeof(step->name), "%s", name);
            step->began = progress_wall();
            step->took = -1;
        }
        if (log != NULL && step->log[0] == '\0') {
            snprintf(step->log, sizeof(step->log), "%s", log);
            step->offset = offset;
        }
        progress_changed(p);
        step->version = p->version;
    }

    pthread_mutex_unlock(&p->hub->mutex);
}


void
amld_progress_step_end(amld_progress_t *p, const char *name,
                       amld_outcome_t outcome)
{
    size_t k;
    amld_progress_step_t *step;

    if (p == NULL) {
        return;
    }

    pthread_mutex_lock(&p->hub->mutex);

    for (k = 0; k < p->count; k++) {
        step = &p->steps[k];
        if (step->outcome != AMLD_OUTCOME_RUNNING ||
            (name != NULL && strcmp(step->name, name) != 0)) {
            continue;
        }

        step->outcome = outcome;
        step->took = progress_wall() - step->began;
        if (step->took < 0) {
            step->took = 0;
        }
        progress_changed(p);
        step->version = p->version;
    }

    pthread_mutex_unlock(&p->hub->mutex);
}


int
amld_progress_save(amld_progress_t *p, json_t *doc)
{
    int failed;
    size_t k;
    json_t *steps, *progress;
    const amld_progress_step_t *step;

    if (p == NULL) {
        return 0;
    }

    steps = json_array();
    failed = 0;

    pthread_mutex_lock(&p->hub->mutex);

    for (k = 0; k < p->count; k++) {
        step = &p->steps[k];
        failed |= json_array_append_new(
            steps,
            json_pack("{s:s,s:I,s:I,s:s}", "name", step->name, "began",
                      (json_int_t) step->began, "took", (json_int_t) step->took,
                      "outcome", progress_outcomes[step->outcome]));
    }
    progress =
        json_pack("{s:s,s:o}", "operation", p->operation, "steps", steps);

    pthread_mutex_unlock(&p->hub->mutex);

    if (failed) {
        json_decref(progress);
        return -1;
    }

    return json_object_set_new(doc, "progress", progress);
}


void
amld_progress_state(amld_progress_t *p)
{
    if (p == NULL) {
        return;
    }

    pthread_mutex_lock(&p->hub->mutex);
    progress_changed(p);
    pthread_mutex_unlock(&p->hub->mutex);
}


int
amld_progress_next(amld_progress_t *p, uint64_t version,
                   amld_progress_step_t *step)
{
    int found;
    size_t k;

    if (p == NULL) {
        return 0;
    }

    found = 0;
    pthread_mutex_lock(&p->hub->mutex);

    for (k = 0; k < p->count; k++) {
        if (p->steps[k].version > version &&
            (!found || p->steps[k].version < step->version)) {
            *step = p->steps[k];
            found = 1;
        }
    }

    pthread_mutex_unlock(&p->hub->mutex);

    return found;
}


int
amld_progress_running(amld_progress_t *p, amld_progress_step_t *step)
{
    int found;
    size_t k;

    if (p == NULL) {
        return 0;
    }

    found = 0;
    pthread_mutex_lock(&p->hub->mutex);

    for (k = p->count; k > 0 && !found; k--) {
        if (p->steps[k - 1].outcome == AMLD_OUTCOME_RUNNING) {
            *step = p->steps[k - 1];
            found = 1;
        }
    }

    pthread_mutex_unlock(&p->hub->mutex);

    return found;
}


uint64_t
amld_progress_version(amld_progress_t *p)
{
    uint64_t version;

    if (p == NULL) {
        return 0;
    }

    pthread_mutex_lock(&p->hub->mutex);
    version = p->version;
    pthread_mutex_unlock(&p->hub->mutex);

    return version;
}


json_t *
amld_progress_step_json(const amld_progress_step_t *step)
{
    char began[AMLD_TIME_SIZE];

    amld_time_text(began, step->began);

    return json_pack("{s:s,s:s,s:s,s:o,s:s}", "name", step->name, "title",
                     progress_title(step->name), "began", began, "took",
                     step->took < 0 ? json_null()
                                    : json_integer((json_int_t) step->took),
                     "outcome", progress_outcomes[step->outcome]);
}


json_t *
amld_progress_json(amld_progress_t *p)
{
    size_t k;
    json_t *list;

    list = json_array();
    if (p == NULL) {
        return list;
    }

    pthread_mutex_lock(&p->hub->mutex);
    for (k = 0; k < p->count; k++) {
        json_array_append_new(list, amld_progress_step_json(&p->steps[k]));
    }
    pthread_mutex_unlock(&p->hub->mutex);

    return list;
}


int
amld_progress_follow(amld_progress_t *p, amld_follower_t *f)
{
    int rc;
    size_t own;
    amld_follower_t *other;
    amld_progress_hub_t *hub;

    if (p == NULL) {
        return -1;
    }

    hub = p->hub;
    rc = -1;
    pthread_mutex_lock(&hub->mutex);

    own = 0;
    for (other = hub->followers; other != NULL; other = other->next) {
        own += memcmp(&other->who, &f->who, sizeof(f->who)) == 0;
    }

    if (!hub->clocked && !hub->ends &&
        pthread_create(&hub->clock, NULL, progress_clock, hub) == 0) {
        hub->clocked = 1;
    }

    if (hub->clocked && hub->count < AMLD_PROGRESS_ALL &&
        p->followers < AMLD_PROGRESS_FOLLOWERS && own < AMLD_PROGRESS_OWN) {
        f->progress = p;
        f->next = hub->followers;
        hub->followers = f;
        hub->count++;
        p->followers++;
        pthread_cond_signal(&hub->more);
        rc = 0;
    }

    pthread_mutex_unlock(&hub->mutex);

    return rc;
}


void
amld_progress_unfollow(amld_follower_t *f)
{
    amld_follower_t **place;
    amld_progress_hub_t *hub;

    if (f->progress == NULL) {
        return;
    }

    hub = f->progress->hub;
    pthread_mutex_lock(&hub->mutex);

    for (place = &hub->followers; *place != f; place = &(*place)->next) {
        /* void */
    }
    *place = f->next;
    hub->count--;
    f->progress->followers--;

    pthread_mutex_unlock(&hub->mutex);
}


int
amld_progress_wait(amld_follower_t *f, uint64_t version, int64_t ms)
{
    int rc;
    amld_progress_hub_t *hub;

    hub = f->progress->hub;
    pthread_mutex_lock(&hub->mutex);

    if (hub->ends) {
        rc = -1;
    } else if (f->progress->version != version) {
        rc = 0;
    } else {
        f->waiting = 1;
        f->until = progress_now() + ms;
        MHD_suspend_connection(f->connection);
        rc = 1;
    }

    pthread_mutex_unlock(&hub->mutex);

    return rc;
}


/* Wakes those who have waited long enough. */
static void *
progress_clock(void *data)
{
    int64_t now;
    struct timespec until;
    amld_follower_t *f;
    amld_progress_hub_t *hub;

    hub = data;
    pthread_mutex_lock(&hub->mutex);

    while (!hub->ends) {
        if (hub->followers == NULL) {
            pthread_cond_wait(&hub->more, &hub->mutex);
            continue;
        }

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += PROGRESS_TICK * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000L;
        }
        pthread_cond_timedwait(&hub->more, &hub->mutex, &until);

        now = progress_now();
        for (f = hub->followers; f != NULL; f = f->next) {
            if (f->waiting && now >= f->until) {
                f->waiting = 0;
                MHD_resume_connection(f->connection);
            }
        }
    }

    pthread_mutex_unlock(&hub->mutex);

    return NULL;
}


/* Of the one with this key, or where it goes. */
static amld_progress_t **
progress_place(amld_progress_hub_t *hub, const amld_key_t *key)
{
    size_t i;
    uint32_t hash;
    amld_progress_t **place;

    hash = 2166136261u;
    for (i = 0; i < key->n; i++) {
        hash = (hash ^ (unsigned char) key->p[i]) * 16777619u;
    }

    place = &hub->buckets[hash % PROGRESS_BUCKETS];
    while (*place != NULL && ((*place)->key_len != key->n ||
                              memcmp((*place)->key, key->p, key->n) != 0)) {
        place = &(*place)->next;
    }

    return place;
}


/* Under the mutex. */
static void
progress_changed(amld_progress_t *p)
{
    amld_follower_t *f;

    p->version++;

    if (p->followers == 0) {
        return;
    }

    for (f = p->hub->followers; f != NULL; f = f->next) {
        if (f->progress == p && f->waiting) {
            f->waiting = 0;
            MHD_resume_connection(f->connection);
        }
    }
}


static void
progress_restore(amld_progress_t *p, const json_t *doc)
{
    size_t k, n;
    json_t *each;
    const char *outcome;
    const json_t *progress;
    amld_progress_step_t *step;

    progress = json_object_get(doc, "progress");
    if (strcmp(amld_compute_str(progress, "operation"), p->operation) != 0 &&
        p->operation[0] != '\0') {
        return;
    }

    json_array_foreach(json_object_get(progress, "steps"), k, each)
    {
        step = progress_room(p);
        if (step == NULL) {
            return;
        }

        snprintf(step->name, sizeof(step->name), "%s",
                 amld_compute_str(each, "name"));
        step->began = json_integer_value(json_object_get(each, "began"));
        step->took = json_integer_value(json_object_get(each, "took"));

        outcome = amld_compute_str(each, "outcome");
        for (n = 0; n < sizeof(progress_outcomes) / sizeof(char *); n++) {
            if (strcmp(progress_outcomes[n], outcome) == 0) {
                step->outcome = (amld_outcome_t) n;
            }
        }

        p->version++;
        step->version = p->version;
    }
}


/* For one more; the oldest makes room. */
static amld_progress_step_t *
progress_room(amld_progress_t *p)
{
    if (p->steps == NULL) {
        p->steps = calloc(AMLD_PROGRESS_STEPS, sizeof(*p->steps));
        if (p->steps == NULL) {
            return NULL;
        }
        p->count = 0;
    }

    if (p->count == AMLD_PROGRESS_STEPS) {
        memmove(p->steps, p->steps + 1,
                (AMLD_PROGRESS_STEPS - 1) * sizeof(*p->steps));
        p->count--;
    }

    memset(&p->steps[p->count], 0, sizeof(*p->steps));

    return &p->steps[p->count++];
}


static const char *
progress_title(const char *name)
{
    size_t k;

    static const struct {
        const char *name;
        const char *title;
    } titles[] = {
        {"prepare", "Preparing the instance"},
        {"creation-script", "Running the creation script"},
        {"startup-script", "Running the startup script"},
        {"stop", "Ending what runs"},
        {"clear", "Clearing the instance away"},
        {"remove", "Removing the instance"},
        {"jupyter", "Starting Jupyter"},
        {"rstudio", "Starting RStudio"},
        {"vscode", "Starting VS Code"},
    };

    for (k = 0; k < sizeof(titles) / sizeof(titles[0]); k++) {
        if (strcmp(titles[k].name, name) == 0) {
            return titles[k].title;
        }
    }

    return name;
}


static int64_t
progress_wall(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}


static int64_t
progress_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
