/*
 * aml ssh-config: an entry for OpenSSH, and for what reads its configuration,
 * such as VS Code's Remote-SSH.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/paths.h"
#include "cli/ssh.h"
#include "cli/text.h"

#define CONFIG_MOST (1024UL * 1024)
#define MARK_BEGIN "# >>> aml: "
#define MARK_END "# <<< aml: "


/* ---- text ---- */

/* Where the line `mark``host` is; NULL where it is not. */
static const char *
config_find(const char *text, const char *mark, const char *host)
{
    size_t m = strlen(mark), h = strlen(host), n;

    for (; *text != '\0'; text += n + (text[n] == '\n')) {
        n = strcspn(text, "\n");
        if (n >= m + h && strncmp(text, mark, m) == 0 &&
            strncmp(text + m, host, h) == 0 &&
            (n == m + h || (n == m + h + 1 && text[n - 1] == '\r'))) {
            return text;
        }
    }

    return NULL;
}


char *
cli_ssh_config_set(const char *old, const char *host, const char *block)
{
    const char *begin = config_find(old, MARK_BEGIN, host), *end, *gap = "";
    size_t n = strlen(old);
    char *marked = NULL, *text;

    if (block != NULL) {
        marked =
            cli_format(MARK_BEGIN "%s\n%s" MARK_END "%s\n", host, block, host);
        if (marked == NULL) {
            return NULL;
        }
    }

    if (begin == NULL) {
        gap = n == 0 || block == NULL       ? ""
              : n > 1 && old[n - 2] == '\n' ? ""
              : old[n - 1] == '\n'          ? "\n"
                                            : "\n\n";
        text = cli_format("%s%s%s", old, gap, marked != NULL ? marked : "");
        free(marked);
        return text;
    }

    end = config_find(begin, MARK_END, host);
    if (end == NULL) {
        free(marked);
        return NULL;
    }
    end += strcspn(end, "\n");
    end += *end == '\n';
    text = cli_format("%.*s%s%s", (int) (begin - old), old,
                      marked != NULL ? marked : "", end);
    free(marked);

    return text;
}


/* Is the line's keyword this one? */
static int
config_word(const char *line, size_t n, const char *word)
{
    size_t k = strlen(word);

    while (n > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        n--;
    }

    return n > k && strncasecmp(line, word, k) == 0 &&
           (line[k] == ' ' || line[k] == '\t' || line[k] == '=');
}


char *
cli_ssh_config_include(const char *old, const char *file)
{
    char *line = cli_format("Include \"%s\"", file), *text = NULL;
    const char *p;
    size_t n, k;

    if (line == NULL) {
        return NULL;
    }
    k = strlen(line);
    for (p = old; *p != '\0'; p += n + (p[n] == '\n')) {
        n = strcspn(p, "\n");
        if (config_word(p, n, "Host") || config_word(p, n, "Match")) {
            break;
        }
        if (n >= k && strncmp(p, line, k) == 0 &&
            strspn(p + k, " \t\r") == n - k) {
            text = strdup(old);
            break;
        }
    }
    if (text == NULL) {
        text = cli_format("%s\n%s%s", line, *old != '\0' ? "\n" : "", old);
    }
    free(line);

    return text;
}


char *
cli_ssh_config_block(const cli_ssh_t *ssh)
{
    return cli_format("Host %s\n"
                      "    HostName %s\n"
                      "    User %s\n"
                      "    ProxyCommand %s\n"
                      "    HostKeyAlias %s\n"
                      "    UserKnownHostsFile %s\n"
                      "    StrictHostKeyChecking accept-new\n",
                      ssh->host, ssh->host, ssh->user, ssh->proxy, ssh->alias,
                      ssh->known_hosts);
}


/* ---- files ---- */

/* A file's text, "" where there is none; NULL after the reason was said. */
static char *
config_read(const char *path)
{
    unsigned long n;
    char *text = cli_path_read(path, CONFIG_MOST, &n);

    if (text == NULL && errno == ENOENT) {
        return strdup("");
    }
    if (text == NULL) {
        (void) cli_fail(0, "%s: %s", path, strerror(errno));
    } else if (strlen(text) != n) {
        (void) cli_fail(0, "%s is no text", path);
        free(text);
        text = NULL;
    }

    return text;
}


/* Replaces it where it has changed; an exit status. */
static int
config_write(const char *path, const char *old, const char *text)
{
    if (strcmp(old, text) != 0 &&
        cli_path_replace(path, text, strlen(text), 0600) != 0) {
        return cli_fail(CLI_EXIT_FAILED, "%s: %s", path, strerror(errno));
    }

    return 0;
}


