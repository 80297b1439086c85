/*
 * The process engine: commands are processes of amld's own account.  Nothing is
 * isolated.
 */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "computes/engines/engine.h"
#include "computes/files/files.h"
#include "computes/instances/gone.h"

static int
process_create(const amld_config_t *c, const amld_engine_instance_t *i,
               char *err, size_t size);
static int
process_start(const amld_config_t *c, const amld_engine_instance_t *i,
              char *err, size_t size);
static int process_exec(const amld_config_t *c, const amld_engine_instance_t *i,
                        const amld_command_t *command, amld_command_id_t *id,
                        int *hold, char *err, size_t size);
static int
process_destroy(const amld_config_t *c, const amld_engine_instance_t *i,
                char *err, size_t size);

static int
process_environment(amld_command_env_t *e, const amld_engine_instance_t *i,
                    const amld_command_t *command);
static int process_keep(const char *name);

const amld_engine_t amld_engine_process = {
    .name = "process",
    .isolation = "instances run as the account of amld and are not isolated "
                 "from it or from each other",
    .create = process_create,
    .start = process_start,
    .exec = process_exec,
    .destroy = process_destroy,
};


static int
process_create(const amld_config_t *c, const amld_engine_instance_t *i,
               char *err, size_t size)
{
    (void) c;

    if (amld_files_mkdir(i->runtime, 0700) != 0) {
        snprintf(err, size, "cannot make %s: %s", i->runtime, strerror(errno));
        return -1;
    }

    return 0;
}


static int
process_start(const amld_config_t *c, const amld_engine_instance_t *i,
              char *err, size_t size)
{
    char path[PATH_MAX];

    if (process_destroy(c, i, err, size) != 0 ||
        process_create(c, i, err, size) != 0) {
        return -1;
    }

    if ((size_t) snprintf(path, sizeof(path), "%s/tmp", i->runtime) >=
            sizeof(path) ||
        amld_files_mkdir(path, 0700) != 0 ||
        (size_t) snprintf(path, sizeof(path), "%s/run", i->runtime) >=
            sizeof(path) ||
        amld_files_mkdir(path, 0700) != 0) {
        snprintf(err, size, "cannot make %s: %s", path, strerror(errno));
        return -1;
    }

    return 0;
}


static int
process_exec(const amld_config_t *c, const amld_engine_instance_t *i,
             const amld_command_t *command, amld_command_id_t *id, int *hold,
             char *err, size_t size)
{
    amld_command_env_t env;
    amld_command_spawn_t spawn;

    (void) c;

    if (amld_engine_no_image(command, err, size) != 0) {
        return -1;
    }

    if (process_environment(&env, i, command) != 0) {
        snprintf(err, size, "%s: the environment is too long", command->name);
        return -1;
    }

    amld_engine_spawn(&spawn, i, command, &env);

    return amld_command_spawn(&spawn, id, hold, err, size);
}


static int
process_destroy(const amld_config_t *c, const amld_engine_instance_t *i,
                char *err, size_t size)
{
    (void) c;

    amld_command_sweep(i->runtime, NULL);

    if (amld_gone_put(i->runtime, "tmp") != 0 ||
        amld_gone_put(i->runtime, "run") != 0 ||
        amld_files_remove(i->runtime, 0, process_keep) != 0) {
        snprintf(err, size, "cannot empty %s: %s", i->runtime, strerror(errno));
        return -1;
    }

    return 0;
}


static int
process_environment(amld_command_env_t *e, const amld_engine_instance_t *i,
                    const amld_command_t *command)
{
    char bin[PATH_MAX];
    size_t k;

    amld_engine_bin(command, bin, sizeof(bin));
    amld_command_env_init(e);

    if (amld_command_env_account(e, geteuid(), bin[0] != '\0' ? bin : NULL) !=
            0 ||
        amld_command_env_set(e, "AML_INSTANCE", "%s", i->name) != 0 ||
        amld_command_env_set(e, "TMPDIR", "%s/tmp", i->runtime) != 0) {
        return -1;
    }

    for (k = 0; command->envp != NULL && command->envp[k] != NULL; k++) {
        if (amld_command_env_add(e, command->envp[k]) != 0) {
            return -1;
        }
    }

    return 0;
}


/* What a stop takes away: sockets, and what is only for programs that run.  The
 * rest is the instance's until it is deleted: settings, logs. */
static int
process_keep(const char *name)
{
    size_t n;

    n = strlen(name);

    return n < 5 || strcmp(name + n - 5, ".sock") != 0;
}
