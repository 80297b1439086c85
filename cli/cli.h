/*
 * aml, the command line: what its commands share.
 *
 * A command gets a cli_t, asks for the profile and the token as it needs them,
 * prints what has come of it, and returns an exit status.  Whatever goes wrong
 * has been said on standard error when a function here returns other than 0.
 */

#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <jansson.h>

#include "cli/credentials.h"
#include "cli/http.h"
#include "cli/options.h"

#define CLI_VERSION "0.1"

#define CLI_EXIT_OK 0
#define CLI_EXIT_FAILED 1      /* refused, or anything else */
#define CLI_EXIT_USAGE 2       /* what was typed makes no sense */
#define CLI_EXIT_SIGN_IN 3     /* not signed in, or no more */
#define CLI_EXIT_NOT_FOUND 4   /* there is no such thing */
#define CLI_EXIT_UNREACHABLE 5 /* network, proxy, certificate */
#define CLI_EXIT_OUTCOME 6     /* what was waited for has failed */

typedef struct cli_s {
    cli_args_t args;
    const cli_command_t *commands;
    int json;
    int quiet; /* says nothing of what goes wrong: completion */
    CURL *curl;
    size_t received; /* bytes of answers */

    /* cli_profile_load() */
    char *profile; /* its name; NULL where it is the environment's */
    char *server;
    char *workspace; /* "/subscriptions/…", or NULL */
    char *ca;        /* or NULL */
    char *apps;      /* host and port behind "<name>.", or NULL */

    /* cli_token() */
    char *token;
} cli_t;

/* Takes the profile that is asked for: --profile, AML_PROFILE, the default.
 * AML_SERVER, AML_TOKEN, AML_WORKSPACE and AML_CA are more than what it says.
 */
int cli_profile_load(cli_t *cli);

/* The same, and the workspace must be known. */
int cli_workspace_load(cli_t *cli);

/* A token that is good for a minute at least, renewed where it has to be and
 * can be. */
int cli_token(cli_t *cli);

/* That of the profile, which has been loaded, whatever AML_TOKEN says. */
int cli_token_kept(cli_t *cli);

/* "S/G/N" or the ARM id, as a path; the caller's.  NULL where it is neither. */
char *cli_workspace_path(const char *text);

/* Is this a name that ARM ids can have in them? */
int cli_name_is_safe(const char *name);


/* ---- calls ---- */

/*
 * A call of the control API: `path` is below the server, api-version is added.
 * `body` is sent as JSON, or NULL.  GETs are tried again where the server is
 * busy.  0 where the status is 2xx; `answer` is to be cleared in any case.
 */
int cli_call(cli_t *cli, const char *method, const char *path,
             const json_t *body, cli_answer_t *answer);

/* The same with a request of one's own: url, ca and bearer are filled. */
int cli_request(cli_t *cli, const char *path, cli_request_t *request,
                cli_answer_t *answer);

/* Says what an answer of 400 or more means; an exit status. */
int cli_refused(cli_t *cli, const cli_answer_t *answer);

/* GET, parsed: `*json` is the caller's. */
int cli_get(cli_t *cli, const char *path, json_t **json);

/* The whole of a list, by its pages, at most `most` items (0: all): an array.
 */
int cli_list(cli_t *cli, const char *path, size_t most, json_t **list);

/* A string below members, "properties.properties.state"; "" where it is not. */
const char *cli_str(const json_t *json, const char *path);

/* What JSON is at a place; NULL where there is nothing. */
json_t *cli_at(const json_t *json, const char *path);

/* Prints JSON, in which nothing but ASCII is; an exit status. */
int cli_print_json(const json_t *json);

/* W/computes/NAME with `tail` behind it, the caller's; NULL after it was said
 * that the name can't be. */
char *
cli_path_of(cli_t *cli, const char *kind, const char *name, const char *tail);

/* The same of what argv[0] names, in the workspace of the profile; `*rc` is the
 * exit status where it is NULL. */
char *cli_path_named(cli_t *cli, const char *kind, const char *tail, int *rc);

/* GETs what argv[0] names and shows it, by `print` or as JSON. */
int cli_show(cli_t *cli, const char *kind, void (*print)(const json_t *json));

/* "https://<name>[-<port>].<apps>"; learns the domain where it is not known.
 * The caller's; NULL after the reason was said, `*rc` is the exit status. */
char *cli_app_origin(cli_t *cli, const char *name, unsigned port, int *rc);


/* ---- commands ---- */

int cli_login(cli_t *cli);
int cli_logout(cli_t *cli);
int cli_profiles(cli_t *cli);
int cli_status(cli_t *cli);
int cli_print_token(cli_t *cli);
int cli_instance_list(cli_t *cli);
int cli_instance_show(cli_t *cli);
int cli_instance_create(cli_t *cli);
int cli_instance_delete(cli_t *cli);
int cli_instance_start(cli_t *cli);
int cli_instance_stop(cli_t *cli);
int cli_instance_restart(cli_t *cli);
int cli_job_submit(cli_t *cli);
int cli_job_list(cli_t *cli);
int cli_job_show(cli_t *cli);
int cli_job_logs(cli_t *cli);
int cli_job_cancel(cli_t *cli);
int cli_job_delete(cli_t *cli);
int cli_service_list(cli_t *cli);
int cli_service_add(cli_t *cli);
int cli_service_remove(cli_t *cli);
int cli_service_start(cli_t *cli);
int cli_service_stop(cli_t *cli);
int cli_service_restart(cli_t *cli);
int cli_service_logs(cli_t *cli);
int cli_open(cli_t *cli);
int cli_ssh(cli_t *cli);
int cli_ssh_config(cli_t *cli);
int cli_tunnel(cli_t *cli);
int cli_completion(cli_t *cli);
int cli_complete(cli_t *cli);

/* Waits until an operation on the instance that argv[0] names is over, where
 * --no-wait is not given, and says what it is then. */
int cli_instance_wait(cli_t *cli, const char *operation);

extern const cli_command_t cli_commands[];

#endif /* CLI_CLI_H */
