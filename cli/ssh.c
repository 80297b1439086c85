/*
 * aml ssh: OpenSSH's ssh with what it has to know.
 */

#include "cli/ssh.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/paths.h"
#include "cli/text.h"
#include "upstreams/host.h"

#define INNER "properties.properties."
#define SSH_PORT 22
#define SSH_OPTIONS 5 /* that ssh_exec() adds, "-o" and a word each */


char *
cli_ssh_quote(const char *text)
{
    char *quoted = malloc(strlen(text) * 4 + 3), *p = quoted;

    if (quoted == NULL) {
        return NULL;
    }
    *p++ = '\'';
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            memcpy(p, "'\\''", 4);
            p += 4;
        } else {
            if (*text == '%') {
                *p++ = '%';
            }
            *p++ = *text;
        }
    }
    *p++ = '\'';
    *p = '\0';

    return quoted;
}


/* What may stand in a file of ssh's and be a name of somebody. */
static int
ssh_user_is_safe(const char *user)
{
    return cli_name_is_safe(user) && user[0] != '-';
}


/* The file, made ready: its directory is there. */
static char *
ssh_known_hosts(void)
{
    char *directory = cli_path_state(NULL),
         *file = cli_path_state("known_hosts");
    char *quoted = NULL;

    if (directory == NULL || file == NULL || strpbrk(file, "\"\n") != NULL) {
        (void) cli_fail(0, "there is no home directory");
    } else if (cli_path_make(directory) != 0) {
        (void) cli_fail(0, "%s: %s", directory, strerror(errno));
    } else {
        quoted = cli_format("\"%s\"", file);
    }
    free(directory);
    free(file);

    return quoted;
}


static char *
ssh_proxy(const cli_t *cli, const char *name)
{
    char path[PATH_MAX], *program, *proxy;
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (n <= 0) {
        return NULL;
    }
    path[n] = '\0';
    program = cli_ssh_quote(path);
    if (program == NULL || strchr(path, '\n') != NULL) {
        free(program);
        return NULL;
    }
    proxy = cli->profile != NULL ? cli_format("%s --profile %s tunnel %s",
                                              program, cli->profile, name)
                                 : cli_format("%s tunnel %s", program, name);
    free(program);

    return proxy;
}


/* Letters and digits of a time: "20261127T120000". */
static char *
ssh_alias(const char *name, const char *created)
{
    char text[32];
    size_t n = 0;

    for (; *created != '\0' && *created != '.' && n < sizeof(text) - 1;
         created++) {
        if ((*created >= '0' && *created <= '9') || *created == 'T') {
            text[n++] = *created;
        }
    }
    text[n] = '\0';

    return cli_format("%s.%s.aml", name, text);
}


char *
cli_ssh_host(const cli_t *cli, const char *name)
{
    return cli->profile == NULL || strcmp(cli->profile, "default") == 0
               ? cli_format("%s.aml", name)
               : cli_format("%s.%s.aml", name, cli->profile);
}


int
cli_ssh_of(cli_t *cli, const json_t *compute, const char *asked, cli_ssh_t *ssh)
{
    const char *name = cli_str(compute, "name");
    const char *user = cli_str(compute, INNER "sshSettings.adminUserName");

    memset(ssh, 0, sizeof(*ssh));
    if (aml_instance_name_check(aml_str_of(name)) != AML_NAME_OK ||
        (asked != NULL && strcasecmp(name, asked) != 0)) {
        return cli_fail(
            CLI_EXIT_FAILED,
            "the server answers with an instance \"%s\", which %s", name,
            asked != NULL ? "was not asked for" : "can't be one's name");
    }
    if (strcmp(cli_str(compute, INNER "sshSettings.sshPublicAccess"),
               "Enabled") != 0) {
        return cli_fail(CLI_EXIT_FAILED,
                        "%s has no SSH, which is decided when it is created: "
                        "aml instance create --ssh-key FILE",
                        name);
    }
    if (user[0] == '\0') {
        return cli_fail(CLI_EXIT_FAILED,
                        "%s has not been started yet: aml instance start %s",
                        name, name);
    }
    if (!ssh_user_is_safe(user)) {
        return cli_fail(CLI_EXIT_FAILED,
                        "the server says that one signs in as \"%s\", which "
                        "can't be a user's name",
                        user);
    }

    ssh->name = strdup(name);
    ssh->user = strdup(user);
    ssh->proxy = ssh_proxy(cli, name);
    ssh->alias = ssh_alias(name, cli_str(compute, "properties.createdOn"));
    ssh->known_hosts = ssh_known_hosts();
    ssh->host = cli_ssh_host(cli, name);
    if (ssh->name == NULL || ssh->user == NULL || ssh->proxy == NULL ||
        ssh->alias == NULL || ssh->known_hosts == NULL || ssh->host == NULL) {
        cli_ssh_clear(ssh);
        return cli_fail(CLI_EXIT_FAILED, "ssh can't be told of %s", name);
    }

    return 0;
}


