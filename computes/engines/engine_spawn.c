#include "computes/engines/engine.h"

#include <stdio.h>
#include <string.h>


void
amld_engine_bin(const amld_command_t *command, char *bin, size_t size)
{
    char *end;

    if (command->bin != NULL) {
        snprintf(bin, size, "%s", command->bin);
        return;
    }

    /* A terminal's `python` is then the one that the notebooks have. */
    snprintf(bin, size, "%s", command->argv[0]);
    end = strrchr(bin, '/');
    if (end == NULL) {
        end = bin;
    }
    *end = '\0';
}


int
amld_engine_no_image(const amld_command_t *command, char *err, size_t size)
{
    if (command->image == NULL) {
        return 0;
    }

    snprintf(err, size,
             "%s: this engine has no images: leave it out, and the command "
             "runs in the instance",
             command->image);

    return -1;
}


void
amld_engine_spawn(amld_command_spawn_t *spawn, const amld_engine_instance_t *i,
                  const amld_command_t *command, const amld_command_env_t *env)
{
    memset(spawn, 0, sizeof(*spawn));

    spawn->name = command->name;
    spawn->runtime = i->runtime;
    spawn->directory = i->directory;
    spawn->argv = command->argv;
    spawn->envp = env->entries;
    spawn->status = command->status;
    spawn->input = command->input;
    spawn->once = command->once;
    spawn->group = command->once;
    spawn->enter = command->directory;
    spawn->log = command->log;
    spawn->log_max = command->log_max;
}
