/*
 * amld: everything that waits.  What its parts share.
 *
 * Threads: the main thread runs the supervisor (supervisor.c), which is the
 * only one that starts, stops and watches processes.  Handlers of the control
 * API run in libmicrohttpd's pool; they read snapshots and write transactions,
 * and wake the supervisor where something is to be done.  State that must
 * survive lives in the registry only.
 */

#ifndef AMLD_H
#define AMLD_H

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>

#include "computes/config/config.h"
#include "registry/registry.h"

#define AMLD_VERSION "0.1.0"
#define AMLD_ASKS 8 /* Jupyter Servers that are asked for people at a time */

typedef struct {
    amld_config_t *config;
    aml_registry_t *registry;
    int wake; /* eventfd: amld_wake() makes the supervisor look again */
    struct amld_key_keeper *keys;         /* NULL before it serves */
    struct amld_activity *activity;       /* see activity.h */
    struct amld_usage *usage;             /* see usage.h */
    struct amld_audit *audit;             /* see audit.h */
    struct amld_credentials *credentials; /* see credentials.h */
    struct amld_polls *polls;             /* see polls.h */
    struct amld_oidc *oidc;               /* see oidc.h; NULL as keys */
    struct amld_progress_hub *progress;   /* see progress.h; may be NULL */
    struct amld_shares *shares;           /* see shares.h; may be NULL */
    _Atomic uint64_t asks[AMLD_ASKS];     /* see arm_idle.c; 0: none */
    volatile sig_atomic_t failed; /* amld ends, and says that it failed */
} amld_t;

/* Any thread. */
void amld_wake(amld_t *d);


typedef enum {
    AMLD_LOG_ERROR = 0,
    AMLD_LOG_WARN,
    AMLD_LOG_INFO,
    AMLD_LOG_DEBUG
} amld_log_level_t;

/*
 * One line to standard error: "2026-11-23T09:07:44.123Z info text".  Control
 * characters of arguments are written as \xNN.  Never a secret.
 */
void amld_log(amld_log_level_t level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void amld_log_level(amld_log_level_t most);

/*
 * For what strangers can cause as often as they like: 1 once a minute, with how
 * often it was 0 since, in `missed`.  Zeroed at first; for any thread.
 */
typedef struct {
    _Atomic int64_t last; /* seconds */
    atomic_uint missed;
} amld_seldom_t;

int amld_seldom(amld_seldom_t *seldom, unsigned *missed);

/* Lines of this thread end in " [id]", as the gateway's access log has it,
 * until it is called with NULL; `id` is not copied. */
void amld_log_request(const char *id);

#endif /* AMLD_H */
