/*
 * An instance as the supervisor has it in memory: the commands that run, or
 * are to, and until when.  Nothing here is lost with it: what must survive is
 * in the document (computes.h).
 *
 * instance.c starts, watches and ends the commands; reconcile.c compares with
 * the document and writes it; supervisor.c is the loop.  One thread.
 */

#ifndef AMLD_INSTANCE_H
#define AMLD_INSTANCE_H

#include "computes/amld.h"
#include "computes/engines/engine.h"
#include "computes/instances/computes.h"
#include "computes/instances/counts.h"
#include "computes/instances/probe.h"
#include "computes/instances/progress.h"
#include "upstreams/host.h"

#define AMLD_INSTANCE_APPS 24     /* and services */
#define AMLD_CRASHES_MAX 5        /* restarts in a row */
#define AMLD_CRASH_FORGIVEN 60000 /* ms up: not in a row any more */
#define AMLD_PROBE_PAUSE 25       /* ms between probes of a start */
#define AMLD_KILL_PAUSE 15000     /* ms between orders to kill */
#define AMLD_RETRY_PAUSE 2000     /* ms after the registry failed */
#define AMLD_NEVER INT64_MAX

typedef struct {
    amld_t *d;
    const amld_engine_t *engine;
    amld_probes_t *probes;
    struct amld_instance *first;
    size_t jobs_first; /* whose jobs are looked at first; see job_run.h */
    amld_service_counts_t counts; /* that are not written down yet */
} amld_supervisor_t;

typedef struct {
    struct amld_instance *instance;
    const aml_application_t *application;
    struct amld_service *service; /* see service_run.h; NULL: it is none */
    amld_command_id_t id;
    int running;         /* `id` has not been seen to end */
    int adopted;         /* started by an amld that was there before */
    int hold;            /* of a command that is held back, or -1 */
    int watch;           /* pidfd, or -1 */
    int stirred;         /* and it has something to tell */
    int ready;           /* has answered */
    amld_probe_t *probe; /* under way, or NULL */
    int64_t probe_at;    /* next one */
    int64_t ready_by;    /* no answer until then: it has failed */
    int64_t up_since;
    int64_t again_at;          /* start it again then; AMLD_NEVER */
    unsigned crashes;          /* in a row */
    struct {                   /* of one on demand, see on_demand_run.h */
        unsigned answered : 1; /* since it was asked for */
        unsigned told : 1;     /* the document has that it answers */
        unsigned late : 1;     /* is being ended: did not answer in time */
        unsigned dirty : 1;    /* the document has something else */
        char *failure;         /* NULL: it has not failed */
    } demand;
} amld_app_t;

/* The step that runs, or ran last; see step.h. */
typedef struct {
    amld_step_kind_t kind;
    amld_command_id_t id;
    int running;      /* has not been seen to end */
    int adopted;      /* started by an amld that was there before */
    int hold;         /* while it is held back, or -1 */
    int watch;        /* pidfd, or -1 */
    int64_t by;       /* it must have ended then */
    int64_t began;    /* wall clock, ms */
    unsigned timeout; /* s */
} amld_step_t;

typedef enum {
    AMLD_PHASE_IDLE,      /* nothing runs */
    AMLD_PHASE_PREPARING, /* steps before the applications */
    AMLD_PHASE_STARTING,  /* until all have answered */
    AMLD_PHASE_UP,
    AMLD_PHASE_STOPPING, /* until all have ended */
    AMLD_PHASE_CLEARING  /* the step after them */
} amld_phase_t;

