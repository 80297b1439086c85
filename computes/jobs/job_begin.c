/*
 * One job: how it is begun, and how it is found again by another amld.
 */

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "computes/files/logfile.h"
#include "computes/files/shares.h"
#include "computes/jobs/job.h"
#include "computes/jobs/job_command.h"
#include "computes/jobs/job_files.h"
#include "computes/jobs/job_run.h"

#define JOBS_TRIES 30 /* to begin one, AMLD_RETRY_PAUSE apart */
#define JOBS_COMMAND "job-%016llx"

static int
jobs_exec_try(amld_job_run_t *run, const json_t *doc, amld_job_command_t *job,
              int *log, char *err, size_t size);
static void jobs_waits(amld_job_run_t *run, const char *says, const char *err);
static void jobs_left_over(const amld_instance_t *i);
static int jobs_adopt_one(void *data, uint64_t seq, const amld_key_t *key);


amld_job_run_t *
amld_jobs_add(amld_instance_t *i, const amld_key_t *key, uint64_t seq)
{
    amld_job_run_t *run;

    run = calloc(1, sizeof(*run));
    if (run == NULL) {
        amld_log(AMLD_LOG_ERROR, "%s: no memory", i->name);
        return NULL;
    }

    run->instance = i;
    run->state = AMLD_JOB_RUN_NEW;
    run->key = *key;
    run->seq = seq;
    run->hold = -1;
    run->watch = -1;
    run->by = AMLD_NEVER;
    run->kill_at = AMLD_NEVER;
    snprintf(run->command, sizeof(run->command), JOBS_COMMAND,
             (unsigned long long) seq);

    run->next = i->jobs;
    i->jobs = run;
    i->job_count++;

    return run;
}


/* Held back; or with the reason why it has failed or waits, or to be tried
 * again. */
void
amld_jobs_exec(amld_job_run_t *run, const json_t *doc)
{
    int log, rc, unknown;
    char err[PATH_MAX + 512];
    amld_instance_t *i;
    amld_job_command_t *job;

    i = run->instance;

    /* That is written down without it. */
    if (json_is_true(json_object_get(doc, "cancel"))) {
        return;
    }

    log = -1;
    err[0] = '\0';
    job = calloc(1, sizeof(*job));
    unknown = amld_shares_ask(i->supervisor->d, i->workspace, err,
                              sizeof(err)) != AMLD_SHARE_GOOD;
    rc = unknown ? -2 : -1;
    if (!unknown) {
        err[0] = '\0';
    }
    if (!unknown && job != NULL) {
        amld_shares_enter(i->supervisor->d, i->workspace, "to begin a job");
        rc = jobs_exec_try(run, doc, job, &log, err, sizeof(err));
        amld_shares_leave(i->supervisor->d);
    }

    if (rc == -1 && ++i->jobs_tries >= JOBS_TRIES && err[0] != '\0') {
        rc = 1;
    }
    if (rc != -1) {
        i->jobs_tries = 0;
    }

    if (rc == 1) {
        run->fault = strdup(err);
    } else if (rc < 0) {
        if (rc == -2) {
            jobs_waits(run,
                       unknown ? "It waits for the share."
                               : "It waits for room in the share.",
                       err);
        } else {
            amld_log(AMLD_LOG_WARN, "%s: %s", i->name,
                     err[0] != '\0' ? err : "no memory");
        }
        run->state = run->waits != NULL ? AMLD_JOB_RUN_NEW : AMLD_JOB_RUN_OVER;
        if (run->seq < i->jobs_next) {
            i->jobs_next = run->seq;
        }
        i->jobs_wait = 1;
        i->jobs_at = amld_now() + AMLD_RETRY_PAUSE;
    }

    if (log >= 0) {
        close(log);
    }
    if (job != NULL) {
        amld_job_command_free(job);
    }
    free(job);
}


static void
jobs_waits(amld_job_run_t *run, const char *says, const char *err)
{
    size_t size;

    size = strlen(says) + strlen(err) + 2;
    run->waits = malloc(size);
    if (run->waits != NULL) {
        snprintf(run->waits, size, "%s %s", says, err);
    }
}


/* 0; 1 when it can't be run, -1 when it can't be run now, -2 when there is no
 * room: and why. */
