#include "computes/files/shares.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "computes/files/share.h"

#define SHARES_TEXT (PATH_MAX + 512)
#define SHARES_RECENT 20   /* ms that an answer is good for */
#define SHARES_FIRST 2000  /* ms that amld's start waits for all */
#define SHARES_LOOK 60000  /* ms between looks that nobody asked for */
#define SHARES_SOONER 5000 /* likewise, at one that is not good */
#define SHARES_PATIENCE 2  /* seconds for threads to end */

typedef struct {
    amld_shares_t *shares;
    const amld_workspace_t *workspace;
    pthread_t thread;
    pthread_mutex_t mutex; /* of all that follows */
    pthread_cond_t asked;  /* there is something to do */
    pthread_cond_t done;
    uint64_t wanted; /* looks that were asked for */
    uint64_t had;    /* of these, those that are answered */
    int64_t since;   /* the look that is under way began; 0: none is */
    int64_t at;      /* the last ended; 0: there was none */
    int silent;      /* that it does not answer was said */
    amld_share_state_t state;
    char text[SHARES_TEXT];
} share_t;

struct amld_shares {
    amld_t *d;
    atomic_int ends;
    size_t count;
    _Atomic(const amld_workspace_t *) entered; /* see amld_shares_enter() */
    _Atomic(const char *) what;
    _Atomic int64_t entered_at; /* 0: nothing */
    _Atomic int64_t told;       /* of which of these it was said */
    share_t share[];
};

static int share_start(share_t *s);
static void *share_run(void *data);
static void
share_answer(share_t *s, amld_share_state_t state, const char *text);
static int share_silent(share_t *s, int64_t now);
static int share_wait(share_t *s, pthread_cond_t *cond, int64_t until);
static share_t *
shares_find(amld_shares_t *shares, const amld_workspace_t *workspace);
static int64_t shares_now(void);


amld_shares_t *
amld_shares_start(amld_t *d)
{
    size_t k, n;
    int64_t until;
    share_t *s;
    amld_shares_t *shares;

    n = d->config->workspace_count;
    shares = calloc(1, sizeof(*shares) + n * sizeof(shares->share[0]));
    if (shares == NULL) {
        amld_log(AMLD_LOG_ERROR, "shares: no memory");
        return NULL;
    }
    shares->d = d;

    for (k = 0; k < n; k++) {
        s = &shares->share[k];
        s->shares = shares;
        s->workspace = &d->config->workspaces[k];
        if (share_start(s) != 0) {
            amld_shares_stop(shares);
            return NULL;
        }
        shares->count++;
    }

    until = shares_now() + SHARES_FIRST;
    for (k = 0; k < n; k++) {
        s = &shares->share[k];
        pthread_mutex_lock(&s->mutex);
        while (s->at == 0 && share_wait(s, &s->done, until) == 0) {
            /* void */
        }
        pthread_mutex_unlock(&s->mutex);
    }

    return shares;
}


/* Those that hang have it when they wake: `shares` is not freed then. */
void
amld_shares_stop(amld_shares_t *shares)
{
    int hangs;
    size_t k;
    share_t *s;
    struct timespec until;

    if (shares == NULL) {
        return;
    }

    atomic_store(&shares->ends, 1);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += SHARES_PATIENCE;

    for (k = 0; k < shares->count; k++) {
        s = &shares->share[k];
        pthread_mutex_lock(&s->mutex);
        pthread_cond_signal(&s->asked);
        pthread_mutex_unlock(&s->mutex);
    }

    for (k = 0, hangs = 0; k < shares->count; k++) {
        s = &shares->share[k];
        if (pthread_timedjoin_np(s->thread, NULL, &until) != 0) {
            pthread_detach(s->thread);
            hangs = 1;
        }
    }

    for (k = 0; k < shares->count && !hangs; k++) {
        s = &shares->share[k];
        pthread_cond_destroy(&s->asked);
        pthread_cond_destroy(&s->done);
        pthread_mutex_destroy(&s->mutex);
    }
    if (!hangs) {
        free(shares);
    }
}


amld_share_state_t
amld_shares_ask(amld_t *d, const amld_workspace_t *workspace, char *err,
                size_t size)
{
    int late;
    share_t *s;
    int64_t now;
    uint64_t mine;
    amld_share_state_t state;

    s = d->shares != NULL ? shares_find(d->shares, workspace) : NULL;
    if (s == NULL) {
        return amld_share_look(d->registry, workspace, NULL, err, size);
    }

    pthread_mutex_lock(&s->mutex);
    now = shares_now();
    late = 0;

    if (!s->silent &&
        (s->since != 0 || s->at == 0 || now - s->at > SHARES_RECENT ||
         s->state != AMLD_SHARE_GOOD)) {
        mine = ++s->wanted;
        pthread_cond_signal(&s->asked);
        while (s->had < mine &&
               share_wait(s, &s->done, now + AMLD_SHARES_PATIENCE) == 0) {
            /* void */
        }
        late = s->had < mine;
        if (late) {
            (void) share_silent(s, INT64_MAX);
        }
    }

    if (s->silent || late) {
        state = AMLD_SHARE_SILENT;
        snprintf(err, size,
                 "The workspace's share %s does not answer. What needs it "
                 "waits, or fails, until it does.",
                 workspace->share);
    } else {
        state = s->state;
        snprintf(err, size, "%s", s->text);
    }
    pthread_mutex_unlock(&s->mutex);

    return state;
}


void
amld_shares_enter(amld_t *d, const amld_workspace_t *workspace,
                  const char *what)
{
    amld_shares_t *shares = d->shares;

    if (shares != NULL) {
        atomic_store(&shares->entered, workspace);
        atomic_store(&shares->what, what);
        atomic_store(&shares->entered_at, shares_now());
    }
}


