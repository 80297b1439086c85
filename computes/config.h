/*
 * amld's configuration: libconfuse, sections as in nginx.  docs/amld.md lists
 * every option; a test compares.
 */

#ifndef AMLD_CONFIG_H
#define AMLD_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "auth/principal.h"

typedef struct {
    char *name; /* "demo" */
    char *subscription;
    char *resource_group;
    char *location; /* region, such as "local" */
    char *share;    /* directory of the files; one directory a user below */
    char *id;       /* "/subscriptions/…/workspaces/demo", made from these */
} amld_workspace_t;

typedef struct {
    char *name;    /* of the descriptor: "jupyter" */
    char *program; /* path of the executable */
} amld_application_config_t;

typedef struct {
    char *file;           /* where it was read from */
    char *registry;       /* directory of the LMDB environment */
    size_t registry_size; /* bytes that it may grow to */
    char *registry_group; /* group of the gateway's workers, or NULL */
    char *listen;         /* unix socket of the control API */
    uid_t *gateway_uids;  /* who may speak for others on it */
    size_t gateway_uid_count;
    char *state;       /* directory: instances' private directories, logs */
    char *studio;      /* origin: "https://aml.localhost:8443" */
    char *studio_host; /* its host, lower case, without port */
    char *apps;        /* apps domain, lower case, without port */
    char *apps_port;   /* ":8443", or "" for 443 */
    char *roles;       /* file of the built-in role definitions */
    char *engine;      /* "process" */
    unsigned threads;
    unsigned session_lifetime; /* seconds */
    unsigned token_lifetime;   /* seconds */
    unsigned key_lifetime;     /* seconds after which a new key signs */
    unsigned start_timeout;    /* seconds until a start has failed */
    unsigned stop_timeout;     /* seconds from SIGTERM to SIGKILL */
    amld_workspace_t *workspaces;
    size_t workspace_count;
    amld_application_config_t *applications;
    size_t application_count;
} amld_config_t;

/*
 * Reads and checks `file`.  NULL when it is wrong; every fault has then been
 * written to standard error as "file:line: option: what is wrong".
 */
amld_config_t *amld_config_read(const char *file);
void amld_config_free(amld_config_t *config);

/* By name, without regard to case; NULL when there is none. */
const amld_workspace_t *
amld_workspace_find(const amld_config_t *config, const char *subscription,
                    const char *resource_group, const char *name);

#endif /* AMLD_CONFIG_H */