static int
jobs_exec_try(amld_job_run_t *run, const json_t *doc, amld_job_command_t *job,
              int *log, char *err, size_t size)
{
    amld_command_t command;
    amld_engine_inside_t inside;
    amld_engine_instance_t e;
    const amld_config_t *c;
    const amld_engine_t *engine;
    const amld_instance_t *i = run->instance;

    c = i->supervisor->d->config;
    engine = i->supervisor->engine;
    amld_instance_engine(i, &e);
    amld_engine_inside(engine, c, &e, &inside);

    if (amld_job_command(c, doc, &inside, !engine->images, job) != 0) {
        return -1;
    }
    run->timeout = job->timeout;

    memset(&command, 0, sizeof(command));
    command.name = run->command;
    command.argv = job->argv;
    command.envp = job->envp;
    command.status = 1;
    command.input = job->text;
    command.directory = job->directory;
    command.bin = job->bin[0] != '\0' ? job->bin : NULL;
    command.image = job->image;
    command.once = 1;
    command.log_max =
        c->job_log_max > 0 ? c->job_log_max : (size_t) AMLD_LOGFILE_MAX;

    if (!engine->images && amld_engine_no_image(&command, err, size) != 0) {
        return 1;
    }

    *log = amld_job_files_make(i->share, amld_compute_str(doc, "folder"), err,
                               size);
    if (*log < 0) {
        return *log == AMLD_JOB_FILES_FULL    ? -2
               : *log == AMLD_JOB_FILES_LATER ? -1
                                              : 1;
    }
    command.log = *log;

    if (engine->exec(c, &e, &command, &run->id, &run->hold, err, size) != 0) {
        run->hold = -1;
        return -1;
    }
    run->watch = amld_command_watch(&run->id);

    return 0;
}


void
amld_jobs_adopt(amld_instance_t *i)
{
    json_t *doc;
    int64_t left;
    const json_t *command;
    amld_job_run_t *run;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;
    amld_engine_inside_t inside = {.share = ""};
    amld_job_command_t *job;

    rc = aml_registry_read(i->supervisor->d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "%s: registry: %s", i->name,
                 aml_registry_strerror(rc));
        return;
    }

    (void) amld_job_run_each(txn, &i->key, jobs_adopt_one, i);
    job = malloc(sizeof(*job));

    for (run = i->jobs; run != NULL; run = run->next) {
        run->state = AMLD_JOB_RUN_GOES;
        run->adopted = 1;
        run->asked = 1;

        if (amld_job_load(txn, &run->key, &doc) != AML_REGISTRY_OK) {
            continue; /* what becomes of it is seen when it is written down */
        }

        command = json_object_get(doc, "command");
        run->id.pid = json_integer_value(json_object_get(command, "pid"));
        run->id.started =
            (uint64_t) json_integer_value(json_object_get(command, "started"));
        snprintf(run->id.boot, sizeof(run->id.boot), "%s",
                 amld_compute_str(command, "boot"));

        if (job != NULL && amld_job_command(i->supervisor->d->config, doc,
                                            &inside, 0, job) == 0) {
            run->timeout = job->timeout;
            amld_job_command_free(job);
        }
        if (run->timeout > 0) {
            left = run->timeout * 1000 - amld_jobs_ran(doc);
            run->by = amld_now() + (left > 0 ? left : 0);
        }
        json_decref(doc);

        /* If it has ended, that is seen soon. */
        run->watch = amld_command_watch(&run->id);
    }

    free(job);
    aml_registry_end(txn);
    jobs_left_over(i);
}


/* Status files whose results were written down right before amld was killed. */
static void
jobs_left_over(const amld_instance_t *i)
{
    DIR *dir;
    char path[PATH_MAX + 64];
    struct dirent *entry;
    const amld_job_run_t *run;
    unsigned long long seq;

    dir = opendir(i->runtime);
    if (dir == NULL) {
        return;
    }

    while ((entry = readdir(dir)) != NULL) {
        if (sscanf(entry->d_name, JOBS_COMMAND ".status", &seq) != 1) {
            continue;
        }
        for (run = i->jobs; run != NULL && run->seq != seq; run = run->next) {
            /* void */
        }
        if (run == NULL &&
            (size_t) snprintf(path, sizeof(path), "%s/%s", i->runtime,
                              entry->d_name) < sizeof(path)) {
            (void) unlink(path);
        }
    }

    closedir(dir);
}


static int
jobs_adopt_one(void *data, uint64_t seq, const amld_key_t *key)
{
    (void) amld_jobs_add(data, key, seq);

    return 0;
}


void
amld_jobs_status(const amld_job_run_t *run, char path[PATH_MAX + 64])
{
    snprintf(path, PATH_MAX + 64, "%s/%s.status", run->instance->runtime,
             run->command);
}
