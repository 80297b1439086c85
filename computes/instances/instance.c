#include "computes/instances/instance.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "computes/engines/ranges.h"
#include "computes/engines/unix_account.h"
#include "computes/files/files.h"
#include "computes/files/logfile.h"
#include "computes/files/private_files.h"
#include "computes/files/samples.h"
#include "computes/files/shares.h"
#include "computes/instances/gone.h"
#include "computes/instances/step.h"
#include "computes/jobs/job_run.h"
#include "computes/services/service_run.h"

#define INSTANCE_ROOM 16384 /* for a command's strings */
#define INSTANCE_TAIL 12    /* lines of a log */
#define INSTANCE_FAILURE 2048

static int instance_make(amld_instance_t *i, char *err, size_t size);
static int instance_socket(const amld_app_t *app, char *path, size_t size);
static int instance_path(char **path, const char *directory, const char *name);
static int instance_copy(char **copy, const char *text);
static int instance_strings(amld_instance_t *i, const json_t *doc,
                            const amld_workspace_t *workspace);
static void
instance_say(amld_instance_t *i, const char *log, const char *format,
             va_list args) __attribute__((format(printf, 3, 0)));
static void instance_failure(amld_instance_t *i, const char *text);
static int
instance_files(const amld_app_t *app, const aml_application_vars_t *vars,
               const char *kept, char *err, size_t size);
static const char *
instance_account(const amld_engine_instance_t *e, char user[256]);
static void instance_user(amld_instance_t *i, const char *user);
static void instance_find_account(amld_instance_t *i);
static void instance_probed(void *data, int ok);


void
amld_instance_engine(const amld_instance_t *i, amld_engine_instance_t *e)
{
    memset(e, 0, sizeof(*e));
    e->name = i->lower;
    e->runtime = i->runtime;
    e->share = i->share;
    e->directory = i->directory;
    e->creator = i->creator;
    e->creator_name = i->creator_name;
    e->subnet = i->subnet;
    e->cores = i->cores;
    e->memory_mb = i->memory_mb;
    e->gpus = i->gpus;
    e->range = i->range;
    e->account = i->account;
}


int64_t
amld_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}


amld_instance_t *
amld_instance_new(amld_supervisor_t *s, const amld_key_t *key,
                  const json_t *doc)
{
    size_t k;
    const char *name;
    amld_instance_t *i;
    const amld_workspace_t *workspace;

    name = amld_compute_str(doc, "name");

    workspace = amld_compute_workspace(s->d->config, doc);
    if (workspace == NULL) {
        amld_log(AMLD_LOG_WARN, "%s: its workspace %s is configured no more",
                 name, amld_compute_str(doc, "workspace"));
        return NULL;
    }

    i = calloc(1, sizeof(*i));
    if (i == NULL) {
        amld_log(AMLD_LOG_ERROR, "%s: no memory", name);
        return NULL;
    }

    i->supervisor = s;
    i->key = *key;
    i->phase = AMLD_PHASE_IDLE;
    i->kill_at = AMLD_NEVER;
    i->look_at = AMLD_NEVER;
    i->step.hold = -1;
    i->step.watch = -1;
    i->step.by = AMLD_NEVER;

    snprintf(i->name, sizeof(i->name), "%s", name);
    for (k = 0; i->name[k] != '\0'; k++) {
        i->lower[k] = i->name[k] >= 'A' && i->name[k] <= 'Z'
                          ? (char) (i->name[k] + 32)
                          : i->name[k];
    }

    if (instance_strings(i, doc, workspace) != 0) {
        amld_log(AMLD_LOG_ERROR,
                 "%s: no memory, or its directories' names are too long", name);
        amld_instance_free(i);
        return NULL;
    }
    instance_find_account(i);

    i->progress = amld_progress_join(s->d->progress, key);
    amld_progress_look(i->progress, doc);

    return i;
}


