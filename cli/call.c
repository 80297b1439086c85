/*
 * Calls of the control API, and what its answers mean.
 */

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/text.h"
#include "upstreams/host.h"

#define API_VERSION "api-version=2022-10-01"
#define CALL_ATTEMPTS 4
#define CALL_WAIT_MOST 10 /* seconds that a busy server may ask for */
#define LIST_PAGES 10000
#define LIST_MOST ((size_t) 256 * 1024 * 1024) /* bytes of a whole list */


/* ---- JSON ---- */

json_t *
cli_at(const json_t *json, const char *path)
{
    char name[64];
    size_t n;
    json_t *at = (json_t *) json;

    for (;;) {
        n = strcspn(path, ".");
        if (n >= sizeof(name)) {
            return NULL;
        }
        memcpy(name, path, n);
        name[n] = '\0';
        at = json_object_get(at, name);
        if (at == NULL || path[n] == '\0') {
            return at;
        }
        path += n + 1;
    }
}


const char *
cli_str(const json_t *json, const char *path)
{
    const char *text = json_string_value(cli_at(json, path));

    return text != NULL ? text : "";
}


int
cli_print_json(const json_t *json)
{
    char *text =
        json_dumps(json, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
    char *p;
    int rc = CLI_EXIT_OK;

    if (text == NULL) {
        return cli_fail(CLI_EXIT_FAILED, "no memory");
    }
    /* DEL is ASCII to jansson, and a control character to terminals */
    for (p = text; (p = strchr(p, 0x7f)) != NULL;) {
        *p = '?';
    }
    if (puts(text) < 0 || fflush(stdout) != 0) {
        rc = cli_fail(CLI_EXIT_FAILED, "standard output can't be written");
    }
    free(text);

    return rc;
}


/* ---- calls ---- */

static int
call_unreachable(const cli_t *cli, const cli_answer_t *answer)
{
    return cli->quiet ? CLI_EXIT_UNREACHABLE
                      : cli_fail(CLI_EXIT_UNREACHABLE, "%s", answer->error);
}


/* A blank and the code where it says more than the message. */
static int
call_say(const cli_t *cli, int status, const char *message, const char *code,
         const char *advice)
{
    if (cli->quiet) {
        return status;
    }

    return cli_fail(status, "%s%s%s%s%s%s", message, code[0] ? " (" : "", code,
                    code[0] ? ")" : "", advice[0] ? " " : "", advice);
}


int
cli_refused(cli_t *cli, const cli_answer_t *answer)
{
    json_t *json = json_loadb(answer->body, answer->n, 0, NULL);
    const char *code = cli_str(json, "error.code");
    const char *message = cli_str(json, "error.message"), *advice = "";
    char line[1024], text[64];
    int status = CLI_EXIT_FAILED;

    snprintf(text, sizeof(text), "The server answers with status %ld.",
             answer->status);
    code = code[0] != '\0' ? code : answer->reason;
    message = message[0] != '\0' ? message : text;
    snprintf(line, sizeof(line), "%.*s", (int) strcspn(message, "\n"), message);

    if (answer->status == 401) {
        status = CLI_EXIT_SIGN_IN;
        advice = getenv("AML_TOKEN") != NULL ? "Is AML_TOKEN still good?"
                                             : "Sign in anew: aml login";
    } else if (answer->status == 404) {
        status = CLI_EXIT_NOT_FOUND;
    } else if (answer->status == 429) {
        advice = "Try again later.";
    } else if (strcmp(code, "QuotaExceeded") == 0) {
        advice = "Delete an instance, take a smaller --size, or ask for more.";
    } else if (strcmp(code, "action_denied") == 0) {
        advice = "Ask whoever gives roles in this workspace.";
    }
    status = call_say(cli, status, line, code, advice);
    json_decref(json);

    return status;
}


static char *
call_url(const cli_t *cli, const char *path)
{
    return cli_format("%s%s%s%s", cli->server, path,
                      strstr(path, "api-version=") != NULL ? ""
                      : strchr(path, '?') != NULL          ? "&"
                                                           : "?",
                      strstr(path, "api-version=") != NULL ? "" : API_VERSION);
}


int
cli_request(cli_t *cli, const char *path, cli_request_t *request,
            cli_answer_t *answer)
{
    char *url;
    int rc, attempt;
    struct timespec pause = {1, 0};

    memset(answer, 0, sizeof(*answer));
    rc = cli_token(cli);
    if (rc != 0) {
        return rc;
    }
    url = call_url(cli, path);
    if (url == NULL) {
        return cli_fail(CLI_EXIT_FAILED, "no memory");
    }
    request->url = url;
    request->ca = cli->ca;
    request->bearer = cli->token;

    for (attempt = 1;; attempt++) {
        rc = cli_http(cli->curl, request, answer);
        if (rc != 0) {
            rc = call_unreachable(cli, answer);
            break;
        }
        if ((answer->status == 429 || answer->status == 503) &&
            strcmp(request->method, "GET") == 0 && !cli->quiet &&
            attempt < CALL_ATTEMPTS && answer->retry_after <= CALL_WAIT_MOST) {
            pause.tv_sec = answer->retry_after > 0 ? answer->retry_after : 1;
            cli_answer_clear(answer);
            (void) nanosleep(&pause, NULL);
            continue;
        }
        cli->received += answer->n;
        if (answer->status < 200 || answer->status > 299) {
            rc = answer->status == request->expected ? CLI_EXIT_FAILED
                                                     : cli_refused(cli, answer);
        }
        break;
    }
    free(url);
    request->url = NULL;

    return rc;
}


int
cli_call(cli_t *cli, const char *method, const char *path, const json_t *body,
         cli_answer_t *answer)
{
    cli_request_t request = {.method = method};
    char *text = NULL;
    int rc;

    if (body != NULL) {
        text = json_dumps(body, JSON_COMPACT);
        if (text == NULL) {
            memset(answer, 0, sizeof(*answer));
            return cli_fail(CLI_EXIT_FAILED, "no memory");
        }
        request.type = "application/json";
        request.body = text;
        request.body_n = strlen(text);
    } else if (strcmp(method, "POST") == 0) {
        request.type = "application/json";
        request.body = "";
    }
    rc = cli_request(cli, path, &request, answer);
    free(text);

    return rc;
}


int
cli_get(cli_t *cli, const char *path, json_t **json)
{
    cli_answer_t answer;
    int rc;

    *json = NULL;
    rc = cli_call(cli, "GET", path, NULL, &answer);
    if (rc == 0) {
        *json = json_loadb(answer.body, answer.n, 0, NULL);
        if (!json_is_object(*json)) {
            json_decref(*json);
            *json = NULL;
            rc = call_say(cli, CLI_EXIT_FAILED,
                          "The server's answer is not what was asked for.", "",
                          "");
        }
    }
    cli_answer_clear(&answer);

    return rc;
}


int
cli_list(cli_t *cli, const char *path, size_t most, json_t **list)
{
    const char *next;
    char *at = strdup(path);
    size_t before = cli->received;
    json_t *page;
    int rc = 0, pages;

    *list = json_array();
    for (pages = 0; at != NULL && pages < LIST_PAGES; pages++) {
        rc = cli_get(cli, at, &page);
        if (rc != 0) {
            break;
        }
        json_array_extend(*list, json_object_get(page, "value"));
        next = cli_str(page, "nextLink");
        free(at);
        at = NULL;
        if (next[0] != '\0' && (most == 0 || json_array_size(*list) < most)) {
            /* the token is for this server, whatever the answer says */
            next = cli_http_below(cli->server, next);
            if (next == NULL) {
                rc = call_say(cli, CLI_EXIT_FAILED,
                              "The server's list goes on at another server; "
                              "it is not asked.",
                              "", "");
            } else {
                at = strdup(next);
            }
        }
        json_decref(page);
        if (rc == 0 && at != NULL &&
            (pages + 1 == LIST_PAGES || cli->received - before > LIST_MOST)) {
            rc = call_say(cli, CLI_EXIT_FAILED, "The server's list has no end.",
                          "", "");
        }
        if (rc != 0) {
            break;
        }
    }
    free(at);

    while (most > 0 && json_array_size(*list) > most) {
        json_array_remove(*list, json_array_size(*list) - 1);
    }
    if (rc != 0) {
        json_decref(*list);
        *list = NULL;
    }

    return rc;
}


/* ---- addresses ---- */

char *
cli_path_of(cli_t *cli, const char *kind, const char *name, const char *tail)
{
    aml_name_rc_t rule;
    char *path;

    if (strcmp(kind, "computes") == 0) {
        rule = aml_instance_name_check(aml_str_of(name));
        if (rule != AML_NAME_OK) {
            (void) cli_fail(0, "\"%s\" is no instance's name: %s", name,
                            aml_instance_name_rule(rule));
            return NULL;
        }
    } else if (!cli_name_is_safe(name)) {
        (void) cli_fail(0, "\"%s\" can't be the name of one", name);
        return NULL;
    }

    path = cli_format("%s/%s/%s%s", cli->workspace, kind, name, tail);
    if (path == NULL) {
        (void) cli_fail(0, "no memory");
    }

    return path;
}


char *
cli_path_named(cli_t *cli, const char *kind, const char *tail, int *rc)
{
    char *path;

    *rc = cli_workspace_load(cli);
    if (*rc != 0) {
        return NULL;
    }
    path = cli_path_of(cli, kind, cli->args.argv[0], tail);
    *rc = path != NULL ? 0 : CLI_EXIT_USAGE;

    return path;
}


int
cli_show(cli_t *cli, const char *kind, void (*print)(const json_t *json))
{
    json_t *json;
    char *path;
    int rc;

    path = cli_path_named(cli, kind, "", &rc);
    if (path == NULL) {
        return rc;
    }
    rc = cli_get(cli, path, &json);
    free(path);
    if (rc != 0) {
        return rc;
    }

    if (cli->json) {
        rc = cli_print_json(json);
    } else {
        print(json);
    }
    json_decref(json);

    return rc;
}


/* Of "https://<name>.<apps>/…", or "<name>-<port>." as any of its addresses. */
static char *
apps_of(const json_t *compute, const char *name)
{
    const char *url;
    char *origin, *apps = NULL;
    size_t i, n;
    json_t *one;

    json_array_foreach(cli_at(compute, "properties.properties.applications"), i,
                       one)
    {
        url = cli_str(one, "endpointUri");
        n = strcspn(url, "?#");
        origin = strndup(url, n);
        if (origin != NULL && strncasecmp(origin, "https://", 8) == 0) {
            origin[8 + strcspn(origin + 8, "/")] = '\0';
            n = strlen(name);
            if (strncasecmp(origin + 8, name, n) == 0 &&
                (origin[8 + n] == '.' || origin[8 + n] == '-') &&
                strchr(origin + 8 + n, '.') != NULL) {
                apps = strdup(strchr(origin + 8 + n, '.') + 1);
            }
        }
        free(origin);
        if (apps != NULL) {
            break;
        }
    }

    return apps;
}


/* Keeps it in the profile, so that it is asked for once. */
static void
apps_keep(cli_t *cli)
{
    cli_store_t store;
    json_t *profile;

    if (cli->profile == NULL || cli_store_open(&store, 1) != 0) {
        return;
    }
    profile = cli_store_profile(&store, cli->profile);
    if (profile != NULL) {
        json_object_set_new(profile, "apps", json_string(cli->apps));
        (void) cli_store_save(&store);
    }
    cli_store_close(&store);
}


static int
apps_learn(cli_t *cli, const char *name)
{
    char *path, *origin;
    json_t *compute;
    int rc;

    rc = cli_workspace_load(cli);
    if (rc != 0) {
        return rc;
    }
    path = cli_path_of(cli, "computes", name, "");
    if (path == NULL) {
        return CLI_EXIT_USAGE;
    }
    rc = cli_get(cli, path, &compute);
    free(path);
    if (rc != 0) {
        return rc;
    }

    cli->apps = apps_of(compute, cli_str(compute, "name"));
    json_decref(compute);
    if (cli->apps != NULL) {
        origin = cli_format("https://x.%s", cli->apps);
        path = origin != NULL ? cli_http_origin(origin) : NULL;
        if (path == NULL) {
            free(cli->apps);
            cli->apps = NULL;
        }
        free(origin);
        free(path);
    }
    if (cli->apps == NULL) {
        return cli_fail(CLI_EXIT_FAILED,
                        "the server does not say where \"%s\" is reached",
                        name);
    }
    apps_keep(cli);

    return 0;
}


char *
cli_app_origin(cli_t *cli, const char *name, unsigned port, int *rc)
{
    char *origin, *p;
    aml_name_rc_t rule = aml_instance_name_check(aml_str_of(name));

    if (rule != AML_NAME_OK) {
        *rc = cli_fail(CLI_EXIT_USAGE, "\"%s\" is no instance's name: %s", name,
                       aml_instance_name_rule(rule));
        return NULL;
    }
    *rc = cli_profile_load(cli);
    if (*rc == 0 && cli->apps == NULL) {
        *rc = apps_learn(cli, name);
    }
    if (*rc != 0) {
        return NULL;
    }

    origin = port == AML_PORT_DEFAULT
                 ? cli_format("https://%s.%s", name, cli->apps)
                 : cli_format("https://%s-%u.%s", name, port, cli->apps);
    for (p = origin; p != NULL && *p != '\0'; p++) {
        if (*p >= 'A' && *p <= 'Z') {
            *p = (char) (*p + ('a' - 'A'));
        }
    }
    *rc = origin != NULL ? 0 : cli_fail(CLI_EXIT_FAILED, "no memory");

    return origin;
}
