/*
 * What OpenSSH has to know of an instance.
 */

#ifndef CLI_SSH_H
#define CLI_SSH_H

#include "cli/cli.h"

typedef struct {
    char *name;
    char *user;
    char *proxy;       /* ProxyCommand, quoted for a shell and for ssh */
    char *alias;       /* HostKeyAlias: an instance that is made anew under an
                          old name is another host */
    char *known_hosts; /* the file, quoted for ssh */
    char *host;        /* "first-lab.aml", or "first-lab.lab.aml" of the
                          profile "lab" */
} cli_ssh_t;

/*
 * Of an instance as the API has it.  0, or an exit status after it was said
 * why it has no SSH.  A name that no instance can have is refused, and one that
 * is not `asked`, where that is not NULL: what the server answers becomes an
 * argument of ssh, and a host in its configuration.
 */
int cli_ssh_of(cli_t *cli, const json_t *compute, const char *asked,
               cli_ssh_t *ssh);
void cli_ssh_clear(cli_ssh_t *ssh);

/* What an instance is called as a host, by the profile; the caller's. */
char *cli_ssh_host(const cli_t *cli, const char *name);

/* In single quotes for a shell, and "%" twice; the caller's. */
char *cli_ssh_quote(const char *text);


/* ---- the text of a configuration ---- */

/*
 * `old` with the lines of `block` for `host` between two marks, in the place of
 * those that were there or at the end; without them where `block` is NULL.
 * Everything else stays as it is.  The caller's; NULL without memory, and where
 * there is a beginning without an end.
 */
char *cli_ssh_config_set(const char *old, const char *host, const char *block);

/*
 * `old` with "Include FILE" as its first line, so that it holds for all that
 * comes before any Host; `old` itself where it is there before the first Host
 * or Match already.  The caller's; NULL without memory.
 */
char *cli_ssh_config_include(const char *old, const char *file);

/* The lines for an instance; the caller's. */
char *cli_ssh_config_block(const cli_ssh_t *ssh);

#endif /* CLI_SSH_H */