void
amld_shares_leave(amld_t *d)
{
    amld_shares_t *shares = d->shares;
    int64_t began, now;
    const amld_workspace_t *w;

    if (shares == NULL) {
        return;
    }

    now = shares_now();
    w = atomic_load(&shares->entered);
    began = atomic_exchange(&shares->entered_at, 0);
    if (began != 0 && began == atomic_load(&shares->told)) {
        amld_log(AMLD_LOG_WARN,
                 "workspace %s: its share %s has answered, %lld s later; the "
                 "others are seen to now",
                 w->name, w->share, (long long) ((now - began) / 1000));
    }
}


void
amld_shares_mind(amld_t *d)
{
    size_t k;
    int64_t began, now;
    share_t *s;
    const amld_workspace_t *w;
    amld_shares_t *shares = d->shares;

    if (shares == NULL) {
        return;
    }
    now = shares_now();

    for (k = 0; k < shares->count; k++) {
        s = &shares->share[k];
        pthread_mutex_lock(&s->mutex);
        (void) share_silent(s, now);
        pthread_mutex_unlock(&s->mutex);
    }

    began = atomic_load(&shares->entered_at);
    if (began != 0 && now - began >= AMLD_SHARES_PATIENCE &&
        atomic_exchange(&shares->told, began) != began) {
        w = atomic_load(&shares->entered);
        amld_log(AMLD_LOG_WARN,
                 "workspace %s: its share %s does not answer, and amld waits "
                 "for it (%s): nothing is started or stopped meanwhile",
                 w->name, w->share, atomic_load(&shares->what));
    }
}


static int
share_start(share_t *s)
{
    int rc;

    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->asked, NULL);
    pthread_cond_init(&s->done, NULL);

    rc = pthread_create(&s->thread, NULL, share_run, s);
    if (rc != 0) {
        amld_log(AMLD_LOG_ERROR, "shares: %s", strerror(rc));
        pthread_cond_destroy(&s->asked);
        pthread_cond_destroy(&s->done);
        pthread_mutex_destroy(&s->mutex);
    }

    return rc;
}


static void *
share_run(void *data)
{
    share_t *s = data;
    char text[SHARES_TEXT] = "";
    int64_t until;
    uint64_t mine;
    amld_share_state_t state;
    amld_shares_t *shares = s->shares;

    pthread_mutex_lock(&s->mutex);

    while (!atomic_load(&shares->ends)) {
        mine = s->wanted;
        s->since = shares_now();
        pthread_mutex_unlock(&s->mutex);

        if (s->at == 0) {
            (void) amld_share_check_one(s->workspace);
        }
        /* amld may have ended meanwhile. */
        state = AMLD_SHARE_GOOD;
        if (!atomic_load(&shares->ends)) {
            state = amld_share_look(shares->d->registry, s->workspace,
                                    &shares->ends, text, sizeof(text));
        }

        pthread_mutex_lock(&s->mutex);
        if (atomic_load(&shares->ends)) {
            break;
        }
        share_answer(s, state, text);
        s->had = mine;
        pthread_cond_broadcast(&s->done);

        until =
            s->at + (state == AMLD_SHARE_GOOD ? SHARES_LOOK : SHARES_SOONER);
        while (s->wanted == s->had && !atomic_load(&shares->ends) &&
               share_wait(s, &s->asked, until) == 0) {
            /* void */
        }
    }

    pthread_mutex_unlock(&s->mutex);

    return NULL;
}


/* With what has changed in the log. */
static void
share_answer(share_t *s, amld_share_state_t state, const char *text)
{
    int64_t now = shares_now();
    const amld_workspace_t *w = s->workspace;

    if (s->silent) {
        amld_log(AMLD_LOG_INFO,
                 "workspace %s: its share %s answers again, after %lld s",
                 w->name, w->share, (long long) ((now - s->since) / 1000));
    }
    if (strcmp(text, s->text) != 0) {
        /* that it is missing is said otherwise, the first time */
        if (text[0] == '\0') {
            amld_log(AMLD_LOG_INFO, "workspace %s: its share %s is good again",
                     w->name, w->share);
        } else if (s->at != 0 || state != AMLD_SHARE_MISSING) {
            amld_log(AMLD_LOG_WARN, "workspace %s: %s", w->name, text);
        }
        snprintf(s->text, sizeof(s->text), "%s", text);
    }

    s->state = state;
    s->silent = 0;
    s->since = 0;
    s->at = now;
}


/* Has the look that is under way taken too long? */
static int
share_silent(share_t *s, int64_t now)
{
    if (!s->silent && s->since != 0 && now - s->since >= AMLD_SHARES_PATIENCE) {
        s->silent = 1;
        amld_log(AMLD_LOG_WARN,
                 "workspace %s: its share %s does not answer: nothing of it "
                 "starts, and its jobs wait, until it does",
                 s->workspace->name, s->workspace->share);
    }

    return s->silent;
}


/* Not 0 when `until` (ms) is over. */
static int
share_wait(share_t *s, pthread_cond_t *cond, int64_t until)
{
    struct timespec at;

    at.tv_sec = (time_t) (until / 1000);
    at.tv_nsec = (long) (until % 1000) * 1000000;

    return pthread_cond_clockwait(cond, &s->mutex, CLOCK_MONOTONIC, &at);
}


static share_t *
shares_find(amld_shares_t *shares, const amld_workspace_t *workspace)
{
    size_t k;

    for (k = 0; k < shares->count; k++) {
        if (shares->share[k].workspace == workspace) {
            return &shares->share[k];
        }
    }

    return NULL;
}


static int64_t
shares_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