/* ~/.ssh/config leads to our file. */
static int
config_include(const char *ours)
{
    const char *home = cli_path_home();
    char *directory = cli_format("%s/.ssh", home != NULL ? home : "");
    char *path = cli_format("%s/.ssh/config", home != NULL ? home : "");
    char *old = NULL, *text = NULL;
    int rc = CLI_EXIT_FAILED;

    if (home == NULL || directory == NULL || path == NULL) {
        (void) cli_fail(0, "there is no home directory");
    } else if (cli_path_make(directory) != 0) {
        (void) cli_fail(0, "%s: %s", directory, strerror(errno));
    } else if ((old = config_read(path)) != NULL) {
        text = cli_ssh_config_include(old, ours);
        rc = text != NULL ? config_write(path, old, text)
                          : cli_fail(CLI_EXIT_FAILED, "no memory");
    }
    free(directory);
    free(path);
    free(old);
    free(text);

    return rc;
}


static int
config_keep(const char *host, const char *block)
{
    char *directory = cli_path_config(NULL), *locked;
    char *path = cli_path_config("ssh_config"), *old = NULL, *text = NULL;
    int rc = CLI_EXIT_FAILED, lock = -1;

    locked = cli_path_config("ssh_config.lock");
    if (directory == NULL || path == NULL || locked == NULL ||
        strpbrk(path, "\"\n") != NULL) {
        (void) cli_fail(0, "there is no home directory");
    } else if (cli_path_make(directory) != 0) {
        (void) cli_fail(0, "%s: %s", directory, strerror(errno));
    } else if ((lock = cli_path_lock(locked)) < 0) {
        (void) cli_fail(0, "%s: %s", locked, strerror(errno));
    } else if ((old = config_read(path)) != NULL) {
        text = cli_ssh_config_set(old, host, block);
        rc = text != NULL
                 ? config_write(path, old, text)
                 : cli_fail(CLI_EXIT_FAILED,
                            "%s: the entry of %s has no end; take it out", path,
                            host);
    }
    if (rc == 0 && block != NULL) {
        rc = config_include(path);
    }
    if (lock >= 0) {
        (void) close(lock);
    }
    free(directory);
    free(locked);
    free(path);
    free(old);
    free(text);

    return rc;
}


/* ---- aml ssh-config ---- */

static int
config_one(cli_t *cli, const json_t *compute, const char *asked)
{
    int write = cli_option(&cli->args, "write") != NULL, rc;
    cli_ssh_t ssh;
    char *block;

    rc = cli_ssh_of(cli, compute, asked, &ssh);
    if (rc != 0) {
        return rc;
    }
    block = cli_ssh_config_block(&ssh);
    if (block == NULL) {
        rc = cli_fail(CLI_EXIT_FAILED, "no memory");
    } else if (write) {
        rc = config_keep(ssh.host, block);
        if (rc == 0) {
            cli_note("ssh %s", ssh.host);
        }
    } else {
        (void) fputs(block, stdout);
    }
    free(block);
    cli_ssh_clear(&ssh);

    return rc;
}


/* One's own that have SSH and have been started. */
static int
config_all(cli_t *cli)
{
    char *path = cli_format("%s/computes?assignedUser=me", cli->workspace);
    json_t *list = NULL, *one;
    size_t i;
    int rc, some = 0;

    rc = path != NULL ? cli_list(cli, path, 0, &list)
                      : cli_fail(CLI_EXIT_FAILED, "no memory");
    free(path);
    if (rc != 0) {
        return rc;
    }
    json_array_foreach(list, i, one)
    {
        if (rc == 0 &&
            cli_str(one,
                    "properties.properties.sshSettings.adminUserName")[0] !=
                '\0') {
            rc = config_one(cli, one, NULL);
            some = 1;
        }
    }
    json_decref(list);

    return rc == 0 && !some
               ? cli_fail(CLI_EXIT_NOT_FOUND,
                          "no instance of yours has SSH: aml instance create "
                          "--ssh-key FILE")
               : rc;
}


int
cli_ssh_config(cli_t *cli)
{
    json_t *compute;
    char *path, *host, *origin;
    int rc;

    rc = cli_workspace_load(cli);
    if (rc == 0 && cli->profile == NULL &&
        (cli_option(&cli->args, "write") != NULL ||
         cli_option(&cli->args, "remove") != NULL)) {
        rc = cli_fail(CLI_EXIT_USAGE,
                      "an entry is read without AML_SERVER: sign in with aml "
                      "login, and unset it");
    }
    if (rc != 0 || cli->args.argc == 0) {
        return rc != 0 ? rc : config_all(cli);
    }
    path = cli_path_of(cli, "computes", cli->args.argv[0], "");
    if (path == NULL) {
        return CLI_EXIT_USAGE;
    }

    if (cli_option(&cli->args, "remove") != NULL) {
        host = cli_ssh_host(cli, cli->args.argv[0]);
        rc = host != NULL ? config_keep(host, NULL)
                          : cli_fail(CLI_EXIT_FAILED, "no memory");
        free(host);
        free(path);
        return rc;
    }

    rc = cli_get(cli, path, &compute);
    free(path);
    if (rc == 0) {
        origin = cli_app_origin(cli, cli->args.argv[0], 22, &rc);
        free(origin);
        rc = rc == 0 ? config_one(cli, compute, cli->args.argv[0]) : rc;
        json_decref(compute);
    }

    return rc;
}