typedef struct amld_instance {
    struct amld_instance *next;
    amld_supervisor_t *supervisor;
    amld_key_t key;
    char name[AML_INSTANCE_NAME_MAX + 1];  /* as it was given */
    char lower[AML_INSTANCE_NAME_MAX + 1]; /* for the engine */
    char *runtime;
    const amld_workspace_t *workspace;
    const char *share; /* the workspace's */
    char *directory;   /* the creator's folder in the share */
    char *creator;     /* principal */
    char *creator_name;
    char *account;    /* theirs on this machine, or NULL */
    char *public_key; /* that it was created with, or NULL */
    char *user;       /* that its commands run as, or NULL */
    char *subnet;
    unsigned cores;
    unsigned long memory_mb;
    unsigned gpus;

    amld_phase_t phase;
    int64_t begun_at;
    int64_t kill_at;    /* order the rest to be killed */
    int kills;          /* how often that was done */
    int64_t look_at;    /* reconcile again: the registry failed */
    int full;           /* the registry had no room, the last time */
    int failed;         /* why it is being stopped */
    char operation[40]; /* under way, as its document has it */
    char tried[40];     /* the last one that it was started for */
    char *failure;      /* for the creator; NULL: none */
    int setup_failed;   /* it was a script of theirs */
    int created;        /* the creation script has succeeded */
    int serves;         /* has services, or ports of its own, to be started */

    amld_step_t step;
    amld_step_kind_t next_step; /* of a start; CLEAR: the applications */
    int cleared;                /* the step that has run since, or 0 */
    unsigned range;             /* of its creator; 0: not known yet */
    amld_progress_t *progress;  /* of this operation; NULL is allowed */
    unsigned losses;            /* in a row, of what its commands run in */
    int64_t started_at;         /* when it was up last */
    unsigned clear_tries;       /* that failed */

    struct amld_job_run *jobs; /* see job_run.h */
    size_t job_count;
    uint64_t jobs_next;  /* seq of the first that may wait */
    int jobs_wait;       /* some may */
    int64_t jobs_at;     /* not before then */
    unsigned jobs_tries; /* to begin one, in a row */

    size_t app_count;
    amld_app_t apps[AMLD_INSTANCE_APPS];
} amld_instance_t;

/* Monotonic, ms. */
int64_t amld_now(void);

/* NULL without memory, or when paths are too long. */
amld_instance_t *amld_instance_new(amld_supervisor_t *s, const amld_key_t *key,
                                   const json_t *doc);
void amld_instance_free(amld_instance_t *i); /* stops nothing */

/* Takes over the commands of the document; how many of them run. */
size_t amld_instance_adopt(amld_instance_t *i, const json_t *doc);

/* The application's place among i->apps, a new one where it has none; NULL
 * when there is no more. */
amld_app_t *
amld_instance_app(amld_instance_t *i, const aml_application_t *application);

/* Where the notebooks' programs are, in `bin`; NULL where there are none. */
const char *amld_instance_bin(const amld_config_t *c, char *bin, size_t size);

/* As the engine sees it; good as long as `i`. */
void amld_instance_engine(const amld_instance_t *i, amld_engine_instance_t *e);

/* Makes its directories.  0, or -1 with i->failure filled. */
int amld_instance_begin(amld_instance_t *i);

/* Starts every configured application, held back.  0, or -1 with i->failure
 * filled and no application left that runs. */
int amld_instance_exec(amld_instance_t *i);
int amld_instance_exec_app(amld_app_t *app, char *err, size_t size);

/* Lets what is held back run, and begins to ask whether it is up. */
void amld_instance_release(amld_instance_t *i);
void amld_instance_release_app(amld_app_t *app);
void amld_instance_call_off(amld_instance_t *i);

/* Ends all: by SIGTERM, and SIGKILL after stop_timeout; or at once, with
 * `at_once` as the engine's `kill`. */
void amld_instance_stop(amld_instance_t *i, int at_once);

/* The same because something failed; fills i->failure, with the end of the log
 * runtime/<log>.log where that is given. */
void amld_instance_failure(amld_instance_t *i, const char *log,
                           const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* without ending anything */
void amld_instance_fail(amld_instance_t *i, const char *log, int at_once,
                        const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* One of them: ends it and all that it started; forgets it, called off. */
void amld_instance_kill_app(amld_app_t *app);
void amld_instance_drop_app(amld_app_t *app);

/* Has it ended?  1 the first time that it is seen. */
int amld_instance_ended(amld_app_t *app);

/* Applications and steps that have not been seen to end, and jobs whose end has
 * not been written down. */
size_t amld_instance_running(const amld_instance_t *i);

/* Asks whether it is up where that is not known and it is time to; the answer
 * is seen in app->ready. */
void amld_instance_probe(amld_app_t *app, int64_t now);

/* Ends whatever is left, removes its sockets and what is temporary; with `all`
 * its private directory altogether. */
void amld_instance_clean(amld_instance_t *i, int all);


/* ---- reconcile.c ---- */

/* Makes `i` what its document says.  1 when there is nothing left to look
 * after and it can be freed. */
int amld_reconcile(amld_instance_t *i);

/* At the start of amld: what was found is what runs. */
int amld_reconcile_first(amld_instance_t *i, const json_t *doc);

/* What has happened since: ends, answers, times.  As amld_reconcile(). */
int amld_instance_tick(amld_instance_t *i, int64_t now);
int64_t amld_instance_next(const amld_instance_t *i); /* when to tick again */

#endif /* AMLD_INSTANCE_H */
