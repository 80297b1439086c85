/*
 * A world for test_supervisor.c: a stand-in application, an amld of its own in
 * a directory of its own, and what the control API would ask of it.
 */

#ifndef AML_SUPERVISOR_FIXTURE_H
#define AML_SUPERVISOR_FIXTURE_H

#include "t/unit/scratch.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "computes/amld.h"
#include "computes/engines/engine.h"
#include "computes/engines/procfs.h"
#include "computes/engines/shim.h"
#include "computes/instances/computes.h"
#include "computes/instances/operations.h"
#include "computes/instances/supervisor.h"

#define CREATOR "4482d47f-0b4b-81ab-a8e0-f0be3a5a6306"
#define ID                                                                     \
    "/subscriptions/s/resourceGroups/rg/providers/"                            \
    "Microsoft.MachineLearningServices/workspaces/demo"

typedef struct {
    scratch_t *scratch;
    char state[96];
    char share[96];
    char program[PATH_MAX];
    amld_workspace_t workspace;
    amld_application_config_t application[2];
    amld_config_t config;
    amld_key_t key;
    int wake;
    pid_t amld;
} world_t;


/* Jupyter, and RStudio where it is 2. */
static size_t world_applications = 1;


/* ---- the stand-in application ---- */

static const char *
option(int argc, char **argv, const char *name)
{
    int i;

    for (i = 1; i < argc; i++) {
        if (strncmp(argv[i], name, strlen(name)) == 0) {
            return argv[i] + strlen(name);
        }
    }

    return "";
}


static int
stand_in(int argc, char **argv)
{
    char path[PATH_MAX], what[32] = "", request[4096];
    const char *sock;
    int fd, c;
    FILE *f;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                                 "Connection: close\r\n\r\nok",
                      busy[] = "HTTP/1.1 503 Not Yet\r\nContent-Length: 0\r\n"
                               "Connection: close\r\n\r\n";

    /* It is started where its user's folder is. */
    if (option(argc, argv, "--www-socket=")[0] != '\0') {
        sock = "--www-socket=";
        snprintf(path, sizeof(path), "../../behaviour-rstudio");
    } else {
        sock = "--ServerApp.sock=";
        snprintf(path, sizeof(path), "%s/behaviour",
                 option(argc, argv, "--ServerApp.root_dir="));
    }
    f = fopen(path, "r");
    if (f != NULL) {
        if (fgets(what, sizeof(what), f) == NULL) {
            what[0] = '\0';
        }
        fclose(f);
    }

    printf("stand-in: \"%s\"\n", what);
    fflush(stdout);

    if (strcmp(what, "crash") == 0) {
        printf("the reason of it\n");
        return 3;
    }
    if (strcmp(what, "hang") == 0) {
        pause();
    }
    if (strcmp(what, "stubborn") == 0) {
        signal(SIGTERM, SIG_IGN);
    }

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s",
             option(argc, argv, sock));
    if (bind(fd, (struct sockaddr *) &addr, sizeof(addr)) != 0 ||
        listen(fd, 8) != 0) {
        perror(addr.sun_path);
        return 4;
    }

    for (;;) {
        c = accept(fd, NULL, NULL);
        if (c == -1) {
            continue;
        }
        if (read(c, request, sizeof(request)) > 0) {
            const char *text = strcmp(what, "busy") == 0 ? busy : answer;
            if (write(c, text, strlen(text)) < 0) {
                return 5;
            }
        }
        close(c);
    }
}


/* ---- the world ---- */

static inline void
behave(world_t *w, const char *what)
{
    char path[160];
    FILE *f;

    snprintf(path, sizeof(path), "%s/behaviour", w->share);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(what, f);
    fclose(f);
}


/* A process like amld's main: signals blocked, registry opened by itself. */
static void
amld_start(world_t *w)
{
    char registry[128];
    amld_t d;
    sigset_t set;
    int rc;

    w->amld = fork();
    assert_true(w->amld >= 0);
    if (w->amld != 0) {
        return;
    }

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);

    memset(&d, 0, sizeof(d));
    d.config = &w->config;
    d.wake = w->wake;
    snprintf(registry, sizeof(registry), "%s/registry", w->scratch->dir);
    if (aml_registry_open_writer(registry, 64 * 1024 * 1024, (gid_t) -1,
                                 &d.registry) != AML_REGISTRY_OK) {
        _exit(9);
    }
    rc = amld_supervisor_run(&d);
    aml_registry_close(d.registry);
    _exit(rc == 0 ? 0 : 1);
}


