/*
 * aml service: commands of one's own that run as long as an instance does
 * (docs/services.md).
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/job.h"
#include "cli/table.h"
#include "cli/text.h"

#define INNER "properties.properties."
#define SERVICE_ATTEMPTS 20
#define SERVICE_PAUSE 20000000L /* ns, times how often it has failed */
#define SERVICE_ETAG 128
#define SERVICE_CHANGED 412


/* The path of the instance that argv[0] names; argv[1] must be a name, too. */
static char *
service_path(cli_t *cli, const char *tail, int *rc)
{
    const char *name = cli->args.argc > 1 ? cli->args.argv[1] : NULL;

    if (name != NULL && !cli_name_is_safe(name)) {
        *rc =
            cli_fail(CLI_EXIT_USAGE, "\"%s\" can't be a service's name", name);
        return NULL;
    }

    return cli_path_named(cli, "computes", tail, rc);
}


/* A tag goes into a header, and comes from a server: printable ASCII. */
static int
service_etag_is_sound(const char *etag)
{
    size_t n = 0;

    while (etag[n] > ' ' && etag[n] < 0x7f) {
        n++;
    }

    return etag[n] == '\0' && n > 0 && n < SERVICE_ETAG;
}


/* The instance's services: `*list` is the caller's.  `etag`, where it is not
 * NULL, is what they are known by, or "". */
static int
service_get(cli_t *cli, json_t **list, char etag[SERVICE_ETAG])
{
    const char *tag;
    json_t *compute;
    char *path;
    int rc;

    *list = NULL;
    path = service_path(cli, "", &rc);
    if (path == NULL) {
        return rc;
    }
    rc = cli_get(cli, path, &compute);
    free(path);
    if (rc == 0) {
        *list = json_incref(cli_at(compute, INNER "customServices"));
        if (!json_is_array(*list)) {
            json_decref(*list);
            *list = json_array();
        }
        tag = cli_str(compute, INNER "customServicesEtag");
        if (etag != NULL) {
            snprintf(etag, SERVICE_ETAG, "%s",
                     service_etag_is_sound(tag) ? tag : "");
        }
        json_decref(compute);
    }

    return rc;
}


/* Borrowed; NULL where there is none of the name. */
static json_t *
service_find(const json_t *list, const char *name)
{
    json_t *one;
    size_t i;

    json_array_foreach(list, i, one)
    {
        if (strcmp(cli_str(one, "name"), name) == 0) {
            return one;
        }
    }

    return NULL;
}


/* ---- list ---- */

/* "6006, 8001:5000": published, and what is listened on where it differs. */
static void
service_ports(const json_t *service, char *text, size_t size)
{
    json_int_t target, published;
    size_t i, n = 0;
    json_t *one;

    text[0] = '\0';
    json_array_foreach(json_object_get(service, "endpoints"), i, one)
    {
        target = json_integer_value(json_object_get(one, "target"));
        published = json_integer_value(json_object_get(one, "published"));
        published = published != 0 ? published : target;
        if (n + 1 >= size) {
            break;
        }
        if (published == target) {
            snprintf(text + n, size - n, "%s%lld", i > 0 ? ", " : "",
                     (long long) target);
        } else {
            snprintf(text + n, size - n, "%s%lld:%lld", i > 0 ? ", " : "",
                     (long long) target, (long long) published);
        }
        n += strlen(text + n);
    }
}


int
cli_service_list(cli_t *cli)
{
    static const char *const headings[] = {"NAME", "STATE", "PORTS", "COMMAND",
                                           "MESSAGE"};
    char ports[128];
    const char *command, *message;
    cli_table_t table;
    json_t *list = NULL, *one;
    size_t i;
    int rc;

    rc = service_get(cli, &list, NULL);
    if (rc != 0) {
        return rc;
    }
    if (cli->json) {
        rc = cli_print_json(list);
        json_decref(list);
        return rc;
    }

    cli_table_begin(&table, 5, headings);
    json_array_foreach(list, i, one)
    {
        service_ports(one, ports, sizeof(ports));
        command = cli_str(one, "command");
        message = cli_str(one, "message");
        cli_table_add(&table, cli_str(one, "name"));
        cli_table_add(&table, cli_str(one, "state"));
        cli_table_add(&table, ports);
        cli_table_add(&table, command[0] != '\0'
                                  ? command
                                  : cli_str(one, "image.reference"));
        cli_table_add_n(&table, message, strcspn(message, "\n"));
    }
    rc = cli_table_end(&table, stdout, cli_table_width());
    json_decref(list);

    return rc;
}


/* ---- waiting ---- */

