/*
 * amld: the program.
 */

#include "computes/amld.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "auth/assignments.h"
#include "auth/audit.h"
#include "auth/credentials.h"
#include "auth/device_api.h"
#include "auth/fetch.h"
#include "auth/key_keeper.h"
#include "auth/local_issuer.h"
#include "auth/oidc.h"
#include "auth/polls.h"
#include "auth/role_api.h"
#include "auth/role_store.h"
#include "auth/session_api.h"
#include "auth/sign_in.h"
#include "auth/token_api.h"
#include "computes/api/arm.h"
#include "computes/api/arm_job.h"
#include "computes/api/on_demand_api.h"
#include "computes/automatic/activity.h"
#include "computes/automatic/housekeeping.h"
#include "computes/automatic/idle.h"
#include "computes/automatic/schedule_run.h"
#include "computes/cli/cli.h"
#include "computes/engines/podman.h"
#include "computes/engines/podman_watch.h"
#include "computes/engines/shim.h"
#include "computes/engines/unix_account.h"
#include "computes/files/reserve.h"
#include "computes/files/room.h"
#include "computes/files/share.h"
#include "computes/files/shares.h"
#include "computes/http/http.h"
#include "computes/instances/compute_index.h"
#include "computes/instances/operations.h"
#include "computes/instances/progress.h"
#include "computes/instances/supervisor.h"
#include "computes/instances/workspaces.h"
#include "computes/jobs/job.h"
#include "computes/services/relay.h"

#define AMLD_CONFIG_FILE "/etc/aml/amld.conf"

static const char amld_usage[] =
    "Usage: amld [-v] [-c FILE] [COMMAND]\n"
    "       amld -t [-c FILE]\n"
    "\n"
    "The daemon behind the gateway: sign-in, sessions, compute instances.\n"
    "\n"
    "  run                 serves, in the foreground, until SIGTERM; what\n"
    "                      runs on instances goes on running\n"
    "  account …           local accounts: add, password, remove, list\n"
    "  role …              roles: assign, remove, list, check, definitions,\n"
    "                      define, undefine\n"
    "  principal …         whoever has an identity here: id, list, disable,\n"
    "                      enable, revoke\n"
    "  compute …           instances: list, show\n"
    "  job …               jobs: list, remove\n"
    "  share …             workspaces' shares: list, accept\n"
    "  session …           who is signed in: list, end\n"
    "  token …             personal access tokens: list, revoke\n"
    "  key …               signing keys: list, rotate\n"
    "  registry dump       what the registry holds, secrets left out\n"
    "\n"
    "  -c, --config FILE   configuration, " AMLD_CONFIG_FILE " otherwise\n"
    "  -t, --test          only checks the configuration\n"
    "  -v, --verbose       logs every request\n"
    "  -h, --help          this, or the help of a command behind it\n"
    "      --version       prints the version\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong arguments.\n";


/* Blocked in every thread; the supervisor takes them from a signalfd. */
static int
run_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);

    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
        return -1;
    }

    return pthread_sigmask(SIG_BLOCK, &set, NULL) == 0 ? 0 : -1;
}