static inline int
amld_end(world_t *w, int sig)
{
    int i, status;

    kill(w->amld, sig);
    for (i = 0; i < 2000; i++) {
        if (waitpid(w->amld, &status, WNOHANG) == w->amld) {
            return WIFEXITED(status) ? WEXITSTATUS(status)
                                     : 256 + WTERMSIG(status);
        }
        usleep(10000);
    }

    fail_msg("amld does not end");
    return -1;
}


/* No registry is carried over the fork: each process opens it. */
static inline void
registry_open(world_t *w)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/registry", w->scratch->dir);
    assert_int_equal(aml_registry_open_writer(path, 64 * 1024 * 1024,
                                              (gid_t) -1,
                                              &w->scratch->registry),
                     AML_REGISTRY_OK);
}


static void
amld_again(world_t *w)
{
    aml_registry_close(w->scratch->registry);
    amld_start(w);
    registry_open(w);
}


static int
setup(void **state)
{
    world_t *w = calloc(1, sizeof(*w));
    void *scratch;
    ssize_t n;

    assert_non_null(w);
    assert_int_equal(scratch_setup(&scratch), 0);
    w->scratch = scratch;
    snprintf(w->state, sizeof(w->state), "%s/s", w->scratch->dir);
    snprintf(w->share, sizeof(w->share), "%s/share", w->scratch->dir);
    assert_int_equal(mkdir(w->share, 0755), 0);
    n = readlink("/proc/self/exe", w->program, sizeof(w->program) - 1);
    assert_true(n > 0);

    w->workspace =
        (amld_workspace_t){(char *) "demo",  (char *) "s", (char *) "rg",
                           (char *) "local", w->share,     (char *) ID};
    w->application[0] =
        (amld_application_config_t){(char *) "jupyter", w->program};
    w->application[1] =
        (amld_application_config_t){(char *) "rstudio", w->program};
    w->config.state = w->state;
    w->config.apps = (char *) "apps.example.org";
    w->config.apps_port = (char *) "";
    w->config.engine = (char *) "process";
    w->config.start_timeout = 20;
    w->config.stop_timeout = 2;
    w->config.workspaces = &w->workspace;
    w->config.workspace_count = 1;
    w->config.applications = w->application;
    w->config.application_count = world_applications;
    w->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_int_equal(amld_compute_key(&w->key, &w->workspace, "lab"), 0);
    amld_log_level(getenv("AML_TEST_LOG") != NULL ? AMLD_LOG_INFO
                                                  : AMLD_LOG_ERROR);

    amld_again(w);
    *state = w;

    return 0;
}


/* 1 when something of this world still runs. */
static inline int
left(world_t *w)
{
    char mark[160];

    snprintf(mark, sizeof(mark), "AML_COMMAND=%s/", w->state);

    return amld_proc_kill_marked(mark, 1, 0);
}


static int
teardown(void **state)
{
    world_t *w = *state;
    char mark[160];
    int i;
    void *scratch = w->scratch;

    (void) amld_end(w, SIGKILL);
    snprintf(mark, sizeof(mark), "AML_COMMAND=%s/", w->state);
    for (i = 0; i < 200 && amld_proc_kill_marked(mark, 1, SIGKILL) != 0; i++) {
        usleep(10000);
    }
    close(w->wake);
    scratch_teardown(&scratch);
    free(w);

    return 0;
}


/* ---- what the control API does ---- */

