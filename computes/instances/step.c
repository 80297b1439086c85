#include "computes/instances/step.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "computes/instances/setup_script.h"

#define STEP_ROOM 16384 /* for a command's strings */

typedef struct {
    const char *name;
    const char *title;
} step_t;

static int
step_engine(amld_instance_t *i, amld_step_kind_t kind, char *err, size_t size);
static int step_script(amld_instance_t *i, amld_step_kind_t kind,
                       const json_t *doc, char *err, size_t size);
static int step_is_script(amld_step_kind_t kind);
static int64_t step_wall(void);

static const step_t steps[AMLD_STEP_COUNT] = {
    [AMLD_STEP_PREPARE] = {"prepare", "Preparing the instance"},
    [AMLD_STEP_CREATION] = {"creation-script", "The creation script"},
    [AMLD_STEP_STARTUP] = {"startup-script", "The startup script"},
    [AMLD_STEP_CLEAR] = {"clear", "Clearing the instance away"},
    [AMLD_STEP_REMOVE] = {"remove", "Removing the instance"},
};


const char *
amld_step_name(amld_step_kind_t kind)
{
    return steps[kind].name;
}


const char *
amld_step_title(amld_step_kind_t kind)
{
    return steps[kind].title;
}


int
amld_step_exec(amld_instance_t *i, amld_step_kind_t kind, const json_t *doc,
               char *err, size_t size)
{
    int rc;

    memset(&i->step, 0, sizeof(i->step));
    i->step.kind = kind;
    i->step.hold = -1;
    i->step.watch = -1;
    i->step.by = AMLD_NEVER;
    i->step.timeout = i->supervisor->d->config->start_timeout;

    switch (kind) {

    case AMLD_STEP_PREPARE:
    case AMLD_STEP_CLEAR:
    case AMLD_STEP_REMOVE:
        rc = step_engine(i, kind, err, size);
        break;

    default:
        rc = step_script(i, kind, doc, err, size);
        break;
    }

    if (rc == 1) {
        i->step.running = 1;
        i->step.began = step_wall();
        i->step.watch = amld_command_watch(&i->step.id);
    } else {
        i->step.hold = -1;
    }

    return rc;
}


void
amld_step_release(amld_instance_t *i)
{
    if (i->step.hold == -1) {
        return;
    }

    /* If it is gone already, that is seen like any other end. */
    (void) amld_engine_release(i->step.hold);
    i->step.hold = -1;
    i->step.by = amld_now() + (int64_t) i->step.timeout * 1000;
}


void
amld_step_drop(amld_instance_t *i)
{
    if (i->step.hold != -1) {
        close(i->step.hold);
        i->step.hold = -1;
    }

    if (i->step.watch != -1) {
        close(i->step.watch);
        i->step.watch = -1;
    }

    i->step.running = 0;
    i->step.by = AMLD_NEVER;
}


int
amld_step_record(const amld_instance_t *i, json_t *doc)
{
    return json_object_set_new(doc, "step",
                               json_pack("{s:s,s:I,s:I,s:s,s:I,s:I}", "name",
                                         amld_step_name(i->step.kind), "pid",
                                         (json_int_t) i->step.id.pid, "started",
                                         (json_int_t) i->step.id.started,
                                         "boot", i->step.id.boot, "began",
                                         (json_int_t) i->step.began, "timeout",
                                         (json_int_t) i->step.timeout));
}


int
amld_step_adopt(amld_instance_t *i, const json_t *doc)
{
    int64_t left;
    const char *name;
    const json_t *step;
    amld_step_kind_t kind;

    step = json_object_get(doc, "step");
    if (!json_is_object(step)) {
        return 0;
    }

    name = amld_compute_str(step, "name");
    for (kind = 0; kind < AMLD_STEP_COUNT; kind++) {
        if (strcmp(steps[kind].name, name) == 0) {
            break;
        }
    }
    if (kind == AMLD_STEP_COUNT) {
        return 0;
    }

    i->step.kind = kind;
    i->step.adopted = 1;
    i->step.hold = -1;
    i->step.id.pid = json_integer_value(json_object_get(step, "pid"));
    i->step.id.started =
        (uint64_t) json_integer_value(json_object_get(step, "started"));
    snprintf(i->step.id.boot, sizeof(i->step.id.boot), "%s",
             amld_compute_str(step, "boot"));
    i->step.began = json_integer_value(json_object_get(step, "began"));
    i->step.timeout =
        (unsigned) json_integer_value(json_object_get(step, "timeout"));

    /* Its time went on while nobody looked. */
    left = (int64_t) i->step.timeout * 1000 - (step_wall() - i->step.began);
    if (left < 0) {
        left = 0;
    } else if (left > (int64_t) i->step.timeout * 1000) {
        left = (int64_t) i->step.timeout * 1000;
    }
    i->step.by = amld_now() + left;

    /* If it has ended, that is seen soon. */
    i->step.running = 1;
    i->step.watch = amld_command_watch(&i->step.id);

    return 1;
}


