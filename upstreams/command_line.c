#include "upstreams/command_line.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static const char *
write_text(aml_command_line_t *w, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));


aml_command_line_t
aml_command_line(const char **argv, const char **envp, char *room, size_t size)
{
    argv[0] = NULL;
    envp[0] = NULL;

    return (aml_command_line_t){room, size, argv, AML_APPLICATION_ARGS, 0};
}


void
aml_command_line_env(aml_command_line_t *w, const char **envp)
{
    w->list = envp;
    w->slots = AML_APPLICATION_ARGS;
}


void
aml_command_line_add(aml_command_line_t *w, const char *format, ...)
{
    va_list args;
    const char *text;

    if (w->slots < 2) {
        w->failed = 1;
        return;
    }

    va_start(args, format);
    text = write_text(w, format, args);
    va_end(args);

    if (text == NULL) {
        return;
    }

    *w->list++ = text;
    *w->list = NULL;
    w->slots--;
}


const char *
aml_command_line_text(aml_command_line_t *w, const char *format, ...)
{
    va_list args;
    const char *text;

    va_start(args, format);
    text = write_text(w, format, args);
    va_end(args);

    return text;
}


int
aml_command_line_end(const aml_command_line_t *w)
{
    return w->failed ? -1 : 0;
}


int
aml_command_line_fits(const aml_application_vars_t *vars, size_t more)
{
    return strlen(vars->runtime) + more <
           sizeof(((struct sockaddr_un *) 0)->sun_path);
}


static const char *
write_text(aml_command_line_t *w, const char *format, va_list args)
{
    int n;
    const char *text;

    if (w->failed) {
        return NULL;
    }

    n = vsnprintf(w->p, w->left, format, args);
    if (n < 0 || (size_t) n >= w->left) {
        w->failed = 1;
        return NULL;
    }

    text = w->p;
    w->p += n + 1;
    w->left -= (size_t) n + 1;

    return text;
}
