/*
 * Jobs in the world of supervisor_fixture.h.
 */

#ifndef AML_JOBS_FIXTURE_H
#define AML_JOBS_FIXTURE_H

#include "t/unit/supervisor_fixture.h"

#include <fcntl.h>

#include "computes/jobs/job.h"
#include "computes/jobs/job_files.h"
#include "computes/jobs/job_run.h"

#define PATIENCE 2000 /* of 10 ms */


static inline void
up(world_t *w)
{
    behave(w, "");
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
}


static inline amld_key_t
job_key(world_t *w, const char *name)
{
    amld_key_t key = {.n = 0};

    assert_int_equal(amld_job_key(&key, &w->workspace, name), 0);

    return key;
}


static inline json_t *
job_load(world_t *w, const char *name)
{
    amld_key_t key = job_key(w, name);
    aml_registry_txn_t *txn;
    json_t *doc;

    assert_int_equal(aml_registry_read(w->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_job_load(txn, &key, &doc), AML_REGISTRY_OK);
    aml_registry_end(txn);

    return doc;
}


static inline void
job_store(world_t *w, const char *name, json_t *doc)
{
    amld_t d = {.wake = w->wake};
    amld_key_t key = job_key(w, name);
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(w->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_job_store(txn, &key, doc), AML_REGISTRY_OK);
    assert_int_equal(amld_compute_notify(txn, &w->key), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    json_decref(doc);
    amld_wake(&d);
}


/* `more` are members of what is requested, which are taken over; or NULL. */
static inline void
submit(world_t *w, const char *name, const char *command, json_t *more)
{
    static uint64_t seq = 1000;
    char folder[PATH_MAX];
    json_t *doc;

    snprintf(folder, sizeof(folder), "Users/ann/jobs/%s", name);
    doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:{s:I}, s:{s:s}}",
                    "name", name, "workspace", ID, "compute", w->key.p,
                    "creator", CREATOR, "status", "Queued", "seq",
                    (json_int_t) ++seq, "folder", folder, "times", "submitted",
                    (json_int_t) amld_jobs_wall(), "requested", "command",
                    command);
    assert_non_null(doc);
    if (more != NULL) {
        json_object_update_new(json_object_get(doc, "requested"), more);
    }
    job_store(w, name, doc);
}


static inline void
cancel(world_t *w, const char *name)
{
    json_t *doc = job_load(w, name);

    assert_int_equal(amld_job_cancel(doc, amld_jobs_wall()), 0);
    job_store(w, name, doc);
}


static inline const char *
status(world_t *w, const char *name)
{
    json_t *doc = job_load(w, name);
    amld_job_status_t is = amld_job_status(doc);

    json_decref(doc);

    return amld_job_status_name(is);
}


static inline void
job_is(world_t *w, const char *name, const char *wanted)
{
    int i;

    for (i = 0; i < PATIENCE; i++) {
        if (strcmp(status(w, name), wanted) == 0) {
            return;
        }
        usleep(10000);
    }

    fail_msg("%s is %s instead of %s", name, status(w, name), wanted);
}


/* How it ended, and what was said of that; "": nothing. */
static inline void
job_ends(world_t *w, const char *name, const char *wanted, int code,
         const char *message)
{
    json_t *doc;

    job_is(w, name, wanted);
    doc = job_load(w, name);
    assert_int_equal(json_integer_value(json_object_get(doc, "exitCode")),
                     code);
    if (message[0] == '\0') {
        assert_string_equal(amld_compute_str(doc, "message"), "");
    } else if (strstr(amld_compute_str(doc, "message"), message) == NULL) {
        fail_msg("%s: \"%s\"", name, amld_compute_str(doc, "message"));
    }
    assert_true(amld_job_time(doc, "ended") != 0);
    assert_null(json_object_get(doc, "command"));
    json_decref(doc);
}


static inline const char *
in_share(world_t *w, const char *name)
{
    static char path[4][PATH_MAX];
    static int i;

    i = (i + 1) % 4;
    snprintf(path[i], sizeof(path[i]), "%s/Users/ann/%s", w->share, name);

    return path[i];
}


static inline int
log_open(world_t *w, const char *name)
{
    json_t *doc = job_load(w, name);
    int fd = amld_job_log_open(&w->config, doc);

    json_decref(doc);

    return fd;
}


static inline void
log_is(world_t *w, const char *name, const char *wanted)
{
    char text[4096];
    int fd = log_open(w, name);
    ssize_t n;

    assert_true(fd >= 0);
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    assert_true(n >= 0);
    text[n] = '\0';
    assert_string_equal(text, wanted);
}


static inline void
file_is(world_t *w, const char *name, const char *wanted)
{
    char text[4096];
    FILE *f;
    size_t n;

    f = fopen(in_share(w, name), "r");
    assert_non_null(f);
    n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    assert_string_equal(text, wanted);
}


static inline void
touch(world_t *w, const char *name)
{
    int fd = open(in_share(w, name), O_WRONLY | O_CREAT, 0644);

    assert_true(fd >= 0);
    close(fd);
}


static inline void
wait_for_file(world_t *w, const char *name)
{
    int i;

    for (i = 0; i < PATIENCE && access(in_share(w, name), F_OK) != 0; i++) {
        usleep(10000);
    }
    assert_int_equal(access(in_share(w, name), F_OK), 0);
}


/* A command that says that it has begun, and waits until it may end. */
#define WAITS                                                                  \
    "echo $AML_JOB_ID >> ../../order; touch ../../$AML_JOB_ID.up; "            \
    "until [ -e ../../$AML_JOB_ID.go ]; do sleep 0.02; done"


static inline void
wait_until_up(world_t *w, const char *name)
{
    char file[64];

    snprintf(file, sizeof(file), "%s.up", name);
    wait_for_file(w, file);
}


static inline void
let_go(world_t *w, const char *name)
{
    char file[64];

    snprintf(file, sizeof(file), "%s.go", name);
    touch(w, file);
}


/* ---- several: "j0", "j1" and so on, from `from` on, before `to` ---- */

static inline const char *
numbered(const char *prefix, int k)
{
    static char name[4][16];
    static int i;

    i = (i + 1) % 4;
    snprintf(name[i], sizeof(name[i]), "%s%d", prefix, k);

    return name[i];
}


static inline void
submit_each(world_t *w, const char *prefix, int from, int to,
            const char *command)
{
    for (; from < to; from++) {
        submit(w, numbered(prefix, from), command, NULL);
    }
}


static inline void
wait_until_each_up(world_t *w, const char *prefix, int from, int to)
{
    for (; from < to; from++) {
        wait_until_up(w, numbered(prefix, from));
    }
}


/* Now. */
static inline void
each_is(world_t *w, const char *prefix, int from, int to, const char *wanted)
{
    for (; from < to; from++) {
        assert_string_equal(status(w, numbered(prefix, from)), wanted);
    }
}


/* One after the other is let go, and completes. */
static inline void
each_completes(world_t *w, const char *prefix, int from, int to)
{
    for (; from < to; from++) {
        let_go(w, numbered(prefix, from));
        job_ends(w, numbered(prefix, from), "Completed", 0, "");
    }
}


/* Is there a process whose environment has that? */
static inline int
lives(const char *entry)
{
    return amld_proc_kill_marked(entry, 0, 0);
}


static inline void
dies(const char *entry)
{
    int i;

    for (i = 0; i < PATIENCE && lives(entry) != 0; i++) {
        usleep(10000);
    }
    assert_int_equal(lives(entry), 0);
}

#endif /* AML_JOBS_FIXTURE_H */