void
amld_instance_free(amld_instance_t *i)
{
    size_t k;

    for (k = 0; k < i->app_count; k++) {
        amld_probe_free(i->apps[k].probe);
        if (i->apps[k].watch != -1) {
            close(i->apps[k].watch);
        }
        if (i->apps[k].hold != -1) {
            close(i->apps[k].hold);
        }
    }

    if (i->step.watch != -1) {
        close(i->step.watch);
    }
    if (i->step.hold != -1) {
        close(i->step.hold);
    }

    /* also of those that are counted no more */
    for (k = 0; k < AMLD_INSTANCE_APPS; k++) {
        free(i->apps[k].demand.failure);
        amld_service_free(i->apps[k].service);
    }

    amld_jobs_free(i);
    amld_progress_leave(i->progress);
    free(i->runtime);
    free(i->directory);
    free(i->creator);
    free(i->creator_name);
    free(i->account);
    free(i->public_key);
    free(i->user);
    free(i->subnet);
    free(i->failure);
    free(i);
}


amld_app_t *
amld_instance_app(amld_instance_t *i, const aml_application_t *application)
{
    size_t k;
    amld_app_t *app;

    for (k = 0; k < i->app_count; k++) {
        if (i->apps[k].application == application) {
            return &i->apps[k];
        }
    }

    if (i->app_count == AMLD_INSTANCE_APPS) {
        return NULL;
    }

    app = &i->apps[i->app_count++];

    free(app->demand.failure);
    amld_service_free(app->service);
    memset(app, 0, sizeof(*app));
    app->instance = i;
    app->application = application;
    app->hold = -1;
    app->watch = -1;
    app->again_at = AMLD_NEVER;

    return app;
}


size_t
amld_instance_adopt(amld_instance_t *i, const json_t *doc)
{
    size_t k, n;
    int64_t now;
    amld_app_t *app;
    amld_command_id_t id;
    const amld_config_t *c;

    c = i->supervisor->d->config;
    now = amld_now();

    for (k = 0, n = 0; aml_applications[k] != NULL; k++) {
        if (amld_compute_command(doc, aml_applications[k]->name, &id) != 0 ||
            (app = amld_instance_app(i, aml_applications[k])) == NULL) {
            continue;
        }

        app->id = id;
        if (amld_command_inspect(&id) != AMLD_COMMAND_RUNNING) {
            continue;
        }

        app->running = 1;
        app->adopted = 1;
        app->watch = amld_command_watch(&id);
        app->probe_at = now;
        app->ready_by = now + (int64_t) c->start_timeout * 1000;
        app->up_since = now;
        n++;
    }

    return n + amld_services_adopt(i, doc);
}


int
amld_instance_begin(amld_instance_t *i)
{
    int rc;
    char err[PATH_MAX + 512];
    amld_t *d = i->supervisor->d;

    i->failed = 0;
    i->setup_failed = 0;
    i->created = 0;
    i->app_count = 0;

    /* Before anything is made there: what is not mounted now must not be made
     * in its mount point. */
    if (amld_shares_ask(d, i->workspace, err, sizeof(err)) != AMLD_SHARE_GOOD) {
        instance_failure(i, err);
        return -1;
    }

    amld_shares_enter(d, i->workspace, "to make a person's folder");
    rc = instance_make(i, err, sizeof(err));
    amld_shares_leave(d);
    if (rc != 0) {
        instance_failure(i, err);
    }

    return rc;
}


static int
instance_make(amld_instance_t *i, char *err, size_t size)
{
    amld_engine_instance_t e;
    const amld_t *d = i->supervisor->d;
    const amld_engine_t *engine = i->supervisor->engine;

    if (engine->ranges && i->range == 0 &&
        amld_range_assign(d->registry, i->creator, &i->range, err, size) != 0) {
        return -1;
    }

    instance_find_account(i);
    amld_instance_engine(i, &e);

    if (engine->create(d->config, &e, err, size) != 0 ||
        engine->start(d->config, &e, err, size) != 0) {
        return -1;
    }

    /* Readable for everyone in the workspace: it is one share. */
    if (amld_files_mkdir_below(i->share, i->directory, 0755) != 0) {
        snprintf(err, size, "cannot make %s: %s", i->directory,
                 strerror(errno));
        return -1;
    }

    return 0;
}


