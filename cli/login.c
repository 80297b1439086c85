/*
 * Signing in and out: by a code that is approved in a browser (RFC 8628), by a
 * local account, or with a personal access token.
 */

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/renew.h"
#include "cli/text.h"

#define FORM "application/x-www-form-urlencoded"
#define SECRET_MOST 4096
#define CLIENT_MOST 63

typedef struct {
    cli_t *cli;
    char *server;
    char ca[PATH_MAX]; /* empty: the system's */
    char *workspace;
    char client[CLIENT_MOST + 1];
    json_t *profile; /* as it will be kept */
} login_t;


static const char *
login_ca(const login_t *l)
{
    return l->ca[0] != '\0' ? l->ca : NULL;
}


/* ---- what is asked ---- */

static const int login_signals[] = {SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
#define LOGIN_SIGNALS (sizeof(login_signals) / sizeof(login_signals[0]))

static struct termios login_before, login_quiet;


/* Whoever gives up, or does something else first, finds the terminal as it
 * was. */
static void
login_on_signal(int number)
{
    sigset_t this;

    (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &login_before);
    (void) signal(number, SIG_DFL);
    (void) sigemptyset(&this);
    (void) sigaddset(&this, number);
    (void) sigprocmask(SIG_UNBLOCK, &this, NULL);
    (void) raise(number);

    /* stopped, and now in the foreground again */
    (void) signal(number, login_on_signal);
    (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &login_quiet);
}


static void
login_signals_to(void (*handler)(int))
{
    size_t i;

    for (i = 0; i < LOGIN_SIGNALS; i++) {
        (void) signal(login_signals[i], handler);
    }
}


/* A line without echo where there is a terminal, of standard input where not;
 * ended by NUL.  0, or -1. */
static int
login_secret(const char *prompt, char *secret, size_t size)
{
    int terminal =
        isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &login_before) == 0;
    ssize_t n;
    size_t have = 0;

    if (terminal) {
        login_quiet = login_before;
        login_quiet.c_lflag &= ~(tcflag_t) ECHO;
        login_signals_to(login_on_signal);
        (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &login_quiet);
        (void) fputs(prompt, stderr);
        (void) fflush(stderr);
    }
    for (;;) {
        n = read(STDIN_FILENO, secret + have, 1);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0 || secret[have] == '\n') {
            break;
        }
        if (++have == size - 1) {
            break;
        }
    }
    secret[have] = '\0';
    if (terminal) {
        (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &login_before);
        login_signals_to(SIG_DFL);
        (void) fputc('\n', stderr);
    }
    if (have > 0 && secret[have - 1] == '\r') {
        secret[have - 1] = '\0';
    }

    return secret[0] != '\0' ? 0 : -1;
}


static int
login_unexpected(const cli_answer_t *answer)
{
    return answer->status == 0
               ? cli_fail(CLI_EXIT_UNREACHABLE, "%s", answer->error)
               : cli_fail(CLI_EXIT_FAILED,
                          "this is no AML Gateway: it answers with status %ld",
                          answer->status);
}


/* ---- by an account ---- */

static int
login_account(login_t *l, const char *account)
{
    char secret[SECRET_MOST], *url, *prompt, *client, *form;
    cli_answer_t answer = {0};
    json_t *json = NULL;
    long status;
    int rc;

    prompt = cli_format("Password of %s: ", account);
    url = cli_format("%s/auth/token", l->server);
    client = cli_form_escape(l->client);
    form = client != NULL ? cli_format("client_id=%s", client) : NULL;
    free(client);
    if (url == NULL || prompt == NULL || form == NULL ||
        strchr(account, ':') != NULL ||
        login_secret(prompt, secret, sizeof(secret)) != 0) {
        free(url);
        free(prompt);
        free(form);
        return cli_fail(CLI_EXIT_USAGE, "a name and a password are needed");
    }

    status = cli_token_ask(l->cli->curl,
                           &(cli_request_t){.method = "POST",
                                            .url = url,
                                            .ca = login_ca(l),
                                            .user = account,
                                            .password = secret,
                                            .type = FORM,
                                            .body = form,
                                            .body_n = strlen(form)},
                           &answer, &json);
    explicit_bzero(secret, sizeof(secret));

    if (status == 200 &&
        cli_renew_keep(l->profile, json, (json_int_t) time(NULL)) == 0) {
        rc = 0;
    } else if (status == 401) {
        rc = cli_fail(CLI_EXIT_SIGN_IN, "the name or the password is wrong");
    } else if (status == 429) {
        rc = cli_fail(CLI_EXIT_SIGN_IN,
                      "too many wrong passwords: try again in %ld seconds",
                      answer.retry_after);
    } else {
        rc = json_object_get(json, "error") != NULL
                 ? cli_refused(l->cli, &answer)
                 : login_unexpected(&answer);
    }
    json_object_set_new(l->profile, "account", json_string(account));
    cli_profile_cleanse(json);
    json_decref(json);
    cli_answer_clear(&answer);
    free(url);
    free(prompt);
    free(form);

    return rc;
}


