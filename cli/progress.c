/*
 * Waiting for what an instance is about to become.
 */

#include "cli/progress.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/sse.h"
#include "cli/text.h"

typedef struct {
    cli_t *cli;
    cli_sse_t sse;
    int shown;      /* a line without an end is on the terminal */
    char last[128]; /* the step that was told last, "name/began" */
} progress_t;


/* ---- what is shown ---- */

static void
progress_wipe(progress_t *p)
{
    if (p->shown) {
        (void) fputs("\r\x1b[K", stderr);
        p->shown = 0;
    }
}


static void
progress_step(progress_t *p, const json_t *step)
{
    const char *outcome = cli_str(step, "outcome");
    const char *title = cli_str(step, "title");
    json_t *took = json_object_get(step, "took");
    char key[128];

    if (p->cli->json) {
        return;
    }
    title = title[0] != '\0' ? title : cli_str(step, "name");

    if (strcmp(outcome, "Running") == 0) {
        if (isatty(STDERR_FILENO)) {
            progress_wipe(p);
            cli_text_write(stderr, title, strnlen(title, 70), 0);
            (void) fputs(" ...", stderr);
            p->shown = 1;
        }
        return;
    }

    /* a stream that is opened again tells of all of them again */
    snprintf(key, sizeof(key), "%.40s/%.40s", cli_str(step, "name"),
             cli_str(step, "began"));
    if (strcmp(key, p->last) == 0) {
        return;
    }
    memcpy(p->last, key, sizeof(key));

    progress_wipe(p);
    if (strcmp(outcome, "Succeeded") == 0) {
        cli_note("%s: %.1f s", title, json_number_value(took) / 1000);
    } else {
        cli_note("%s: %s", title, outcome);
    }
}


static int
progress_event(void *context, const char *event, const char *data, size_t n)
{
    progress_t *p = context;
    json_t *json = json_loadb(data, n, 0, NULL);
    int over = 0;

    if (strcmp(event, "step") == 0) {
        progress_step(p, json);
    } else if (strcmp(event, "state") == 0) {
        over = json_is_true(json_object_get(json, "settled"));
    }
    json_decref(json);

    return over;
}


static int
progress_data(void *context, const char *data, size_t n)
{
    return cli_sse_feed(&((progress_t *) context)->sse, data, n);
}


void
cli_progress_errors(const json_t *compute)
{
    const char *message, *end;
    json_t *error;
    size_t i;

    json_array_foreach(cli_at(compute, "properties.properties.errors"), i,
                       error)
    {
        message = cli_str(error, "error.message");
        end = strchr(message, '\n');
        (void) cli_fail(0, "%s: %.*s", cli_str(error, "error.code"),
                        end ? (int) (end - message) : (int) strlen(message),
                        message);
        if (end != NULL) {
            cli_text_write(stderr, end + 1, strlen(end + 1), 1);
            (void) fputc('\n', stderr);
        }
    }
}


/* ---- waiting ---- */

/* One stream, to its end or ours; what it can't be is no matter: the state is
 * asked for afterwards. */
static void
progress_follow(progress_t *p, const char *path)
{
    cli_answer_t answer;
    cli_request_t request = {.method = "GET",
                             .accept = "text/event-stream",
                             .timeout = -1,
                             .data = progress_data,
                             .context = p};

    p->cli->quiet++;
    memset(&p->sse, 0, sizeof(p->sse));
    p->sse.event = progress_event;
    p->sse.context = p;
    (void) cli_request(p->cli, path, &request, &answer);
    cli_answer_clear(&answer);
    cli_sse_clear(&p->sse);
    p->cli->quiet--;
    progress_wipe(p);
}


/* -1: not over yet; otherwise an exit status. */
static int
progress_outcome(const char *name, const char *operation, const json_t *compute)
{
    const char *status, *last;

    last =
        cli_str(compute, "properties.properties.lastOperation.operationName");
    status =
        cli_str(compute, "properties.properties.lastOperation.operationStatus");

    if (strcmp(status, "InProgress") == 0) {
        return -1;
    }
    if (strcmp(last, operation) != 0) {
        return cli_fail(CLI_EXIT_OUTCOME,
                        "%s: another operation took its place: %s, which is "
                        "%s; the instance is %s",
                        name, last, status,
                        cli_str(compute, "properties.properties.state"));
    }
    if (strcmp(status, "Succeeded") == 0) {
        return CLI_EXIT_OK;
    }
    cli_progress_errors(compute);

    return cli_fail(CLI_EXIT_OUTCOME, "%s: %s has failed; the instance is %s",
                    name, operation,
                    cli_str(compute, "properties.properties.state"));
}


int
cli_progress(cli_t *cli, const char *name, const char *operation,
             json_t **compute)
{
    progress_t p = {.cli = cli};
    struct timespec pause = {0, 500000000};
    char *path, *events;
    int rc = -1, deletes = strcmp(operation, "Delete") == 0;

    *compute = NULL;
    path = cli_path_of(cli, "computes", name, "");
    events = cli_path_of(cli, "computes", name, "/events");
    if (path == NULL || events == NULL) {
        free(path);
        free(events);
        return CLI_EXIT_USAGE;
    }

    while (rc == -1) {
        progress_follow(&p, events);
        /* the token of a long wait may have to be renewed */
        free(cli->token);
        cli->token = NULL;

        cli->quiet += deletes;
        rc = cli_get(cli, path, compute);
        cli->quiet -= deletes;

        if (deletes && rc == CLI_EXIT_NOT_FOUND) {
            rc = CLI_EXIT_OK;
        } else if (rc == 0) {
            rc = progress_outcome(name, operation, *compute);
        } else if (deletes && rc == CLI_EXIT_UNREACHABLE) {
            rc = cli_fail(rc, "the server can't be reached");
        }
        if (rc == -1) {
            json_decref(*compute);
            *compute = NULL;
            (void) nanosleep(&pause, NULL);
        }
    }
    free(path);
    free(events);

    return rc;
}