int
amld_instance_exec(amld_instance_t *i)
{
    char err[PATH_MAX + 512];
    size_t k;
    amld_app_t *app;
    amld_t *d = i->supervisor->d;

    i->app_count = 0;

    /* Steps may have taken long since. */
    if (amld_shares_ask(d, i->workspace, err, sizeof(err)) != AMLD_SHARE_GOOD) {
        goto failed;
    }
    amld_shares_enter(d, i->workspace, "to give samples");
    amld_samples_give(d, &i->key, i->creator, i->directory);
    amld_shares_leave(d);

    for (k = 0; aml_applications[k] != NULL; k++) {
        if (!amld_compute_has(d->config, aml_applications[k], i->public_key)) {
            continue;
        }

        app = amld_instance_app(i, aml_applications[k]);
        if (app == NULL) {
            snprintf(err, sizeof(err), "more than %d applications",
                     AMLD_INSTANCE_APPS);
            goto failed;
        }

        if (amld_instance_exec_app(app, err, sizeof(err)) != 0) {
            goto failed;
        }
    }

    return 0;

failed:

    amld_instance_call_off(i);
    instance_failure(i, err);

    return -1;
}


int
amld_instance_exec_app(amld_app_t *app, char *err, size_t size)
{
    char socket[PATH_MAX], origin[512], room[INSTANCE_ROOM], user[256];
    char seen[2 * PATH_MAX]; /* the socket, inside */
    char bin[PATH_MAX];
    const char *argv[AML_APPLICATION_ARGS], *envp[AML_APPLICATION_ARGS];
    amld_command_t command;
    amld_instance_t *i;
    const amld_config_t *c;
    amld_engine_instance_t e;
    amld_engine_inside_t inside;
    aml_application_vars_t vars;

    i = app->instance;
    if (amld_shares_ask(i->supervisor->d, i->workspace, err, size) ==
        AMLD_SHARE_SILENT) {
        return -1;
    }
    if (amld_service_is(app)) {
        return amld_service_exec(app, err, size);
    }

    c = i->supervisor->d->config;
    amld_instance_engine(i, &e);
    amld_engine_inside(i->supervisor->engine, c, &e, &inside);
    snprintf(seen, sizeof(seen), "%s/%s.sock", inside.sockets,
             app->application->name);

    if (instance_socket(app, socket, sizeof(socket)) != 0 ||
        amld_compute_origin(c, i->name, app->application->port, origin,
                            sizeof(origin)) != 0) {
        snprintf(err, size, "%s: names are too long", app->application->name);
        return -1;
    }

    memset(&vars, 0, sizeof(vars));
    vars.program = amld_compute_program(c, app->application);
    vars.socket = seen;
    vars.directory = inside.share;
    vars.folder = inside.directory;
    vars.runtime = inside.runtime;
    vars.origin = origin;
    vars.user = inside.user != NULL ? inside.user : instance_account(&e, user);
    vars.as_root = inside.as_root;
    instance_user(i, vars.user);
    vars.bin = amld_instance_bin(c, bin, sizeof(bin));
    vars.public_key = i->public_key;

    if (vars.program == NULL) {
        snprintf(err, size, "%s is configured no more", app->application->name);
        return -1;
    }

    if (app->application->command(&vars, argv, envp, room, sizeof(room)) != 0) {
        snprintf(err, size,
                 "%s: the command line is too long; it helps to choose a "
                 "shorter state directory than %s",
                 app->application->name, c->state);
        return -1;
    }

    if (instance_files(app, &vars, inside.kept, err, size) != 0) {
        return -1;
    }

    /* Of a command that was killed: it would be taken for the new one's. */
    if (unlink(socket) != 0 && errno != ENOENT) {
        snprintf(err, size, "%s: %s", socket, strerror(errno));
        return -1;
    }

    memset(&command, 0, sizeof(command));
    command.name = app->application->name;
    command.argv = argv;
    command.envp = envp;

    if (i->supervisor->engine->exec(c, &e, &command, &app->id, &app->hold, err,
                                    size) != 0) {
        app->hold = -1;
        return -1;
    }

    app->running = 1;
    app->ready = 0;
    app->again_at = AMLD_NEVER;
    app->watch = amld_command_watch(&app->id);

    return 0;
}