/* ---- by a code ---- */

/* Asks until somebody has answered; an exit status. */
static int
login_poll(login_t *l, const char *code, json_int_t interval,
           json_int_t seconds)
{
    struct timespec pause = {0, 0};
    time_t until = time(NULL) + (time_t) seconds;
    char *url, *form, *escaped, *client;
    const char *error;
    cli_answer_t answer;
    json_t *json;
    long status;
    int rc = -1;

    url = cli_format("%s/auth/token", l->server);
    escaped = cli_form_escape(code);
    client = cli_form_escape(l->client);
    form = escaped != NULL && client != NULL
               ? cli_format("grant_type=urn:ietf:params:oauth:grant-type:"
                            "device_code&client_id=%s&device_code=%s",
                            client, escaped)
               : NULL;
    if (url == NULL || form == NULL) {
        rc = cli_fail(CLI_EXIT_FAILED, "no memory");
    }

    while (rc == -1 && form != NULL) {
        pause.tv_sec = (time_t) interval;
        (void) nanosleep(&pause, NULL);

        status = cli_token_ask(l->cli->curl,
                               &(cli_request_t){.method = "POST",
                                                .url = url,
                                                .ca = login_ca(l),
                                                .type = FORM,
                                                .body = form,
                                                .body_n = strlen(form)},
                               &answer, &json);
        error = cli_str(json, "error");
        if (status == 200 &&
            cli_renew_keep(l->profile, json, (json_int_t) time(NULL)) == 0) {
            rc = 0;
        } else if (strcmp(error, "slow_down") == 0) {
            interval += 5;
        } else if (strcmp(error, "access_denied") == 0) {
            rc = cli_fail(CLI_EXIT_SIGN_IN, "it was denied");
        } else if (strcmp(error, "expired_token") == 0 || time(NULL) > until) {
            rc = cli_fail(CLI_EXIT_SIGN_IN,
                          "nobody has approved it in time: begin again");
        } else if (status != 0 && status < 500 && status != 429 &&
                   strcmp(error, "authorization_pending") != 0) {
            rc = cli_fail(CLI_EXIT_FAILED, "the server says: %s",
                          error[0] != '\0' ? error : "nothing of use");
        }
        /* what can't be reached for a moment is asked again */
        cli_profile_cleanse(json);
        json_decref(json);
        cli_answer_clear(&answer);
    }
    free(url);
    free(form);
    free(escaped);
    free(client);

    return rc;
}


static int
login_device(login_t *l)
{
    char *url = NULL, *client = NULL, *form = NULL;
    cli_answer_t answer = {0};
    json_t *json = NULL;
    json_int_t interval, seconds;
    long status = 0;
    int rc;

    url = cli_format("%s/auth/device", l->server);
    client = cli_form_escape(l->client);
    form = client != NULL ? cli_format("client_id=%s", client) : NULL;
    if (url != NULL && form != NULL) {
        status = cli_token_ask(l->cli->curl,
                               &(cli_request_t){.method = "POST",
                                                .url = url,
                                                .ca = login_ca(l),
                                                .type = FORM,
                                                .body = form,
                                                .body_n = strlen(form)},
                               &answer, &json);
    }

    interval = json_integer_value(json_object_get(json, "interval"));
    seconds = json_integer_value(json_object_get(json, "expires_in"));
    if (status == 200 && cli_str(json, "device_code")[0] != '\0' &&
        cli_str(json, "user_code")[0] != '\0') {
        cli_note("Open %s", cli_str(json, "verification_uri"));
        cli_note("and enter the code %s", cli_str(json, "user_code"));
        cli_note("or open %s", cli_str(json, "verification_uri_complete"));
        cli_note("It asks as \"%s\".", l->client);
        rc = login_poll(l, cli_str(json, "device_code"),
                        interval > 0 && interval <= 60 ? interval : 5,
                        seconds > 0 && seconds <= 3600 ? seconds : 900);
    } else if (status == 429) {
        rc = cli_fail(CLI_EXIT_SIGN_IN,
                      "too many codes were asked for: try again later");
    } else {
        rc = login_unexpected(&answer);
    }
    json_decref(json);
    cli_answer_clear(&answer);
    free(url);
    free(client);
    free(form);

    return rc;
}


