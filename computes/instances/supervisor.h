/*
 * The supervisor: the one thread that starts, watches and ends what runs.
 */

#ifndef AMLD_SUPERVISOR_H
#define AMLD_SUPERVISOR_H

#include "computes/amld.h"

/*
 * Runs in the main thread until SIGTERM or SIGINT, which every thread must have
 * blocked, like SIGCHLD, before the first was started.  What runs on instances
 * goes on running; the next amld adopts it.  0, or -1 when it can't begin:
 * another amld has the state directory, or there is no engine of that name.
 */
int amld_supervisor_run(amld_t *d);

#endif /* AMLD_SUPERVISOR_H */
