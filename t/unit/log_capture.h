/*
 * What amld logs, in a file that a test can look into.
 */

#ifndef AML_TEST_LOG_CAPTURE_H
#define AML_TEST_LOG_CAPTURE_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "t/unit/scratch.h"

static char log_file[160];


/* What the log says from now on goes into a file. */
static int
log_begin(scratch_t *s)
{
    int saved = dup(STDERR_FILENO);
    FILE *f;

    snprintf(log_file, sizeof(log_file), "%s/log", s->dir);
    f = fopen(log_file, "w");
    assert_non_null(f);
    dup2(fileno(f), STDERR_FILENO);
    fclose(f);

    return saved;
}


/* How often `text` is in it. */
static unsigned
logged(const char *text)
{
    static char all[65536];
    unsigned n = 0;
    const char *p;
    size_t size;
    FILE *f;

    f = fopen(log_file, "r");
    assert_non_null(f);
    size = fread(all, 1, sizeof(all) - 1, f);
    all[size] = '\0';
    fclose(f);

    for (p = strstr(all, text); p != NULL; p = strstr(p + 1, text)) {
        n++;
    }

    return n;
}


static void
log_end(int saved)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
}

#endif /* AML_TEST_LOG_CAPTURE_H */