static void
want(world_t *w, const char *operation, amld_state_t to)
{
    amld_t d = {.wake = w->wake};
    json_t *doc;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(w->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    rc = amld_compute_load(txn, &w->key, &doc);
    if (rc == AML_REGISTRY_NOTFOUND) {
        doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:{}, s:{s:i, s:i}, "
                        "s:{s:{s:s}}}",
                        "name", "Lab", "workspace", ID, "location", "local",
                        "creator", CREATOR, "folder", "Users/ann", "runtime",
                        "0a0b0c0d", "commands", "size", "cores", 4, "memory",
                        1024, "requested", "subnet", "id", "net");
        assert_non_null(doc);
    } else {
        assert_int_equal(rc, AML_REGISTRY_OK);
    }
    assert_int_equal(amld_operation_begin(txn, &w->key, doc, operation),
                     AML_REGISTRY_OK);
    amld_compute_set_state(doc, to);
    assert_int_equal(amld_compute_store(txn, &w->config, &w->key, doc),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_notify(txn, &w->key), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    json_decref(doc);
    amld_wake(&d);
}


static json_t *
load(world_t *w)
{
    json_t *doc;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_read(w->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    rc = amld_compute_load(txn, &w->key, &doc);
    aml_registry_end(txn);
    assert_true(rc == AML_REGISTRY_OK || rc == AML_REGISTRY_NOTFOUND);

    return doc;
}


static amld_state_t
state_of(world_t *w)
{
    json_t *doc = load(w);
    amld_state_t state =
        doc != NULL ? amld_compute_state(doc) : AMLD_STATE_COUNT;

    json_decref(doc);

    return state;
}


static void
becomes(world_t *w, amld_state_t state)
{
    int i;

    for (i = 0; i < 3000; i++) {
        if (state_of(w) == state) {
            return;
        }
        usleep(10000);
    }

    fail_msg("state %d instead of %s", (int) state_of(w),
             state < AMLD_STATE_COUNT ? amld_state_name(state) : "none");
}


/* Status of the newest operation of that name. */
static int
operation_each(void *data, aml_str_t key, aml_str_t value)
{
    const char **wanted = data;
    json_t *op = json_loadb(value.p, value.n, 0, NULL);

    (void) key;
    if (strcmp(amld_compute_str(op, "name"), wanted[0]) == 0 &&
        strcmp(amld_compute_str(op, "status"), wanted[1]) == 0) {
        wanted[2] = "yes";
    }
    json_decref(op);

    return 0;
}


static inline int
operation(world_t *w, const char *name, const char *status)
{
    const char *wanted[3] = {name, status, NULL};
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_read(w->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_each(txn, aml_str("operation/"), aml_str(""),
                                       operation_each, wanted),
                     AML_REGISTRY_OK);
    aml_registry_end(txn);

    return wanted[2] != NULL;
}


static inline const char *
failure(world_t *w, char text[2048])
{
    json_t *doc = load(w);

    snprintf(text, 2048, "%s",
             amld_compute_str(json_array_get(json_object_get(doc, "errors"), 0),
                              "message"));
    json_decref(doc);

    return text;
}


static inline int64_t
generation(world_t *w)
{
    json_t *doc = load(w);
    int64_t n = json_integer_value(json_object_get(doc, "generation"));

    json_decref(doc);

    return n;
}


static inline pid_t
shim(world_t *w)
{
    json_t *doc = load(w);
    amld_command_id_t id = {0};

    (void) amld_compute_command(doc, "jupyter", &id);
    json_decref(doc);

    return (pid_t) id.pid;
}


static inline int
has_route(world_t *w)
{
    return scratch_count(w->scratch, "route/lab/8888") == 1;
}


/* Does it answer where its route says? */
static inline int
port_answers(world_t *w, unsigned port)
{
    char key[AML_REGISTRY_KEY_MAX + 1], text[64];
    size_t n = aml_key_route(key, aml_str("lab"), port);
    int fd, rc;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    aml_registry_txn_t *txn;
    aml_route_t route;
    aml_str_t value;
    ssize_t got = 0;

    assert_int_equal(aml_registry_read(w->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    rc = aml_registry_get(txn, key, n, &value) == AML_REGISTRY_OK &&
         aml_route_decode(value, &route) == AML_RECORD_OK &&
         route.address.n > 5;
    if (rc) {
        memcpy(addr.sun_path, route.address.p + 5, route.address.n - 5);
    }
    aml_registry_end(txn);
    if (!rc) {
        return 0;
    }

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *) &addr, sizeof(addr)) == 0 &&
        send(fd, "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL) == 18) {
        got = recv(fd, text, sizeof(text), 0);
    }
    close(fd);

    return got > 12 && memcmp(text, "HTTP/1.1 200", 12) == 0;
}


static inline int
answers(world_t *w)
{
    return port_answers(w, 8888);
}


static inline int
quiet(world_t *w)
{
    int i;

    for (i = 0; i < 500 && left(w) != 0; i++) {
        usleep(10000);
    }

    return left(w) == 0;
}

#endif /* AML_SUPERVISOR_FIXTURE_H */