int
amld_step_ended(amld_instance_t *i)
{
    if (!i->step.running) {
        return 0;
    }

    if (amld_command_inspect(&i->step.id) == AMLD_COMMAND_RUNNING) {
        return 0;
    }

    amld_step_drop(i);

    return 1;
}


int
amld_step_result(const amld_instance_t *i)
{
    return amld_command_result(i->runtime, amld_step_name(i->step.kind));
}


void
amld_step_fail(amld_instance_t *i, int result)
{
    const char *log, *title;

    log = amld_step_name(i->step.kind);
    i->setup_failed = step_is_script(i->step.kind);
    title = amld_step_title(i->step.kind);

    if (result == AMLD_STEP_LATE) {
        amld_instance_failure(i, log, "%s did not end within %u second%s.",
                              title, i->step.timeout,
                              i->step.timeout == 1 ? "" : "s");
    } else if (result == AMLD_COMMAND_NOT_BEGUN) {
        amld_instance_failure(i, NULL, "%s failed: it could not be begun.",
                              title);
    } else if (result == AMLD_COMMAND_NO_RESULT) {
        amld_instance_failure(i, log, "%s failed: it was ended from outside.",
                              title);
    } else if (result > 128) {
        amld_instance_failure(i, log, "%s failed: signal %d ended it.", title,
                              result - 128);
    } else {
        amld_instance_failure(i, log, "%s failed with exit status %d.", title,
                              result);
    }
}


void
amld_step_stop(amld_instance_t *i, int at_once)
{
    if (i->step.hold != -1) {
        close(i->step.hold);
        i->step.hold = -1;
    }

    if (!i->step.running) {
        return;
    }

    (void) amld_command_stop(&i->step.id, at_once);
}


static int
step_is_script(amld_step_kind_t kind)
{
    return kind == AMLD_STEP_CREATION || kind == AMLD_STEP_STARTUP;
}


static int
step_script(amld_instance_t *i, amld_step_kind_t kind, const json_t *doc,
            char *err, size_t size)
{
    int rc;
    amld_command_t command;
    amld_setup_script_t script;
    amld_engine_instance_t e;

    rc = amld_setup_script_of(doc, kind, &script, err, size);
    if (rc != 1) {
        return rc;
    }

    memset(&command, 0, sizeof(command));
    command.name = amld_step_name(kind);
    command.argv = script.argv;
    command.status = 1;
    command.input = script.text;

    amld_instance_engine(i, &e);
    i->step.timeout = script.timeout;

    rc = i->supervisor->engine->exec(i->supervisor->d->config, &e, &command,
                                     &i->step.id, &i->step.hold, err, size);
    amld_setup_script_free(&script);

    return rc == 0 ? 1 : -1;
}


static int
step_engine(amld_instance_t *i, amld_step_kind_t kind, char *err, size_t size)
{
    int rc;
    char room[STEP_ROOM];
    size_t k;
    const char *argv[AMLD_STEP_ARGS], *envp[AMLD_STEP_ARGS];
    amld_command_env_t env;
    amld_command_spawn_t spawn;
    amld_engine_instance_t e;
    const amld_engine_t *engine;

    engine = i->supervisor->engine;
    if (engine->step == NULL) {
        return 0;
    }

    argv[0] = NULL;
    envp[0] = NULL;
    amld_instance_engine(i, &e);

    rc = engine->step(i->supervisor->d->config, &e, kind, argv, envp, room,
                      sizeof(room), err, size);
    if (rc != 1) {
        return rc;
    }

    amld_command_env_init(&env);
    rc = amld_command_env_account(&env, geteuid(), NULL);
    for (k = 0; rc == 0 && envp[k] != NULL; k++) {
        rc = amld_command_env_add(&env, envp[k]);
    }
    if (rc != 0) {
        snprintf(err, size, "%s: the environment is too long",
                 amld_step_name(kind));
        return -1;
    }

    memset(&spawn, 0, sizeof(spawn));
    spawn.name = amld_step_name(kind);
    spawn.runtime = i->runtime;
    spawn.directory = i->runtime;
    spawn.argv = argv;
    spawn.envp = env.entries;
    spawn.status = 1;
    spawn.leave = 1; /* a container, and who looks after it */

    return amld_command_spawn(&spawn, &i->step.id, &i->step.hold, err, size) ==
                   0
               ? 1
               : -1;
}


/* Wall clock, ms: it must mean something to another amld, too. */
static int64_t
step_wall(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