static int
run_serve(amld_t *d)
{
    static const amld_http_route_t *const tables[] = {
        amld_sign_in_routes, amld_session_routes,
        amld_token_routes,   amld_device_routes,
        amld_oidc_routes,    amld_arm_routes,
        amld_role_routes,    amld_on_demand_routes,
        amld_arm_job_routes, NULL};
    static const amld_http_route_t *const slow[] = {
        amld_password_routes, amld_oidc_slow_routes, NULL};
    amld_clock_t *schedules = NULL, *idle = NULL;
    amld_room_t *room = NULL;
    amld_housekeeping_t *housekeeping;
    amld_podman_watch_t *networks = NULL;
    amld_http_t *http;
    int podman, rc = -1;

    podman = strcmp(d->config->engine, "podman") == 0;

    d->shares = amld_shares_start(d);
    d->keys = d->shares != NULL ? amld_key_keeper_start(d) : NULL;
    d->oidc = d->keys != NULL ? amld_oidc_start(d) : NULL;
    d->activity = d->oidc != NULL ? amld_activity_start(d) : NULL;
    housekeeping = d->activity != NULL ? amld_housekeeping_start(d) : NULL;
    schedules = housekeeping != NULL ? amld_schedule_start(d) : NULL;
    idle = schedules != NULL ? amld_idle_start(d) : NULL;
    room = idle != NULL ? amld_room_start(d) : NULL;
    networks =
        room != NULL && podman ? amld_podman_watch_start(d->config) : NULL;
    http = room != NULL && (networks != NULL || !podman)
               ? amld_http_start(d, tables, slow)
               : NULL;

    if (http != NULL) {
        amld_reserve_keep(d->registry);
        amld_log(AMLD_LOG_INFO, "amld %s serves %s", AMLD_VERSION,
                 d->config->listen);
        rc = amld_supervisor_run(d);
        rc = d->failed ? -1 : rc;
        amld_log(AMLD_LOG_INFO, "amld ends");
    }

    /* threads that are waited for may wait for a provider */
    amld_oidc_cancel(d->oidc);
    amld_key_keeper_cancel(d->keys);
    amld_progress_hub_end(d->progress);
    amld_http_stop(http);
    amld_podman_watch_stop(networks);
    amld_room_stop(room);
    amld_clock_stop(idle);
    amld_clock_stop(schedules);
    amld_housekeeping_stop(housekeeping);
    amld_activity_stop(d->activity);
    amld_oidc_stop(d->oidc);
    amld_key_keeper_stop(d->keys);
    amld_shares_stop(d->shares);

    return rc;
}


/* What is left does not count, so that no room for this ends nothing. */
static void
run_strays(amld_t *d)
{
    aml_registry_rc_t rc;

    rc = amld_unix_account_sweep(d->registry, d->config);
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_WARN, "unix accounts: registry: %s",
                 aml_registry_strerror(rc));
    }
}


static int
amld_run(const char *file, int argc, char **argv)
{
    amld_t d = {.wake = -1};
    int rc = -1;

    if (argc > 1) {
        return amld_cli_usage(amld_usage, strcmp(argv[1], "--help") != 0);
    }

    if (amld_fetch_init() != 0) {
        return amld_cli_fail(AMLD_EXIT_FAILED, "libcurl does not start");
    }

    if (run_signals() != 0) {
        return amld_cli_fail(AMLD_EXIT_FAILED, "signals: %s", strerror(errno));
    }

    d.config = amld_config_read(file);
    if (d.config != NULL) {
        d.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        d.registry = amld_registry_open(d.config);
    }

    if (d.registry != NULL &&
        amld_workspaces_check(d.registry, d.config) != 0) {
        aml_registry_close(d.registry);
        d.registry = NULL;
    }

    if (d.registry != NULL) {
        (void) aml_registry_reserve(d.registry);
        d.audit = amld_audit_open(d.config->audit, AMLD_SYSLOG_SOCKET);
        d.credentials = amld_credentials_new(d.config);
        d.polls = amld_polls_new();
        d.usage = amld_usage_new((int64_t) time(NULL));
        d.progress = amld_progress_hub_new();
    }

    if (d.registry != NULL) {
        amld_operations_tend(d.registry);
        amld_job_counts_tend(d.registry);
        run_strays(&d);
    }

    if (d.audit != NULL && d.credentials != NULL && d.polls != NULL &&
        d.usage != NULL && d.progress != NULL && d.wake >= 0 &&
        amld_roles_load(d.registry, d.config->roles) == 0 &&
        amld_assignments_tend(d.registry) == 0 &&
        amld_compute_index_tend(d.registry, d.config) == 0 &&
        amld_issuer_tend(d.registry, d.config, (int64_t) time(NULL)) == 0) {
        rc = run_serve(&d);
    }

    amld_audit_close(d.audit);
    amld_credentials_free(d.credentials);
    amld_polls_free(d.polls);
    amld_usage_free(d.usage);
    amld_progress_hub_free(d.progress);
    if (d.registry != NULL) {
        aml_registry_close(d.registry);
    }
    if (d.wake >= 0) {
        close(d.wake);
    }
    amld_config_free(d.config);

    return rc == 0 ? AMLD_EXIT_OK : AMLD_EXIT_FAILED;
}


