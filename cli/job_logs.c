/*
 * aml job logs: what a job has written, once or as it is written.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/job.h"
#include "cli/sse.h"
#include "cli/text.h"

#define LOGS_AGAIN 5 /* streams in a row that say nothing new */

typedef struct {
    cli_sse_t sse;
    FILE *out;       /* or NULL */
    int over;        /* the job has ended */
    size_t heard;    /* events */
    char status[32]; /* what it has come to */
    char message[512];
} logs_t;


static int
logs_event(void *context, const char *event, const char *data, size_t n)
{
    logs_t *l = context;
    json_t *json;

    l->heard++;
    if (strcmp(event, "log") == 0 && l->out != NULL) {
        cli_text_write(l->out, data, n, 1);
        (void) fputc('\n', l->out);
        (void) fflush(l->out);
        return ferror(l->out);
    }
    if (strcmp(event, "end") == 0) {
        json = json_loadb(data, n, 0, NULL);
        snprintf(l->status, sizeof(l->status), "%s", cli_str(json, "status"));
        snprintf(l->message, sizeof(l->message), "%s",
                 cli_str(json, "message"));
        json_decref(json);
        l->over = 1;
        return 1;
    }

    return 0;
}


static int
logs_data(void *context, const char *data, size_t n)
{
    return cli_sse_feed(&((logs_t *) context)->sse, data, n);
}


/* One stream; goes on where the last was cut off. */
static int
logs_stream(cli_t *cli, const char *path, logs_t *l)
{
    cli_answer_t answer;
    cli_request_t request = {.method = "GET",
                             .accept = "text/event-stream",
                             .timeout = -1,
                             .data = logs_data,
                             .context = l};
    char *from;
    int rc;

    from = cli_format("%s%s%s", path, l->sse.id[0] != '\0' ? "?offset=" : "",
                      l->sse.id);
    if (from == NULL) {
        return cli_fail(CLI_EXIT_FAILED, "no memory");
    }
    rc = cli_request(cli, from, &request, &answer);
    cli_answer_clear(&answer);
    cli_sse_again(&l->sse);
    free(from);

    return rc;
}


static int
logs_outcome(cli_t *cli, const char *name, const logs_t *l)
{
    char *path;
    json_t *job;
    int rc = 0;

    if (cli->json) {
        path = cli_path_of(cli, "jobs", name, "");
        rc = path != NULL ? cli_get(cli, path, &job) : CLI_EXIT_USAGE;
        free(path);
        if (rc == 0) {
            rc = cli_print_json(job);
            json_decref(job);
        }
    }
    if (rc != 0 || strcmp(l->status, "Completed") == 0) {
        return rc;
    }

    return cli_fail(CLI_EXIT_OUTCOME, "%s is %s%s%.*s", name, l->status,
                    l->message[0] != '\0' ? ": " : "",
                    (int) strcspn(l->message, "\n"), l->message);
}


int
cli_job_follow(cli_t *cli, const char *name, FILE *out)
{
    struct timespec pause = {1, 0};
    logs_t *l = calloc(1, sizeof(*l));
    char *path = cli_path_of(cli, "jobs", name, "/logs");
    size_t heard;
    int rc = 0, silent = 0;

    if (l == NULL || path == NULL) {
        free(l);
        free(path);
        return CLI_EXIT_USAGE;
    }
    l->out = out;
    l->sse.event = logs_event;
    l->sse.context = l;

    while (rc == 0 && !l->over && silent < LOGS_AGAIN) {
        heard = l->heard;
        rc = logs_stream(cli, path, l);
        if (out != NULL && ferror(out)) {
            rc = CLI_EXIT_OK;
            break;
        }
        if (l->sse.stopped < 0) {
            rc = cli_fail(CLI_EXIT_FAILED, "a line of the log is too long");
        } else if (!l->over &&
                   (rc == 0 || (rc == CLI_EXIT_UNREACHABLE && l->heard > 0))) {
            /* cut off: amld was restarted, or the network was gone */
            silent = l->heard > heard ? 0 : silent + 1;
            rc = silent < LOGS_AGAIN ? 0 : rc;
            free(cli->token);
            cli->token = NULL;
            (void) nanosleep(&pause, NULL);
        }
    }
    if (rc == 0 && l->over) {
        rc = logs_outcome(cli, name, l);
    } else if (rc == 0 && silent >= LOGS_AGAIN) {
        rc = cli_fail(CLI_EXIT_UNREACHABLE, "the log's stream was cut off");
    }
    cli_sse_clear(&l->sse);
    free(l);
    free(path);

    return rc;
}


/* ---- once ---- */

/* To a terminal without control characters; else as it is. */
static int
logs_plain(void *context, const char *data, size_t n)
{
    FILE *out = context;

    if (isatty(STDOUT_FILENO)) {
        cli_text_write(out, data, n, 1);
    } else {
        (void) fwrite(data, 1, n, out);
    }

    return ferror(out);
}


int
cli_print_text(cli_t *cli, const char *path, const char *range)
{
    cli_answer_t answer;
    cli_request_t request = {.method = "GET",
                             .accept = "text/plain",
                             .range = range,
                             .timeout = -1,
                             .data = logs_plain,
                             .context = stdout};
    int rc;

    cli->quiet += range != NULL;
    rc = cli_request(cli, path, &request, &answer);
    cli->quiet -= range != NULL;
    if (range != NULL && rc != 0) {
        /* an empty text has no end of it */
        rc = answer.status == 0     ? rc
             : answer.status == 416 ? 0
                                    : cli_refused(cli, &answer);
    }
    cli_answer_clear(&answer);

    return rc != 0 || fflush(stdout) == 0
               ? rc
               : cli_fail(CLI_EXIT_FAILED, "standard output can't be written");
}


static int
logs_once(cli_t *cli)
{
    const char *tail = cli_option(&cli->args, "tail");
    char range[64], *path;
    int rc;

    if (tail != NULL) {
        if (tail[0] == '\0' || tail[strspn(tail, "0123456789")] != '\0' ||
            strlen(tail) > 15) {
            return cli_fail(CLI_EXIT_USAGE, "--tail wants a number of bytes");
        }
        snprintf(range, sizeof(range), "bytes=-%s", tail);
    }
    path = cli_path_named(cli, "jobs", "/logs", &rc);
    if (path == NULL) {
        return rc;
    }
    rc = cli_print_text(cli, path, tail != NULL ? range : NULL);
    free(path);

    return rc;
}


int
cli_job_logs(cli_t *cli)
{
    int rc;

    if (cli_option(&cli->args, "follow") == NULL) {
        return logs_once(cli);
    }
    rc = cli_workspace_load(cli);

    return rc != 0 ? rc : cli_job_follow(cli, cli->args.argv[0], stdout);
}