void
amld_instance_release(amld_instance_t *i)
{
    size_t k;

    for (k = 0; k < i->app_count; k++) {
        amld_instance_release_app(&i->apps[k]);
    }
}


void
amld_instance_release_app(amld_app_t *app)
{
    int64_t now;

    if (app->hold == -1) {
        return;
    }

    /* If it is gone already, that is seen like any other end. */
    (void) amld_engine_release(app->hold);
    app->hold = -1;

    now = amld_now();
    app->up_since = now;
    app->probe_at = now + AMLD_PROBE_PAUSE;
    app->ready_by =
        now +
        (int64_t) app->instance->supervisor->d->config->start_timeout * 1000;

    /* A model may take long to be read. */
    if (amld_service_is(app)) {
        app->ready_by = AMLD_NEVER;
    }
}


void
amld_instance_call_off(amld_instance_t *i)
{
    size_t k;

    for (k = 0; k < i->app_count; k++) {
        amld_instance_drop_app(&i->apps[k]);
    }

    i->app_count = 0;
}


void
amld_instance_drop_app(amld_app_t *app)
{
    if (app->hold != -1) {
        close(app->hold);
        app->hold = -1;
    }

    if (app->watch != -1) {
        close(app->watch);
        app->watch = -1;
    }

    amld_probe_free(app->probe);
    app->probe = NULL;
    app->running = 0;
    app->ready = 0;
}


void
amld_instance_kill_app(amld_app_t *app)
{
    (void) amld_command_stop(&app->id, 1);
}


void
amld_instance_stop(amld_instance_t *i, int at_once)
{
    size_t k;
    int64_t now;
    amld_app_t *app;
    const amld_config_t *c;

    c = i->supervisor->d->config;
    now = amld_now();

    for (k = 0; k < i->app_count; k++) {
        app = &i->apps[k];

        amld_probe_free(app->probe);
        app->probe = NULL;
        app->again_at = AMLD_NEVER;

        if (app->hold != -1) {
            close(app->hold);
            app->hold = -1;
        }

        if (app->running) {
            (void) amld_command_stop(&app->id, at_once);
        }
    }

    amld_step_stop(i, at_once);
    amld_jobs_stop(i, at_once);

    if (i->phase != AMLD_PHASE_STOPPING) {
        i->begun_at = now;
        i->kills = 0;
        amld_progress_step_end(i->progress, NULL, AMLD_OUTCOME_CANCELED);
        if (amld_instance_running(i) != 0) {
            amld_progress_step(i->progress, "stop", NULL, 0);
        }
    }

    i->phase = AMLD_PHASE_STOPPING;
    i->kills += at_once != 0;
    i->kill_at =
        now + (at_once ? AMLD_KILL_PAUSE : (int64_t) c->stop_timeout * 1000);
}


void
amld_instance_failure(amld_instance_t *i, const char *log, const char *format,
                      ...)
{
    va_list args;

    va_start(args, format);
    instance_say(i, log, format, args);
    va_end(args);
}


void
amld_instance_fail(amld_instance_t *i, const char *log, int at_once,
                   const char *format, ...)
{
    va_list args;

    va_start(args, format);
    instance_say(i, log, format, args);
    va_end(args);

    amld_instance_stop(i, at_once);
}


