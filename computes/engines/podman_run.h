/*
 * Running a program to its end: podman, the OCI runtime, nft.  For amld's
 * steps, which may block, and the thread that looks after networks; never
 * called by another of the daemon.
 */

#ifndef AMLD_PODMAN_RUN_H
#define AMLD_PODMAN_RUN_H

#include <stddef.h>

#define AMLD_PODMAN_ARGS 256
#define AMLD_PODMAN_ROOM 65536

/* A command line that is put together piece by piece. */
typedef struct amld_podman_args {
    const char *argv[AMLD_PODMAN_ARGS + 1];
    size_t count;
    char room[AMLD_PODMAN_ROOM];
    size_t used;
    int failed; /* it was too long: asked for once, when it is run */
} amld_podman_args_t;

void amld_podman_args(amld_podman_args_t *a, const char *program);
void amld_podman_arg(amld_podman_args_t *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Runs it with `input` (NULL: none) on standard input, for at most `seconds`;
 * it and its process group are killed after that.  `out` gets standard output,
 * cut to `size` and without the blanks at its end; NULL when it is of no
 * interest.  `err` gets, when it fails, one line for people: what it was, how
 * it ended, the line of standard error that says "Error:", or the last one.
 *
 * The exit status; 127 when there is no such program; -1 when it was killed,
 * also by us, or could not be run.
 */
int amld_podman_run(const amld_podman_args_t *a, const char *input,
                    unsigned seconds, char *out, size_t size, char *err,
                    size_t err_size);

#endif /* AMLD_PODMAN_RUN_H */
