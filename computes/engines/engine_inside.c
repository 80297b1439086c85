/*
 * What differs between engines in what an instance's files are called.
 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "computes/engines/engine.h"


extern const amld_engine_t amld_engine_accounts;
extern const amld_engine_t amld_engine_process;


const amld_engine_t *
amld_engine_of(const amld_config_t *c)
{
    const amld_engine_t *engine;

    engine = amld_engine_find(c->engine != NULL ? c->engine : "process");

    return engine == &amld_engine_process && c->unix_accounts
               ? &amld_engine_accounts
               : engine;
}


const char *
amld_engine_sockets(const amld_config_t *c)
{
    const amld_engine_t *engine;

    engine = amld_engine_of(c);

    return engine != NULL && engine->sockets != NULL ? engine->sockets : "";
}


void
amld_engine_inside(const amld_engine_t *engine, const amld_config_t *c,
                   const amld_engine_instance_t *i,
                   amld_engine_inside_t *inside)
{
    memset(inside, 0, sizeof(*inside));

    if (engine->inside != NULL) {
        engine->inside(c, i, inside);
        return;
    }

    snprintf(inside->share, sizeof(inside->share), "%s", i->share);
    snprintf(inside->directory, sizeof(inside->directory), "%s", i->directory);
    snprintf(inside->runtime, sizeof(inside->runtime), "%s", i->runtime);
    snprintf(inside->kept, sizeof(inside->kept), "%s", i->runtime);
    snprintf(inside->sockets, sizeof(inside->sockets), "%s", i->runtime);
    inside->as_root = geteuid() == 0;
}
