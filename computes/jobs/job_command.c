#include "computes/jobs/job_command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "computes/instances/computes.h"
#include "computes/jobs/job.h"
#include "computes/time/duration.h"

#define JOB_IMAGE "image:"
#define JOB_MARK "AML_COMMAND"

#define JOB_BASH "/bin/bash"

/* bash where there is one; it need not be looked for on this machine.  The
 * command is what it reads: as an argument everybody could see it. */
static const char job_shell[] = "exec \"$(command -v bash || echo sh)\" "
                                "-c \"$0\"";

/* A shell that waits for a command hears of SIGTERM when that has ended; it
 * must not go on to the next then. */
#define JOB_GO                                                                 \
    "exec </dev/null\n"                                                        \
    "trap 'exit 143' TERM\n"                                                   \
    "eval \"unset aml\n$aml\"\n"

static const char job_body[] = "aml=$(cat)\n" JOB_GO;
static const char job_bash[] = "IFS= read -r -d '' aml\n" JOB_GO;

static char *job_text(const json_t *requested);
static int job_is_name(const char *name);
static size_t job_quoted(char *to, const char *text);
static int
job_variable(amld_job_command_t *job, size_t *used, size_t *count,
             const char *format, ...) __attribute__((format(printf, 4, 5)));


int
amld_job_command(const amld_config_t *c, const json_t *doc,
                 const amld_engine_inside_t *inside, int here,
                 amld_job_command_t *job)
{
    char folder[2 * PATH_MAX], *slash;
    size_t count, used;
    const char *program, *timeout, *where;
    const json_t *requested, *value;

    memset(job, 0, offsetof(amld_job_command_t, directory));
    job->bin[0] = '\0';
    job->image = NULL;
    job->timeout = 0;
    requested = json_object_get(doc, "requested");

    job->argv[0] = "/bin/sh";
    job->argv[1] = "-c";
    job->argv[2] = job_shell;
    job->argv[3] = job_body;

    if (here && access(JOB_BASH, X_OK) == 0) {
        job->argv[0] = JOB_BASH;
        job->argv[2] = job_bash;
        job->argv[3] = NULL;
    }

    /* `python` is the one that the notebooks have. */
    program = amld_compute_program(c, aml_application_by_port(8888));
    if (program != NULL) {
        snprintf(job->bin, sizeof(job->bin), "%s", program);
        slash = strrchr(job->bin, '/');
        job->bin[slash != NULL ? (size_t) (slash - job->bin) : 0] = '\0';
    }

    where = amld_compute_str(requested, "environmentId");
    if (strncmp(where, JOB_IMAGE, sizeof(JOB_IMAGE) - 1) == 0) {
        job->image = where + sizeof(JOB_IMAGE) - 1;
    }

    timeout = amld_compute_str(json_object_get(requested, "limits"), "timeout");
    if (timeout[0] != '\0' && amld_duration_read(timeout, &job->timeout) != 0) {
        job->timeout = 0;
    }

    if ((size_t) snprintf(folder, sizeof(folder), "%s/%s", inside->share,
                          amld_compute_str(doc, "folder")) >= sizeof(folder)) {
        return -1;
    }

    /* Below the share, as it was asked for; its own else. */
    value = json_object_get(requested, "workingDirectory");
    if ((size_t) snprintf(
            job->directory, sizeof(job->directory), "%s/%s", inside->share,
            json_is_string(value)
                ? json_string_value(value)
                : amld_compute_str(doc, "folder")) >= sizeof(job->directory)) {
        return -1;
    }

    count = 0;
    used = 0;
    if (job_variable(job, &used, &count, "AML_JOB_ID=%s",
                     amld_compute_str(doc, "name")) != 0 ||
        job_variable(job, &used, &count, "AML_JOB_DIR=%s", folder) != 0 ||
        job_variable(job, &used, &count, "AML_SHARE=%s", inside->share) != 0 ||
        job_variable(job, &used, &count, "AZUREML_RUN_ID=%s",
                     amld_compute_str(doc, "name")) != 0) {
        return -1;
    }

    job->text = job_text(requested);

    return job->text != NULL ? 0 : -1;
}


void
amld_job_command_free(amld_job_command_t *job)
{
    free(job->text);
    job->text = NULL;
}


/* "export NAME='value'" for each variable, and the command. */
static char *
job_text(const json_t *requested)
{
    char *text;
    size_t n;
    json_t *value;
    const char *command, *name;
    json_t *variables;

    command = amld_compute_str(requested, "command");
    variables = json_object_get(requested, "environmentVariables");

    n = strlen(command) + 2;
    json_object_foreach(variables, name, value)
    {
        if (json_is_string(value) && job_is_name(name)) {
            n += strlen(name) + 16 + 4 * json_string_length(value);
        }
    }

    text = malloc(n);
    if (text == NULL) {
        return NULL;
    }

    n = 0;
    json_object_foreach(variables, name, value)
    {
        if (json_is_string(value) && job_is_name(name)) {
            n += (size_t) sprintf(text + n, "export %s=", name);
            n += job_quoted(text + n, json_string_value(value));
            text[n++] = '\n';
        }
    }
    strcpy(text + n, command);

    return text;
}


static int
job_is_name(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz_0123456789";

    return name[0] != '\0' && strspn(name, letters) == strlen(name) &&
           strchr("0123456789", name[0]) == NULL && strcmp(name, JOB_MARK) != 0;
}


static size_t
job_quoted(char *to, const char *text)
{
    char *p = to;

    *p++ = '\'';
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            memcpy(p, "'\\''", 4);
            p += 4;
        } else {
            *p++ = *text;
        }
    }
    *p++ = '\'';

    return (size_t) (p - to);
}


static int
job_variable(amld_job_command_t *job, size_t *used, size_t *count,
             const char *format, ...)
{
    int n;
    size_t left;
    va_list args;

    left = sizeof(job->room) - *used;

    va_start(args, format);
    n = vsnprintf(job->room + *used, left, format, args);
    va_end(args);

    if (n < 0 || (size_t) n >= left || *count + 1 >= AMLD_JOB_ENV) {
        return -1;
    }

    job->envp[(*count)++] = job->room + *used;
    job->envp[*count] = NULL;
    *used += (size_t) n + 1;

    return 0;
}