static int
login_personal(login_t *l)
{
    char secret[SECRET_MOST];

    if (login_secret("Token: ", secret, sizeof(secret)) != 0) {
        return cli_fail(CLI_EXIT_USAGE, "no token was given");
    }
    json_object_set_new(l->profile, "access_token", json_string(secret));
    json_object_set_new(l->profile, "expires", json_integer(0));
    explicit_bzero(secret, sizeof(secret));

    return 0;
}


/* ---- what is kept ---- */

static int
login_keep(login_t *l, const char *name)
{
    static const char *const kept[] = {"workspace", "ca", "apps"};
    const char *before;
    cli_store_t store;
    json_t *old;
    size_t i;
    int rc;

    rc = cli_store_open(&store, 1);
    if (rc != 0) {
        return rc;
    }
    old = cli_store_profile(&store, name);
    before = json_string_value(json_object_get(old, "server"));
    for (i = 0; i < 3 && before != NULL && strcmp(before, l->server) == 0;
         i++) {
        if (json_object_get(l->profile, kept[i]) == NULL) {
            json_object_set(l->profile, kept[i], json_object_get(old, kept[i]));
        }
    }
    json_object_set(json_object_get(store.root, "profiles"), name, l->profile);
    if (cli_store_default(&store) == NULL ||
        cli_option(&l->cli->args, "profile") == NULL) {
        json_object_set_new(store.root, "default", json_string(name));
    }
    rc = cli_store_save(&store);
    cli_store_close(&store);

    return rc;
}


/* "aml on box": what is shown to whoever approves it. */
static void
login_client(login_t *l)
{
    char host[HOST_NAME_MAX + 1] = "";
    size_t i;

    (void) gethostname(host, sizeof(host) - 1);
    snprintf(l->client, sizeof(l->client), "aml on %.48s", host);
    for (i = 0; l->client[i] != '\0'; i++) {
        if (l->client[i] < ' ' || l->client[i] > '~') {
            l->client[i] = '?';
        }
    }
}


/* What was said, else what the profile has, as one may sign in anew. */
static int
login_where(login_t *l, const char *name)
{
    const char *server = cli_option(&l->cli->args, "server");
    const char *ca = cli_option(&l->cli->args, "ca");
    const char *workspace = cli_option(&l->cli->args, "workspace");
    cli_store_t store;
    json_t *old;
    int rc;

    rc = cli_store_open(&store, 0);
    if (rc != 0) {
        return rc;
    }
    old = cli_store_profile(&store, name);
    server = server != NULL ? server : cli_str(old, "server");
    if (server[0] == '\0') {
        cli_store_close(&store);
        return cli_fail(CLI_EXIT_USAGE, "which server? --server URL");
    }
    l->server = cli_http_origin(server);
    if (l->server == NULL) {
        rc = cli_fail(CLI_EXIT_USAGE,
                      "\"%s\" is no address such as https://aml.example.org",
                      server);
    }

    if (ca == NULL && l->server != NULL &&
        strcmp(l->server, cli_str(old, "server")) == 0 &&
        cli_str(old, "ca")[0] != '\0') {
        ca = cli_str(old, "ca");
    }
    if (rc == 0 && ca != NULL && realpath(ca, l->ca) == NULL) {
        rc = cli_fail(CLI_EXIT_USAGE, "%s: %s", ca, strerror(errno));
    }
    if (rc == 0 && workspace != NULL) {
        l->workspace = cli_workspace_path(workspace);
        if (l->workspace == NULL) {
            rc = cli_fail(CLI_EXIT_USAGE,
                          "\"%s\" is no workspace: SUBSCRIPTION/GROUP/NAME, or "
                          "its ARM id",
                          workspace);
        }
    }
    cli_store_close(&store);

    return rc;
}


