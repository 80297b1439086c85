/*
 * amld's configuration: libconfuse, sections as in nginx.  docs/amld.md lists
 * every option; a test compares.
 */

#ifndef AMLD_CONFIG_H
#define AMLD_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "auth/issuer_kinds.h"
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

/* Whose tokens are taken, and whom people sign in with. */
typedef struct {
    char *name; /* of the section: in addresses, logs and commands */
    const amld_issuer_kind_t *kind;
    char *discovery;  /* address of its metadata; NULL with `keys` */
    char *keys;       /* file with its key set; NULL: fetched */
    char **audiences; /* of access tokens; none: tokens are not taken */
    size_t audience_count;
    uint32_t algs; /* bit 1 << aml_alg_t */
    char *identity_claim;
    char *name_claim;
    char *groups_claim;
    char *roles_claim;
    char *account_claim; /* of the Unix account; "": none */
    unsigned leeway;     /* seconds */
    char *client_id;     /* NULL: no sign-in */
    char *client_secret_file;
    char *scopes;
    char *label; /* of the button */
    char *ca;    /* PEM file; NULL: the system's authorities */
    char *proxy;
    int sign_in;
    int userinfo;
    unsigned key_refresh;  /* seconds; 0: as the provider says */
    unsigned key_cooldown; /* between fetches for a key that is not known */
    unsigned key_grace;    /* that keys are good for through an outage */

    /* what `iss` may be, each with its namespace: one, but for Entra, which
     * has two a tenant; the first is the one of ID tokens */
    struct {
        char *iss;
        char *space;
        const char *name_claim;
    } * iss;
    size_t iss_count;
    char *iss_any; /* what metadata may say instead of the first; NULL */
} amld_issuer_config_t;

typedef struct {
    char *service;   /* of PAM */
    char *directory; /* of service files; NULL: the system's */
    char **groups;   /* whose members are let in; none: everybody */
    size_t group_count;
} amld_pam_config_t;

/* The engine podman; see docs/engines.md. */
typedef struct {
    char *program;        /* podman */
    char *runtime;        /* OCI runtime: "auto", "runc", "crun" or a path */
    char *image;          /* of new instances */
    char *gpu;            /* kind of CDI devices */
    unsigned uid_base;    /* the first of people's ranges */
    unsigned pids;        /* the most of an instance */
    unsigned timeout;     /* seconds of one call of podman */
    unsigned *host_ports; /* TCP, of the machine, open to instances */
    char **images; /* patterns of those that may be run beside, NULL-ended */
    size_t host_port_count;
} amld_podman_config_t;

/* Of the catalogue; see sizes.h. */
#define AMLD_SIZE_NAME 64 /* characters of a name, and of a family's */

typedef struct {
    char *name;   /* "STANDARD_DS3_V2" */
    char *family; /* "standardDSv2Family": what a quota is of */
    unsigned cores;
    unsigned memory; /* MiB */
    unsigned gpus;
} amld_size_t;

typedef struct {
    char *name;    /* of a family, or "total" */
    int64_t limit; /* cores in a region */
} amld_quota_config_t;

typedef struct {
    char *file;           /* where it was read from */
    char *registry;       /* directory of the LMDB environment */
    size_t registry_size; /* bytes that it may grow to */
    char *registry_group; /* group of the gateway's workers, or NULL */
    char *listen;         /* unix socket of the control API */
    char *activity;       /* unix socket that tells of use */
    uid_t *gateway_uids;  /* who may speak for others on it */
    size_t gateway_uid_count;
    char *state;       /* directory: instances' private directories, logs */
    char *studio;      /* origin: "https://aml.localhost:8443" */
    char *studio_host; /* its host, lower case, without port */
    char *apps;        /* apps domain, lower case, without port */
    char *apps_port;   /* ":8443", or "" for 443 */
    char *roles;       /* file of the built-in role definitions */
    char *engine;      /* "process" */
    int unix_accounts; /* instances run as their creators' accounts */
    char *samples;     /* directory of notebooks, or NULL */
    unsigned unix_accounts_least; /* the lowest uid of these */
    char *audit;                  /* "file:/path", "syslog:facility" or "" */
    unsigned threads;
    unsigned session_lifetime;        /* seconds */
    unsigned session_idle;            /* seconds without use, 0: any */
    unsigned device_lifetime;         /* seconds, of a command line's sign-in */
    unsigned token_lifetime;          /* seconds */
    unsigned personal_token_lifetime; /* seconds, the most */
    unsigned key_lifetime;            /* seconds after which a new key signs */
    unsigned backoff_account;         /* wrong attempts that cost nothing */
    unsigned backoff_address;         /* of one address */
    unsigned backoff_first;           /* seconds of the first wait */
    unsigned backoff_most;            /* of the longest */
    unsigned start_timeout;           /* seconds until a start has failed */
    unsigned stop_timeout;            /* seconds from SIGTERM to SIGKILL */
    size_t job_log_max;               /* bytes of a job's log */
    unsigned job_queue;               /* the most that have not ended, of an
                                         instance */
    unsigned job_history;             /* the most of a person */
    size_t job_history_size;          /* bytes of their documents */
    unsigned job_keep; /* seconds, when they have ended; 0: any */
    amld_workspace_t *workspaces;
    size_t workspace_count;
    _Atomic char *share_full; /* of each: no room, see room.h; or NULL */
    amld_application_config_t *applications;
    size_t application_count;
    int local_sign_in;      /* local accounts may sign in */
    amld_pam_config_t *pam; /* or NULL */
    amld_podman_config_t *podman;
    amld_issuer_config_t *issuers;
    size_t issuer_count;
    amld_size_t *sizes; /* none: those built in, see sizes.h */
    size_t size_count;
    amld_quota_config_t *quotas;
    size_t quota_count;
} amld_config_t;

/*
 * Reads and checks `file`.  NULL when it is wrong; every fault has then been
 * written to standard error as "file:line: option: what is wrong".
 */
amld_config_t *amld_config_read(const char *file);
void amld_config_free(amld_config_t *config);

/* By the name of its section; NULL when there is none. */
const amld_issuer_config_t *
amld_issuer_find(const amld_config_t *config, const char *name);

/* By name, without regard to case; NULL when there is none. */
const amld_workspace_t *
amld_workspace_find(const amld_config_t *config, const char *subscription,
                    const char *resource_group, const char *name);

#endif /* AMLD_CONFIG_H */
