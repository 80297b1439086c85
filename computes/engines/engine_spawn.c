#include "computes/engines/engine.h"

#include <string.h>


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
}