int
cli_login(cli_t *cli)
{
    const cli_args_t *args = &cli->args;
    const char *name = cli_option(args, "profile");
    const char *account = cli_option(args, "account");
    int token = cli_option(args, "token-stdin") != NULL, rc;
    login_t l = {.cli = cli};

    name = name != NULL ? name : getenv("AML_PROFILE");
    name = name != NULL && name[0] != '\0' ? name : "default";
    if (!cli_profile_name(name)) {
        return cli_fail(CLI_EXIT_USAGE, "\"%s\" can't be a profile's name",
                        name);
    }
    if (account != NULL && token) {
        return cli_fail(CLI_EXIT_USAGE, "--account or --token-stdin, not both");
    }

    login_client(&l);
    rc = login_where(&l, name);
    if (rc == 0) {
        l.profile = json_pack("{s:s,s:s*,s:s*,s:s,s:s}", "server", l.server,
                              "workspace", l.workspace, "ca", l.ca, "client",
                              l.client, "kind",
                              account != NULL ? "account"
                              : token         ? "token"
                                              : "device");
        rc = l.profile == NULL ? cli_fail(CLI_EXIT_FAILED, "no memory")
             : account != NULL ? login_account(&l, account)
             : token           ? login_personal(&l)
                               : login_device(&l);
    }
    if (rc == 0) {
        rc = login_keep(&l, name);
    }
    if (rc == 0) {
        cli_note("Signed in at %s as profile \"%s\".", l.server, name);
    }
    cli_profile_cleanse(l.profile);
    json_decref(l.profile);
    free(l.server);
    free(l.workspace);

    return rc;
}


/* The sign-in that the profile's token is of; the caller's, NULL where the
 * server knows none, or where it can't be asked: `*rc` is why. */
static char *
logout_which(cli_t *cli, int *rc)
{
    json_t *json, *one;
    char *path = NULL;
    const char *id;
    size_t i;

    *rc = cli_token_kept(cli);
    if (*rc == 0) {
        *rc = cli_get(cli, "/auth/sessions", &json);
    }
    if (*rc != 0) {
        return NULL;
    }

    json_array_foreach(json_object_get(json, "value"), i, one)
    {
        id = cli_str(one, "id");
        if (path == NULL && json_is_true(json_object_get(one, "current")) &&
            cli_name_is_safe(id)) {
            path = cli_format("/auth/sessions/%s", id);
        }
    }
    json_decref(json);

    return path;
}


/* Ends it; that the server can't be reached keeps nobody from forgetting it
 * here.  1 where nothing is left of it at the server. */
static int
logout_there(cli_t *cli)
{
    cli_answer_t answer;
    char *path;
    int rc;

    cli->quiet++;
    path = logout_which(cli, &rc);
    if (path != NULL) {
        rc = cli_call(cli, "DELETE", path, NULL, &answer);
        cli_answer_clear(&answer);
    }
    cli->quiet--;

    rc = rc == CLI_EXIT_SIGN_IN || (path != NULL && rc == 0);
    free(path);

    return rc;
}


int
cli_logout(cli_t *cli)
{
    cli_store_t store;
    json_t *profiles;
    const char *used;
    int rc, there;

    rc = cli_profile_load(cli);
    if (rc != 0) {
        return rc;
    }
    if (cli->profile == NULL) {
        return cli_fail(CLI_EXIT_USAGE, "AML_SERVER is set; which --profile?");
    }
    there = logout_there(cli);

    rc = cli_store_open(&store, 1);
    if (rc != 0) {
        return rc;
    }
    profiles = json_object_get(store.root, "profiles");
    json_object_del(profiles, cli->profile);
    used = cli_store_default(&store);
    if (used != NULL && strcmp(used, cli->profile) == 0) {
        used = json_object_iter_key(json_object_iter(profiles));
        if (used != NULL) {
            json_object_set_new(store.root, "default", json_string(used));
        } else {
            json_object_del(store.root, "default");
        }
    }
    rc = cli_store_save(&store);
    cli_store_close(&store);
    if (rc == 0) {
        cli_note(there ? "Signed out of %s."
                       : "Forgotten here; at %s nothing has ended.",
                 cli->server);
    }

    return rc;
}
