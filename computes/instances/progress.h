/*
 * How far the operation of an instance has come: its steps, when each began,
 * how long it took, how it ended.  The supervisor writes it; whoever may read
 * the compute follows it (progress_events.c).
 *
 * It is kept for instances that the supervisor looks after, and as long as
 * somebody follows; what must survive is in the document, as `progress`:
 * {operation, steps [{name, began (ms since 1970), took (ms), outcome}]}.
 *
 * Any thread.  NULL, for the hub or what is joined, is allowed everywhere and
 * does nothing.
 */

#ifndef AMLD_PROGRESS_H
#define AMLD_PROGRESS_H

#include <jansson.h>
#include <stdint.h>

#include "auth/principal.h"
#include "computes/instances/computes.h"

#define AMLD_PROGRESS_STEPS 24     /* of one operation; the last are kept */
#define AMLD_PROGRESS_NAME 24      /* bytes of a step's name */
#define AMLD_PROGRESS_FOLLOWERS 32 /* of one instance at a time */
#define AMLD_PROGRESS_OWN 16       /* of one person, of all instances */
#define AMLD_PROGRESS_ALL 256      /* of all; libmicrohttpd takes a thousand */

typedef enum {
    AMLD_OUTCOME_RUNNING = 0,
    AMLD_OUTCOME_SUCCEEDED,
    AMLD_OUTCOME_FAILED,
    AMLD_OUTCOME_CANCELED
} amld_outcome_t;

typedef struct amld_progress_hub amld_progress_hub_t;
typedef struct amld_progress amld_progress_t;

amld_progress_hub_t *amld_progress_hub_new(void);
/* Nobody follows from now on: to be called before the server is stopped. */
void amld_progress_hub_end(amld_progress_hub_t *hub);
void amld_progress_hub_free(amld_progress_hub_t *hub);

/* That of an instance, which all who join it share; NULL without memory. */
amld_progress_t *
amld_progress_join(amld_progress_hub_t *hub, const amld_key_t *key);
void amld_progress_leave(amld_progress_t *p);


/* ---- the supervisor ---- */

/* Begins anew where the document's operation is another; what the document has
 * is taken over where nothing is known. */
void amld_progress_look(amld_progress_t *p, const json_t *doc);

/*
 * A step begins; nothing where it runs already.  `log` is what it writes to,
 * runtime/<log>.log, of interest from the byte `offset` on; NULL: to none.
 */
void amld_progress_step(amld_progress_t *p, const char *name, const char *log,
                        int64_t offset);
/* It ends; NULL: all that run do. */
void amld_progress_step_end(amld_progress_t *p, const char *name,
                            amld_outcome_t outcome);

int amld_progress_save(amld_progress_t *p, json_t *doc); /* 0, or -1 */

/* The document has another state. */
void amld_progress_state(amld_progress_t *p);


/* ---- who follows ---- */

/* One step, for people's programs: a new reference. */
typedef struct {
    char name[AMLD_PROGRESS_NAME];
    char log[AMLD_PROGRESS_NAME]; /* "": none */
    int64_t offset;               /* in its log */
    int64_t began;                /* ms since 1970 */
    int64_t took;                 /* ms; -1 while it runs */
    amld_outcome_t outcome;
    uint64_t version; /* grows with each change */
} amld_progress_step_t;

/* The first that changed after `version`: 1, or 0. */
int amld_progress_next(amld_progress_t *p, uint64_t version,
                       amld_progress_step_t *step);
/* The one that runs, the last that began of those; 1, or 0. */
int amld_progress_running(amld_progress_t *p, amld_progress_step_t *step);
uint64_t amld_progress_version(amld_progress_t *p); /* of all, states too */

/* {"name","title","began","took","outcome"} */
json_t *amld_progress_step_json(const amld_progress_step_t *step);
/* All of them, an array. */
json_t *amld_progress_json(amld_progress_t *p);

/* Somebody who follows; zeroed but for `who` and `connection`, and then the
 * hub's until unfollow. */
typedef struct amld_follower {
    struct amld_follower *next;
    amld_progress_t *progress;
    struct MHD_Connection *connection;
    aml_principal_id_t who;
    int waiting;
    int64_t until; /* monotonic, ms */
} amld_follower_t;

/* 0, or -1 when there are too many. */
int amld_progress_follow(amld_progress_t *p, amld_follower_t *f);
void amld_progress_unfollow(amld_follower_t *f);

/*
 * From the connection's own thread: suspends it until something is newer than
 * `version`, for at most `ms`.  1; 0 when that is so already; -1 when amld
 * ends.
 */
int amld_progress_wait(amld_follower_t *f, uint64_t version, int64_t ms);

#endif /* AMLD_PROGRESS_H */
