/*
 * Jobs, the supervisor's side: starts those of an instance that is up in the
 * order in which they were submitted, two a core at once, watches them, ends
 * those that are to end, and writes down how they went.
 *
 * One turn of the supervisor writes all of that, of all instances, in one
 * commit: the end of one job and the start of the next in its place, too.  A
 * command is held back until it is committed (engine.h), so that none runs that
 * is written nowhere; and one that was let run is never run again.  The first
 * of those that wait are held back before there is room, as that takes time.
 *
 *   job-<seq>.status   in the private directory: how it ended, until that is in
 *                      the document
 */

#ifndef AMLD_JOB_RUN_H
#define AMLD_JOB_RUN_H

#include "computes/instances/instance.h"

#define AMLD_JOBS_A_CORE 2
#define AMLD_JOBS_READY 4 /* of an instance, at most */

typedef enum {
    AMLD_JOB_RUN_READY, /* held back until there is room for it */
    AMLD_JOB_RUN_NEW,   /* its turn has come; held back, or see `fault` and
                           `waits` */
    AMLD_JOB_RUN_GOES,  /* written down, and let run */
    AMLD_JOB_RUN_ENDED, /* that is not written down yet */
    AMLD_JOB_RUN_OVER   /* to be forgotten */
} amld_job_run_state_t;

typedef enum {
    AMLD_JOB_WHY_NONE,
    AMLD_JOB_WHY_CANCEL,
    AMLD_JOB_WHY_LATE,
    AMLD_JOB_WHY_STOP, /* of the instance */
    AMLD_JOB_WHY_GONE  /* its document is */
} amld_job_why_t;

/* One that runs, or has ended and is not written down as such. */
typedef struct amld_job_run {
    struct amld_job_run *next;
    struct amld_instance *instance;
    amld_key_t key;
    uint64_t seq;
    amld_job_run_state_t state;
    amld_job_why_t why; /* it is being ended */
    amld_command_id_t id;
    char command[32]; /* its name in the private directory */
    int adopted;      /* started by an amld that was there before */
    int asked;        /* its document may say something new */
    int hold;         /* while it is held back, or -1 */
    int watch;        /* pidfd, or -1 */
    int stirred;      /* and it has something to tell */
    char *fault;      /* why it can't be started; or NULL */
    char *waits;      /* what for, that is no fault of its own; or NULL */
    int64_t timeout;  /* s; 0: none */
    int64_t by;       /* it must have ended then */
    int64_t kill_at;  /* the order to end is made stronger */
    unsigned kills;
    int result;     /* of one that ENDED, see command.h */
    uint64_t lost;  /* bytes that its log has not, as the disk refused them */
    int lost_fault; /* errno of that */
    int64_t ended;  /* when; ms since 1970 */
} amld_job_run_t;

/* After adoption of its applications: what another amld has started. */
void amld_jobs_adopt(amld_instance_t *i);

/* There may be something new in its queue, or asked of those that run. */
void amld_jobs_look(amld_instance_t *i);

/* The instance has come up: all of its queue is looked at. */
void amld_jobs_up(amld_instance_t *i);

/* Ends those that run, with the instance: as amld_command_stop(). */
void amld_jobs_stop(amld_instance_t *i, int at_once);

/* All instances: ends are seen, written down, the next are started. */
void amld_jobs_turn(amld_supervisor_t *s);

/* Cancels all that wait for an instance that is being deleted; 0, or -1: it
 * has to be tried again. */
int amld_jobs_cancel(amld_instance_t *i);

/* The moment of its next turn. */
int64_t amld_jobs_next(const amld_instance_t *i);

void amld_jobs_free(amld_instance_t *i);


/* ---- job_begin.c ---- */

/* A new one, NEW; NULL without memory. */
amld_job_run_t *
amld_jobs_add(amld_instance_t *i, const amld_key_t *key, uint64_t seq);

/* Held back from then on; or with a `fault`; or to be tried again: OVER, or
 * with what it `waits` for, which is to be written down. */
void amld_jobs_exec(amld_job_run_t *run, const json_t *doc);

/* Its status file. */
void amld_jobs_status(const amld_job_run_t *run, char path[PATH_MAX + 64]);


/* ---- job_record.c ---- */

/* Milliseconds since 1970: it must mean something to another amld, too. */
int64_t amld_jobs_wall(void);

/* Milliseconds since a job was begun that runs, or has ended and is not written
 * down: by a clock that goes on while the machine sleeps, and is never set. */
int64_t amld_jobs_ran(const json_t *doc);

/*
 * Writes down all that has come to pass, in one commit: `runs` are of any
 * instances.  Those that were NEW are to be released (GOES) or are OVER, those
 * that had ENDED are OVER.  Without room in the registry only the ends are
 * written, of which none is lost; -1 when nothing is.
 */
int amld_jobs_record(amld_supervisor_t *s, amld_job_run_t **runs, size_t count);

#endif /* AMLD_JOB_RUN_H */