int
amld_instance_ended(amld_app_t *app)
{
    /* To look at each of very many costs more than to be told. */
    if (!app->running || (app->watch != -1 && !app->stirred)) {
        return 0;
    }

    app->stirred = 0;

    if (amld_command_inspect(&app->id) == AMLD_COMMAND_RUNNING) {
        return 0;
    }

    app->running = 0;
    app->ready = 0;
    amld_probe_free(app->probe);
    app->probe = NULL;
    if (app->watch != -1) {
        close(app->watch);
        app->watch = -1;
    }

    return 1;
}


size_t
amld_instance_running(const amld_instance_t *i)
{
    size_t k, n;

    for (k = 0, n = 0; k < i->app_count; k++) {
        n += i->apps[k].running != 0;
    }

    return n + (i->step.running != 0) + i->job_count;
}


void
amld_instance_clean(amld_instance_t *i, int all)
{
    char err[512];
    amld_engine_instance_t e;

    amld_instance_engine(i, &e);

    if (i->supervisor->engine->destroy(i->supervisor->d->config, &e, err,
                                       sizeof(err)) != 0) {
        amld_log(AMLD_LOG_WARN, "%s: %s", i->name, err);
    }

    if (all && amld_gone_put(i->runtime, NULL) != 0) {
        amld_log(AMLD_LOG_WARN, "%s: cannot remove %s: %s", i->name, i->runtime,
                 strerror(errno));
    }
}


/* Asks again soon until it has answered, or its time is over. */
void
amld_instance_probe(amld_app_t *app, int64_t now)
{
    char socket[PATH_MAX];
    amld_instance_t *i;

    if (!app->running || app->hold != -1 || app->probe != NULL ||
        now < app->probe_at) {
        return;
    }
    if (amld_service_is(app)) {
        amld_service_probe(app, now);
        return;
    }
    if (app->ready) {
        return;
    }

    i = app->instance;
    app->probe_at = now + AMLD_PROBE_PAUSE;

    if (instance_socket(app, socket, sizeof(socket)) == 0 &&
        access(socket, F_OK) == 0) {
        app->probe = amld_probe_new(
            i->supervisor->probes, socket, app->application->ready_path,
            app->application->ready_banner, instance_probed, app);
    }
}


/* As the gateway connects to it. */
static int
instance_socket(const amld_app_t *app, char *path, size_t size)
{
    const amld_instance_t *i = app->instance;

    return (size_t) snprintf(path, size, "%s%s/%s.sock", i->runtime,
                             amld_engine_sockets(i->supervisor->d->config),
                             app->application->name) < size
               ? 0
               : -1;
}


static int
instance_strings(amld_instance_t *i, const json_t *doc,
                 const amld_workspace_t *workspace)
{
    char path[PATH_MAX];
    const char *key;
    const json_t *size, *subnet;

    key = amld_compute_public_key(doc);
    size = json_object_get(doc, "size");
    subnet = json_object_get(json_object_get(doc, "requested"), "subnet");

    i->workspace = workspace;
    i->share = workspace->share;
    i->cores = (unsigned) json_integer_value(json_object_get(size, "cores"));
    i->memory_mb =
        (unsigned long) json_integer_value(json_object_get(size, "memory"));
    i->gpus = (unsigned) json_integer_value(json_object_get(size, "gpus"));

    return amld_compute_runtime(i->supervisor->d->config, doc, path,
                                sizeof(path)) != 0 ||
                   instance_copy(&i->runtime, path) != 0 ||
                   instance_path(&i->directory, workspace->share,
                                 amld_compute_str(doc, "folder")) != 0 ||
                   instance_copy(&i->creator,
                                 amld_compute_str(doc, "creator")) != 0 ||
                   instance_copy(&i->creator_name,
                                 amld_compute_str(doc, "creatorName")) != 0 ||
                   instance_copy(&i->subnet, amld_compute_str(subnet, "id")) !=
                       0 ||
                   (key != NULL && instance_copy(&i->public_key, key) != 0)
               ? -1
               : 0;
}


static int
instance_path(char **path, const char *directory, const char *name)
{
    char text[PATH_MAX];

    return (size_t) snprintf(text, sizeof(text), "%s/%s", directory, name) <
                   sizeof(text)
               ? instance_copy(path, text)
               : -1;
}


