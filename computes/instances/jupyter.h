/*
 * What a Jupyter Server says of itself, over its socket: which kernels are at
 * work, and when something happened last.  To ask is no use of it.
 */

#ifndef AMLD_JUPYTER_H
#define AMLD_JUPYTER_H

#include <stdint.h>

#include "auth/str.h"

#define AMLD_JUPYTER_TIMEOUT 3            /* seconds for each of two requests */
#define AMLD_JUPYTER_ANSWER (1024 * 1024) /* bytes at most */

typedef struct {
    unsigned kernels, busy; /* one that starts is not: it may stay so */
    unsigned terminals;
    int64_t kernel;   /* last activity of a kernel, seconds since 1970; or 0 */
    int64_t terminal; /* the same of terminals */
} amld_jupyter_t;

/* Waits.  0, or -1 when it does not answer, or in words that it should not. */
int amld_jupyter_ask(const char *socket, amld_jupyter_t *j);

/* The two answers: of /api/kernels and of /api/terminals.  0, or -1. */
int amld_jupyter_kernels(aml_str_t text, amld_jupyter_t *j);
int amld_jupyter_terminals(aml_str_t text, amld_jupyter_t *j);

#endif /* AMLD_JUPYTER_H */