/* Until the service is where it was to go; an exit status. */
static int
service_wait(cli_t *cli, const char *want)
{
    struct timespec pause = {0, 300000000};
    const char *name = cli->args.argv[1], *state, *message;
    json_t *list, *one;
    int rc, over = 0;

    if (cli_option(&cli->args, "no-wait") != NULL) {
        return CLI_EXIT_OK;
    }
    for (;;) {
        rc = service_get(cli, &list, NULL);
        if (rc != 0) {
            return rc;
        }
        one = service_find(list, name);
        state = cli_str(one, "state");
        over = strcmp(state, "Running") == 0 || strcmp(state, "Stopped") == 0 ||
               strcmp(state, "Failed") == 0 || one == NULL;
        if (over) {
            break;
        }
        json_decref(list);
        (void) nanosleep(&pause, NULL);
    }

    if (strcmp(state, want) == 0) {
        if (cli->json) {
            rc = cli_print_json(one);
        } else {
            cli_note("%s is %s.", name, state);
        }
    } else {
        message = cli_str(one, "message");
        rc = cli_fail(CLI_EXIT_OUTCOME, "%s is %s%s%.*s", name,
                      one != NULL ? state : "gone",
                      message[0] != '\0' ? ": " : "",
                      (int) strcspn(message, "\n"), message);
    }
    json_decref(list);

    return rc;
}


/* ---- add, remove ---- */

/* "TARGET[:PUBLISHED]"; NULL where it is none. */
static json_t *
service_endpoint(const char *text, const char *protocol)
{
    unsigned long target, published;
    char *end;

    if (text[0] < '1' || text[0] > '9') {
        return NULL;
    }
    target = published = strtoul(text, &end, 10);
    if (*end == ':' && end[1] >= '1' && end[1] <= '9') {
        published = strtoul(end + 1, &end, 10);
    }
    if (*end != '\0' || target > 65535 || published > 65535) {
        return NULL;
    }

    return json_pack("{s:s,s:i,s:i}", "protocol", protocol, "target",
                     (int) target, "published", (int) published);
}


static int
service_endpoints(cli_t *cli, json_t *service)
{
    const char *protocol = cli_option(&cli->args, "tcp") ? "tcp" : "http";
    const char *text;
    json_t *list = json_array(), *one;
    size_t i;
    int rc = 0;

    for (i = 0;
         rc == 0 && (text = cli_option_each(&cli->args, "port", i)) != NULL;
         i++) {
        one = service_endpoint(text, protocol);
        rc =
            one != NULL && json_array_append_new(list, one) == 0
                ? 0
                : cli_fail(CLI_EXIT_USAGE,
                           "--port wants TARGET or TARGET:PUBLISHED: %s", text);
    }
    json_object_set_new(service, "endpoints", list);

    return rc;
}


static int
service_environment(cli_t *cli, json_t *service)
{
    json_t *variables = json_object();
    const char *text, *value;
    char *name;
    size_t i;
    int rc = 0;

    for (i = 0;
         rc == 0 && (text = cli_option_each(&cli->args, "env", i)) != NULL;
         i++) {
        value = strchr(text, '=');
        name = value != NULL ? strndup(text, (size_t) (value - text)) : NULL;
        if (name == NULL || name[0] == '\0') {
            rc = cli_fail(CLI_EXIT_USAGE, "--env wants NAME=VALUE: %s", text);
        } else {
            json_object_set_new(
                variables, name,
                json_pack("{s:s,s:s}", "type", "local", "value", value + 1));
        }
        free(name);
    }
    if (json_object_size(variables) > 0) {
        json_object_set(service, "environmentVariables", variables);
    }
    json_decref(variables);

    return rc;
}


/* What is asked for; NULL after the reason was said. */
static json_t *
service_made(cli_t *cli)
{
    const char *image = cli_option(&cli->args, "image");
    json_t *service;
    char *command = NULL;
    int rc = 0;

    service = json_pack("{s:s,s:b}", "name", cli->args.argv[1], "autoStart",
                        cli_option(&cli->args, "no-auto-start") == NULL);
    if (cli->args.argc > 2) {
        command = cli_job_command(cli->args.argc - 2, cli->args.argv + 2);
        if (command == NULL || json_object_set_new(service, "command",
                                                   json_string(command)) != 0) {
            rc = cli_fail(CLI_EXIT_USAGE, "the command is no UTF-8");
        }
    } else if (image == NULL) {
        rc = cli_fail(CLI_EXIT_USAGE, "what is to run? -- COMMAND, or --image");
    }
    if (image != NULL) {
        json_object_set_new(
            service, "image",
            json_pack("{s:s,s:s}", "type", "docker", "reference", image));
    }
    rc = rc ? rc : service_endpoints(cli, service);
    rc = rc ? rc : service_environment(cli, service);
    free(command);
    if (rc != 0) {
        json_decref(service);
        return NULL;
    }

    return service;
}


/*
 * Sends the list again, by names, as what is only named stays as it is: without
 * the service that argv[1] names, and with `made` where that is not NULL.
 * `*stale`: it was not sent to an end, as the list is not that of `etag` any
 * more.
 */