void
cli_ssh_clear(cli_ssh_t *ssh)
{
    free(ssh->name);
    free(ssh->user);
    free(ssh->proxy);
    free(ssh->alias);
    free(ssh->known_hosts);
    free(ssh->host);
    memset(ssh, 0, sizeof(*ssh));
}


/* ---- aml ssh ---- */

typedef struct {
    const char **argv; /* has room for all that is added */
    char *owned[SSH_OPTIONS];
    size_t n, owns;
    int failed;
} ssh_command_t;


static void
ssh_add(ssh_command_t *c, const char *word)
{
    c->argv[c->n++] = word;
}


static void
ssh_option(ssh_command_t *c, const char *name, const char *value)
{
    char *text = cli_format("%s=%s", name, value);

    if (text == NULL) {
        c->failed = 1;
        return;
    }
    c->owned[c->owns++] = text;
    ssh_add(c, "-o");
    ssh_add(c, text);
}


static void
ssh_given(cli_t *cli, ssh_command_t *c)
{
    static const struct {
        const char *name, *letter;
    } passed[] = {{"identity", "-i"},
                  {"local", "-L"},
                  {"remote", "-R"},
                  {"dynamic", "-D"},
                  {"option", "-o"}};
    const char *value;
    size_t i, k;

    for (i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
        for (k = 0;
             (value = cli_option_each(&cli->args, passed[i].name, k)) != NULL;
             k++) {
            ssh_add(c, passed[i].letter);
            ssh_add(c, value);
        }
    }
    if (cli_option(&cli->args, "no-command") != NULL) {
        ssh_add(c, "-N");
    }
    if (cli_option(&cli->args, "tty") != NULL) {
        ssh_add(c, "-t");
    }
}


static int
ssh_exec(cli_t *cli, const cli_ssh_t *ssh)
{
    ssh_command_t c = {0};
    int i;

    /* "ssh", -N, -t, "--", the host and the end, beside pairs and words */
    c.argv = calloc(6 + 2 * (cli->args.repeats + SSH_OPTIONS) +
                        (size_t) cli->args.argc,
                    sizeof(*c.argv));
    if (c.argv == NULL) {
        return cli_fail(CLI_EXIT_FAILED, "no memory");
    }

    ssh_add(&c, "ssh");
    /* what a person says comes first, and so is what holds */
    ssh_given(cli, &c);
    ssh_option(&c, "ProxyCommand", ssh->proxy);
    ssh_option(&c, "HostKeyAlias", ssh->alias);
    ssh_option(&c, "UserKnownHostsFile", ssh->known_hosts);
    ssh_option(&c, "StrictHostKeyChecking", "accept-new");
    ssh_option(&c, "User", ssh->user);
    /* behind it neither the host nor a word of the command is an option */
    ssh_add(&c, "--");
    ssh_add(&c, ssh->host);
    for (i = 1; i < cli->args.argc; i++) {
        ssh_add(&c, cli->args.argv[i]);
    }

    if (!c.failed) {
        /* that it is ignored would be inherited */
        (void) signal(SIGPIPE, SIG_DFL);
        (void) execvp("ssh", (char *const *) c.argv);
        (void) cli_fail(0, "OpenSSH's ssh can't be run: %s", strerror(errno));
    } else {
        (void) cli_fail(0, "no memory");
    }
    while (c.owns > 0) {
        free(c.owned[--c.owns]);
    }
    free(c.argv);

    return CLI_EXIT_FAILED;
}


int
cli_ssh(cli_t *cli)
{
    const char *name = cli->args.argv[0], *state;
    json_t *compute = NULL;
    cli_ssh_t ssh = {0};
    char *path, *origin = NULL;
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
    if (rc == 0) {
        rc = cli_ssh_of(cli, compute, name, &ssh);
    }
    state = cli_str(compute, INNER "state");
    if (rc == 0 && strcmp(state, "Running") != 0 &&
        strcmp(state, "JobRunning") != 0) {
        rc = cli_fail(CLI_EXIT_FAILED, "%s is %s: aml instance start %s", name,
                      state, name);
    }
    if (rc == 0) {
        /* so that the tunnel need not ask */
        origin = cli_app_origin(cli, name, SSH_PORT, &rc);
    }
    if (rc == 0) {
        rc = ssh_exec(cli, &ssh);
    }
    json_decref(compute);
    cli_ssh_clear(&ssh);
    free(origin);

    return rc;
}
