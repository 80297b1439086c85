/*
 * How descriptors write their lists of arguments, variables and files: into
 * room of the caller's, none of it too long, none of it allocated.
 */

#ifndef AML_COMMAND_LINE_H
#define AML_COMMAND_LINE_H

#include <stddef.h>

#include "upstreams/application.h"

typedef struct {
    char *p; /* room that is left */
    size_t left;
    const char **list;
    size_t slots; /* with the one for NULL */
    int failed;   /* something did not fit; it stays so */
} aml_command_line_t;

/* Both lists empty; arguments are next. */
aml_command_line_t
aml_command_line(const char **argv, const char **envp, char *room, size_t size);

/* What is added from now on goes into `envp`. */
void aml_command_line_env(aml_command_line_t *w, const char **envp);

void aml_command_line_add(aml_command_line_t *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A string beside the lists; NULL when it does not fit. */
const char *aml_command_line_text(aml_command_line_t *w, const char *format,
                                  ...) __attribute__((format(printf, 2, 3)));

/* 0, or -1 when something did not fit. */
int aml_command_line_end(const aml_command_line_t *w);

/* Has a path of so many bytes more than the private directory's room in a
 * socket's address?  What has not would fail late, in words that nobody
 * understands. */
int aml_command_line_fits(const aml_application_vars_t *vars, size_t more);

#endif /* AML_COMMAND_LINE_H */
