#include "computes/engines/engine.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

extern const amld_engine_t amld_engine_podman;
extern const amld_engine_t amld_engine_process;

static const amld_engine_t *const engines[] = {
    &amld_engine_process,
    &amld_engine_podman,
    NULL,
};


const amld_engine_t *
amld_engine_find(const char *name)
{
    size_t i;

    for (i = 0; engines[i] != NULL; i++) {
        if (strcmp(engines[i]->name, name) == 0) {
            return engines[i];
        }
    }

    return NULL;
}


int
amld_engine_release(int hold)
{
    ssize_t n;

    do {
        n = write(hold, "g", 1);
    } while (n == -1 && errno == EINTR);

    close(hold);

    return n == 1 ? 0 : -1;
}