static int
instance_copy(char **copy, const char *text)
{
    *copy = strdup(text);

    return *copy != NULL ? 0 : -1;
}


static void
instance_say(amld_instance_t *i, const char *log, const char *format,
             va_list args)
{
    int n;
    char text[INSTANCE_FAILURE], path[PATH_MAX + 64];

    n = vsnprintf(text, sizeof(text) - 64, format, args);

    if (n > 0 && log != NULL && (size_t) n + 128 < sizeof(text)) {
        snprintf(path, sizeof(path), "%s/%s.log", i->runtime, log);
        n += snprintf(text + n, sizeof(text) - (size_t) n, AMLD_LOG_FOLLOWS);
        if (amld_logfile_tail(path, INSTANCE_TAIL, text + n,
                              sizeof(text) - (size_t) n) == 0) {
            snprintf(text + n, sizeof(text) - (size_t) n, "(empty)");
        }
    }

    amld_log(AMLD_LOG_WARN, "%s: %s", i->name, text);
    amld_progress_step_end(i->progress, log, AMLD_OUTCOME_FAILED);
    instance_failure(i, text);
}


static void
instance_failure(amld_instance_t *i, const char *text)
{
    free(i->failure);
    i->failure = strdup(text);
    i->failed = 1;
}


/* What it needs in the private directory. */
static int
instance_files(const amld_app_t *app, const aml_application_vars_t *vars,
               const char *kept, char *err, size_t size)
{
    char room[INSTANCE_ROOM];
    aml_application_file_t files[AML_APPLICATION_FILES];

    if (app->application->files == NULL) {
        return 0;
    }

    if (app->application->files(vars, files, room, sizeof(room)) != 0) {
        snprintf(err, size, "%s: names are too long", app->application->name);
        return -1;
    }

    return amld_private_files(kept, files, err, size);
}


/* The account that its commands run as; NULL where it has no name. */
static const char *
instance_account(const amld_engine_instance_t *e, char user[256])
{
    char buf[4096];
    struct passwd pw, *found;

    if (e->account != NULL) {
        return e->account;
    }

    if (getpwuid_r(geteuid(), &pw, buf, sizeof(buf), &found) != 0 ||
        found == NULL ||
        (size_t) snprintf(user, 256, "%s", found->pw_name) >= 256) {
        return NULL;
    }

    return user;
}


/* For people who sign in: a name that there is no memory for is not told. */
static void
instance_user(amld_instance_t *i, const char *user)
{
    if (i->user != NULL && user != NULL && strcmp(i->user, user) == 0) {
        return;
    }

    free(i->user);
    i->user = user != NULL ? strdup(user) : NULL;
}


const char *
amld_instance_bin(const amld_config_t *c, char *bin, size_t size)
{
    char *end;
    const char *program;
    const aml_application_t *notebooks;

    notebooks = aml_application_by_name(aml_str("jupyter"));
    program = notebooks != NULL ? amld_compute_program(c, notebooks) : NULL;
    if (program == NULL ||
        (size_t) snprintf(bin, size, "%s", program) >= size) {
        return NULL;
    }

    end = strrchr(bin, '/');
    if (end == NULL || end == bin) {
        return NULL;
    }
    *end = '\0';

    return bin;
}


/* Anew at each start: whoever had none may have been given one. */
static void
instance_find_account(amld_instance_t *i)
{
    char name[AMLD_UNIX_NAME + 1];
    const amld_t *d;

    d = i->supervisor->d;
    free(i->account);
    i->account = NULL;

    if (d->config->unix_accounts &&
        amld_unix_account_of(d->registry, d->config, i->creator,
                             i->creator_name, name) == 0) {
        i->account = strdup(name);
    }
}


static void
instance_probed(void *data, int ok)
{
    amld_app_t *app;

    app = data;
    app->probe = NULL;
    app->probe_at = amld_now() + AMLD_PROBE_PAUSE;

    if (ok) {
        app->ready = 1;
    }
}
