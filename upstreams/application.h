/*
 * What each application of an instance is: one descriptor each, in a file of
 * its own (jupyter.c), listed in application.c.  amld starts and watches by
 * it; the gateway takes its header policy from it.
 */

#ifndef AML_APPLICATION_H
#define AML_APPLICATION_H

#include <stddef.h>

#include "auth/str.h"

#define AML_APPLICATION_ARGS 32
#define AML_APPLICATION_LINKS 4
#define AML_APPLICATION_FILES 8

/* One entry of ARM's applications[]. */
typedef struct {
    const char *display_name; /* as Azure's clients know it */
    const char *path;         /* behind the origin, such as "/lab" */
} aml_application_link_t;

/* What a command line may name; all strings outlive the call. */
typedef struct {
    const char *program;    /* configured path of the executable */
    const char *socket;     /* unix socket to listen on */
    const char *directory;  /* the workspace's share: what it may show */
    const char *folder;     /* the user's own in it: where it begins */
    const char *runtime;    /* private directory of the instance; "tmp" and
                               "run" in it are emptied at each start */
    const char *origin;     /* public origin, "https://name.apps:port" */
    const char *user;       /* account that the command will run as; NULL:
                               its number has no name */
    int as_root;            /* the command will run as uid 0 */
    const char *bin;        /* where the notebooks' programs are; or NULL */
    const char *public_key; /* that the instance was created with; or NULL */
} aml_application_vars_t;

/* What has to be there before the command runs. */
typedef struct {
    const char *path; /* below the private directory, without '/' in front */
    const char *text; /* of a file, 0600; NULL: a directory, 0700 */
} aml_application_file_t;

typedef struct {
    const char *name; /* key of its section in amld's configuration */
    unsigned port;    /* how hosts name it */
    int on_demand;    /* started on first request, not with the instance */
    int by_key; /* only of instances that were created with a public key */

    /* When it is up, on its socket: GET of the path is answered by 200, or what
     * it says by itself begins with the banner.  One of them. */
    const char *ready_path;
    const char *ready_banner;
    aml_application_link_t links[AML_APPLICATION_LINKS];

    /* What the gateway does for it. */
    int tunnel; /* it speaks no HTTP: bytes as they are, in a tunnel; nothing
                   else is passed on to it */
    const char *url_header; /* request header that has the whole public
                               address; NULL: none */
    int own_location;       /* its redirects may name itself by http or by the
                               loopback: they are made public ones */
    unsigned keep_alive;    /* data frames on its websockets that are no longer
                               than this many bytes only say that it is there;
                               0: it sends none */

    /*
     * Fills argv (AML_APPLICATION_ARGS pointers, NULL-ended) and envp additions
     * ("NAME=value", NULL-ended); strings are written to `room`.  0, or -1
     * when there is no room.
     */
    int (*command)(const aml_application_vars_t *vars, const char **argv,
                   const char **envp, char *room, size_t size);

    /*
     * Likewise fills `files` (AML_APPLICATION_FILES, ended by a NULL path).
     * A file that is there already is written anew.  NULL: nothing is needed.
     */
    int (*files)(const aml_application_vars_t *vars,
                 aml_application_file_t *files, char *room, size_t size);

    /*
     * 1 for what its page asks again and again by itself, whether somebody
     * sits there or not: that is no use of the instance.  `path` is decoded,
     * without the query.  NULL: nothing is.
     */
    int (*is_poll)(aml_str_t method, aml_str_t path);
} aml_application_t;

/* All of them, ended by a NULL pointer. */
extern const aml_application_t *const aml_applications[];

const aml_application_t *aml_application_by_port(unsigned port);
const aml_application_t *aml_application_by_name(aml_str_t name);

#endif /* AML_APPLICATION_H */