static int
service_send(cli_t *cli, const json_t *list, json_t *made, const char *etag,
             int *stale)
{
    cli_request_t request = {.method = "POST", .type = "application/json"};
    json_t *body = json_array(), *one;
    cli_answer_t answer = {0};
    const char *name;
    char *path, *text;
    size_t i;
    int rc;

    json_array_foreach(list, i, one)
    {
        name = cli_str(one, "name");
        if (strcmp(name, cli->args.argv[1]) != 0) {
            json_array_append_new(body, json_pack("{s:s}", "name", name));
        }
    }
    if (made != NULL) {
        json_array_append(body, made);
    }
    text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (text == NULL) {
        return cli_fail(CLI_EXIT_FAILED, "no memory");
    }

    request.body = text;
    request.body_n = strlen(text);
    if (etag[0] != '\0') {
        request.if_match = etag;
        request.expected = SERVICE_CHANGED;
    }
    path = service_path(cli, "/customServices", &rc);
    if (path != NULL) {
        rc = cli_request(cli, path, &request, &answer);
        *stale = rc != 0 && answer.status == request.expected;
        cli_answer_clear(&answer);
    }
    free(path);
    free(text);

    return rc;
}


/* Is it there, or not there, as it must be? */
static int
service_check(cli_t *cli, const json_t *list, const json_t *made)
{
    const char *name = cli->args.argv[1];
    int there = service_find(list, name) != NULL;

    if (made == NULL && !there) {
        return cli_fail(CLI_EXIT_NOT_FOUND, "%s has no service \"%s\"",
                        cli->args.argv[0], name);
    }
    if (made != NULL && there && cli_option(&cli->args, "replace") == NULL) {
        return cli_fail(CLI_EXIT_FAILED,
                        "there is a service \"%s\" already; --replace it",
                        name);
    }

    return 0;
}


/*
 * Reads the list and sends it with `made` in the place of the service that
 * argv[1] names, or without it where `made` is NULL; anew where somebody has
 * changed the list meanwhile.
 */
static int
service_change(cli_t *cli, json_t *made)
{
    char etag[SERVICE_ETAG];
    struct timespec pause = {0, 0};
    json_t *list;
    int attempt, rc, stale;

    for (attempt = 1; attempt <= SERVICE_ATTEMPTS; attempt++) {
        stale = 0;
        rc = service_get(cli, &list, etag);
        rc = rc ? rc : service_check(cli, list, made);
        rc = rc ? rc : service_send(cli, list, made, etag, &stale);
        json_decref(list);
        if (!stale) {
            return rc;
        }

        /* two that have met are not to meet again */
        pause.tv_nsec = SERVICE_PAUSE * attempt +
                        (long) getpid() % 100 * (SERVICE_PAUSE / 100);
        (void) nanosleep(&pause, NULL);
    }

    return cli_fail(CLI_EXIT_FAILED,
                    "somebody else changes the services of %s all the time; "
                    "try again",
                    cli->args.argv[0]);
}


int
cli_service_add(cli_t *cli)
{
    json_t *made;
    int rc;

    made = service_made(cli);
    if (made == NULL) {
        return CLI_EXIT_USAGE;
    }
    rc = service_change(cli, made);
    json_decref(made);

    return rc != 0 || cli_option(&cli->args, "no-auto-start") != NULL
               ? rc
               : service_wait(cli, "Running");
}


int
cli_service_remove(cli_t *cli)
{
    return service_change(cli, NULL);
}


/* ---- start, stop, restart, logs ---- */

static int
service_do(cli_t *cli, const char *verb, const char *want)
{
    cli_answer_t answer;
    char *tail, *path = NULL;
    int rc = CLI_EXIT_FAILED;

    tail = cli_format("/customServices/%s/%s", cli->args.argv[1], verb);
    if (tail != NULL) {
        path = service_path(cli, tail, &rc);
    }
    free(tail);
    if (path == NULL) {
        return rc;
    }
    rc = cli_call(cli, "POST", path, NULL, &answer);
    cli_answer_clear(&answer);
    free(path);

    return rc != 0 ? rc : service_wait(cli, want);
}


int
cli_service_start(cli_t *cli)
{
    return service_do(cli, "start", "Running");
}


int
cli_service_stop(cli_t *cli)
{
    return service_do(cli, "stop", "Stopped");
}


int
cli_service_restart(cli_t *cli)
{
    return service_do(cli, "restart", "Running");
}


int
cli_service_logs(cli_t *cli)
{
    char *tail, *path = NULL;
    int rc = CLI_EXIT_FAILED;

    tail = cli_format("/logs/service-%s", cli->args.argv[1]);
    if (tail != NULL) {
        path = service_path(cli, tail, &rc);
    }
    free(tail);
    if (path == NULL) {
        return rc;
    }
    rc = cli_print_text(cli, path, NULL);
    free(path);

    return rc;
}
