#include "computes/files/paths.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "computes/engines/engine.h"
#include "upstreams/application.h"
#include "upstreams/peer.h"

#define PATHS_USER                                                             \
    "01234567890123456789012345678901" /* as long as they get                  \
                                        */
#define PATHS_RUNTIME "/i/00000000" /* as amld_compute_runtime() makes them */

static int paths_fit(const amld_config_t *c, size_t state);


int
amld_paths_check(const amld_config_t *c, char *err, size_t size)
{
    size_t n, most;

    n = strlen(c->state);
    if (paths_fit(c, n)) {
        return 0;
    }

    for (most = n; most > 0 && !paths_fit(c, most); most--) {
        /* void */
    }

    snprintf(err, size,
             "%s is too deep for the unix sockets in it: it has %zu bytes and "
             "may have %zu",
             c->state, n, most);

    return -1;
}


/* With a state directory of so many bytes. */
static int
paths_fit(const amld_config_t *c, size_t state)
{
    char runtime[PATH_MAX], socket[PATH_MAX], room[16384];
    char seen[PATH_MAX + 128];
    size_t i, k;
    const char *argv[AML_APPLICATION_ARGS], *envp[AML_APPLICATION_ARGS];
    aml_application_vars_t vars;
    const aml_application_t *a;
    amld_engine_inside_t inside;
    amld_engine_instance_t e;
    const amld_engine_t *engine;

    engine = amld_engine_of(c);

    if (engine == NULL || state + 64 > sizeof(runtime)) {
        return 0;
    }

    memset(runtime, 'x', state);
    runtime[0] = '/';
    strcpy(runtime + state, PATHS_RUNTIME);

    memset(&e, 0, sizeof(e));
    e.runtime = runtime;
    e.share = "/x";
    e.directory = "/x";
    amld_engine_inside(engine, c, &e, &inside);

    memset(&vars, 0, sizeof(vars));
    vars.program = "/x";
    vars.directory = "/x";
    vars.folder = "/x";
    vars.origin = "https://x";
    vars.user = inside.user != NULL ? inside.user : PATHS_USER;
    vars.runtime = inside.runtime;
    vars.socket = seen;

    for (i = 0; aml_applications[i] != NULL; i++) {
        a = aml_applications[i];

        for (k = 0; k < c->application_count; k++) {
            if (strcmp(c->applications[k].name, a->name) == 0) {
                break;
            }
        }
        if (k == c->application_count) {
            continue;
        }

        snprintf(seen, sizeof(seen), "%s/%s.sock", inside.sockets, a->name);
        if ((size_t) snprintf(socket, sizeof(socket), "%s%s/%s.sock", runtime,
                              amld_engine_sockets(c),
                              a->name) > AML_PEER_PATH_MAX ||
            a->command(&vars, argv, envp, room, sizeof(room)) != 0) {
            return 0;
        }
    }

    return 1;
}
