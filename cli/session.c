/*
 * Which server, which workspace, and a token for it that is good.
 */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/renew.h"
#include "cli/text.h"


/* ---- which ---- */

int
cli_name_is_safe(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
                            "XYZ0123456789._-");

    return n > 0 && n <= 255 && name[n] == '\0' && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}


char *
cli_workspace_path(const char *text)
{
    static const char *const words[] = {"subscriptions", "resourceGroups",
                                        "providers", "workspaces"};
    static const char *const provider = "Microsoft.MachineLearningServices";
    char *copy = strdup(text), *part[16], *p, *save = NULL, *path = NULL;
    size_t n = 0;

    if (copy == NULL) {
        return NULL;
    }
    for (p = strtok_r(copy, "/", &save); p != NULL && n < 16;
         p = strtok_r(NULL, "/", &save)) {
        part[n++] = p;
    }

    if (n == 8 && text[0] == '/' && strcasecmp(part[0], words[0]) == 0 &&
        strcasecmp(part[2], words[1]) == 0 &&
        strcasecmp(part[4], words[2]) == 0 &&
        strcasecmp(part[5], provider) == 0 &&
        strcasecmp(part[6], words[3]) == 0) {
        part[0] = part[1];
        part[1] = part[3];
        part[2] = part[7];
        n = 3;
    }
    if (n == 3 && cli_name_is_safe(part[0]) && cli_name_is_safe(part[1]) &&
        cli_name_is_safe(part[2])) {
        path = cli_format("/subscriptions/%s/resourceGroups/%s/providers/%s/"
                          "workspaces/%s",
                          part[0], part[1], provider, part[2]);
    }
    free(copy);

    return path;
}


static char *
profile_copy(const json_t *profile, const char *member)
{
    const char *value = json_string_value(json_object_get(profile, member));

    return value != NULL && value[0] != '\0' ? strdup(value) : NULL;
}


static const char *
environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}


/* Without AML_SERVER: what the file says. */
static int
profile_read(cli_t *cli)
{
    const char *name = cli_option(&cli->args, "profile");
    cli_store_t store;
    json_t *profile;
    int rc;

    rc = cli_store_open(&store, 0);
    if (rc != 0) {
        return rc;
    }

    name = name != NULL ? name : environment("AML_PROFILE");
    name = name != NULL ? name : cli_store_default(&store);
    profile = name != NULL ? cli_store_profile(&store, name) : NULL;
    if (profile == NULL) {
        rc = name == NULL
                 ? cli_fail(CLI_EXIT_SIGN_IN,
                            "you are not signed in: aml login --server URL")
                 : cli_fail(CLI_EXIT_SIGN_IN,
                            "there is no profile \"%s\": aml login --profile "
                            "%s --server URL",
                            name, name);
        cli_store_close(&store);
        return rc;
    }

    cli->profile = strdup(name);
    cli->server = profile_copy(profile, "server");
    cli->workspace = profile_copy(profile, "workspace");
    cli->ca = profile_copy(profile, "ca");
    cli->apps = profile_copy(profile, "apps");
    cli_store_close(&store);

    return cli->profile != NULL && cli->server != NULL
               ? 0
               : cli_fail(CLI_EXIT_FAILED, "the profile has no server");
}


static int
profile_instead(char **value, const char *text)
{
    if (text != NULL) {
        free(*value);
        *value = strdup(text);
        if (*value == NULL) {
            return cli_fail(CLI_EXIT_FAILED, "no memory");
        }
    }

    return 0;
}


int
cli_profile_load(cli_t *cli)
{
    const char *workspace, *server = environment("AML_SERVER");
    int rc;

    if (cli->server != NULL) {
        return 0;
    }

    if (server != NULL && cli_option(&cli->args, "profile") == NULL) {
        cli->server = cli_http_origin(server);
        rc = cli->server != NULL
                 ? 0
                 : cli_fail(CLI_EXIT_USAGE, "AML_SERVER is no address such as "
                                            "https://aml.example.org");
    } else {
        rc = profile_read(cli);
    }
    if (rc == 0) {
        rc = profile_instead(&cli->ca, environment("AML_CA"));
    }
    if (rc != 0) {
        return rc;
    }

    workspace = cli_option(&cli->args, "workspace");
    workspace = workspace != NULL ? workspace : environment("AML_WORKSPACE");
    if (workspace != NULL) {
        free(cli->workspace);
        cli->workspace = cli_workspace_path(workspace);
        if (cli->workspace == NULL) {
            return cli_fail(CLI_EXIT_USAGE,
                            "\"%s\" is no workspace: "
                            "SUBSCRIPTION/GROUP/NAME, or its ARM id",
                            workspace);
        }
    }

    return 0;
}