static void *
test_shares(void *config)
{
    (void) amld_share_check(config);

    return NULL;
}


/* By the registry, where there is one already, and it may be read. */
static int
test_workspaces(const amld_config_t *config)
{
    int rc;
    aml_registry_t *registry;

    if (aml_registry_open_reader(config->registry, &registry) !=
        AML_REGISTRY_OK) {
        return 0;
    }

    rc = amld_workspaces_check(registry, config);
    aml_registry_close(registry);

    return rc;
}


static int
amld_test(const char *file)
{
    pthread_t thread;
    struct timespec until;
    amld_config_t *config;

    config = amld_config_read(file);
    if (config == NULL) {
        return AMLD_EXIT_FAILED;
    }

    if (test_workspaces(config) != 0) {
        amld_config_free(config);
        return AMLD_EXIT_FAILED;
    }

    /* One of another machine may not answer, and amld starts without. */
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += AMLD_SHARES_PATIENCE / 1000;
    if (pthread_create(&thread, NULL, test_shares, config) == 0 &&
        pthread_timedjoin_np(thread, NULL, &until) != 0) {
        amld_log(AMLD_LOG_WARN, "a workspace's share does not answer");
        printf("%s: the configuration is good\n", file);
        return AMLD_EXIT_OK;
    }

    printf("%s: the configuration is good\n", file);
    amld_config_free(config);

    return AMLD_EXIT_OK;
}


int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"test", no_argument, NULL, 't'},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    static const amld_cli_command_t commands[] = {
        {"run", amld_run},
        {"account", amld_cli_account},
        {"role", amld_cli_role},
        {"principal", amld_cli_principal},
        {"compute", amld_cli_compute},
        {"job", amld_cli_job},
        {"share", amld_cli_share},
        {"session", amld_cli_session},
        {"token", amld_cli_token},
        {"key", amld_cli_key},
        {"registry", amld_cli_registry},
        {NULL, NULL},
    };
    const char *file = AMLD_CONFIG_FILE;
    int c, test = 0;

    if (argc > 1 && strcmp(argv[1], "shim") == 0) {
        /* Its end is waited for: no library has to tidy up. */
        _exit(amld_shim_main(argc - 1, argv + 1));
    }
    if (argc > 1 && strcmp(argv[1], "relay") == 0) {
        return amld_relay_main(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "engine-podman") == 0) {
        return amld_podman_step_main(argc - 1, argv + 1);
    }

    /* "+": options behind a command are the command's */
    while ((c = getopt_long(argc, argv, "+c:tvh", options, NULL)) != -1) {
        switch (c) {
        case 'c':
            file = optarg;
            break;
        case 't':
            test = 1;
            break;
        case 'v':
            amld_log_level(AMLD_LOG_DEBUG);
            break;
        case 'h':
            return amld_cli_usage(amld_usage, 0);
        case 'V':
            printf("amld %s\n", AMLD_VERSION);
            return AMLD_EXIT_OK;
        default:
            return amld_cli_usage(amld_usage, 1);
        }
    }

    if (test) {
        return optind == argc ? amld_test(file) : amld_cli_usage(amld_usage, 1);
    }

    if (optind == argc) {
        return amld_run(file, 1, argv);
    }

    argv[optind - 1] = argv[0];

    return amld_cli_dispatch(commands, amld_usage, file, argc - optind + 1,
                             argv + optind - 1);
}