int
cli_workspace_load(cli_t *cli)
{
    int rc = cli_profile_load(cli);

    if (rc == 0 && cli->workspace == NULL) {
        rc = cli_fail(CLI_EXIT_USAGE,
                      "which workspace? --workspace SUBSCRIPTION/GROUP/NAME, "
                      "here or with aml login");
    }

    return rc;
}


/* ---- the token ---- */

/* Says so, and what to do. */
static int
token_over(const cli_t *cli, const char *why)
{
    return cli->profile == NULL
               ? cli_fail(CLI_EXIT_SIGN_IN, "%s: AML_TOKEN is needed", why)
               : cli_fail(CLI_EXIT_SIGN_IN, "%s: aml login --profile %s", why,
                          cli->profile);
}


/* Asks, and keeps what comes.  The token before is used up as soon as the
 * server has it: neither a full disk nor a signal may lose the next. */
static int
token_ask(cli_t *cli, cli_store_t *store, json_t *profile, json_int_t now)
{
    static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    int good = cli_renew_is_good(profile, now), rc = CLI_EXIT_FAILED;
    sigset_t held, before;
    size_t i;

    (void) sigemptyset(&held);
    for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        (void) sigaddset(&held, ends[i]);
    }
    (void) sigprocmask(SIG_BLOCK, &held, &before);

    if (cli_store_reserve(store) != 0) {
        rc = good ? 0 : CLI_EXIT_FAILED;
    } else {
        switch (cli_renew(cli->curl, cli->ca, profile)) {
        case CLI_RENEWED:
            if (cli_store_save(store) != 0) {
                cli_note("aml: this time it works, then sign in again");
            }
            rc = 0;
            break;
        case CLI_RENEW_LATER:
            rc = good ? 0 : CLI_EXIT_UNREACHABLE;
            break;
        case CLI_RENEW_OVER:
            rc = good ? 0 : token_over(cli, "your sign-in has ended");
            break;
        }
    }
    (void) sigprocmask(SIG_SETMASK, &before, NULL);

    return rc;
}


/*
 * Under the lock, as each refresh token is good once: whoever comes second
 * finds what the first has brought.
 */
static int
token_renew(cli_t *cli, json_int_t now)
{
    cli_store_t store;
    json_t *profile;
    int rc;

    rc = cli_store_open(&store, 1);
    if (rc != 0) {
        return rc;
    }
    profile = cli_store_profile(&store, cli->profile);
    if (profile == NULL) {
        cli_store_close(&store);
        return token_over(cli, "you are not signed in");
    }

    if (cli_renew_due(profile, now)) {
        rc = token_ask(cli, &store, profile, now);
    }
    if (rc == 0) {
        cli->token = profile_copy(profile, "access_token");
    }
    cli_store_close(&store);

    return rc == 0 && cli->token == NULL
               ? token_over(cli, "you are not signed in")
               : rc;
}


int
cli_token(cli_t *cli)
{
    const char *given = environment("AML_TOKEN");
    int rc;

    if (cli->token != NULL) {
        return 0;
    }
    rc = cli_profile_load(cli);
    if (rc != 0) {
        return rc;
    }

    return given != NULL ? profile_instead(&cli->token, given)
                         : cli_token_kept(cli);
}


int
cli_token_kept(cli_t *cli)
{
    json_int_t now = (json_int_t) time(NULL);
    cli_store_t store;
    json_t *profile;
    int rc, due;

    if (cli->profile == NULL) {
        return token_over(cli, "you are not signed in");
    }

    rc = cli_store_open(&store, 0);
    if (rc != 0) {
        return rc;
    }
    profile = cli_store_profile(&store, cli->profile);
    due = cli_renew_due(profile, now);
    if (!due) {
        cli->token = profile_copy(profile, "access_token");
        if (cli->token == NULL || !cli_renew_is_good(profile, now)) {
            rc = token_over(cli, cli->token == NULL ? "you are not signed in"
                                                    : "your token has expired");
        }
    }
    cli_store_close(&store);

    return due ? token_renew(cli, now) : rc;
}
