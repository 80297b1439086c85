/*
 * The process engine with real processes.  It starts this program as its
 * shim; the commands are shells.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "computes/engines/engine.h"
#include "computes/engines/procfs.h"
#include "computes/engines/shim.h"
#include "computes/files/files.h"

typedef struct {
    char dir[64];
    char runtime[96];
    char work[96];
    char err[512];
    amld_config_t config;
    amld_engine_instance_t instance;
    const amld_engine_t *engine;
} place_t;


static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;
    return remove(path);
}


static int
setup(void **state)
{
    place_t *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    strcpy(p->dir, "/tmp/aml-engine-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->runtime, sizeof(p->runtime), "%s/i/a", p->dir);
    snprintf(p->work, sizeof(p->work), "%s/work", p->dir);
    assert_int_equal(mkdir(p->work, 0755), 0);

    p->instance.name = "lab";
    p->instance.runtime = p->runtime;
    p->instance.directory = p->work;
    p->engine = amld_engine_find("process");
    assert_non_null(p->engine);
    assert_int_equal(
        p->engine->create(&p->config, &p->instance, p->err, sizeof(p->err)), 0);
    assert_int_equal(
        p->engine->start(&p->config, &p->instance, p->err, sizeof(p->err)), 0);
    *state = p;

    return 0;
}


static int
teardown(void **state)
{
    place_t *p = *state;

    p->engine->destroy(&p->config, &p->instance, p->err, sizeof(p->err));
    while (waitpid(-1, NULL, WNOHANG) > 0) {
        /* void */
    }
    nftw(p->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(p);

    return 0;
}


static int
exec_script(place_t *p, const char *name, const char *script,
            amld_command_id_t *id, int *hold)
{
    static const char *const env[] = {"GREETING=hello", "LANG=de_DE.UTF-8",
                                      "AML_COMMAND=forged", NULL};
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    amld_command_t command = {.name = name, .argv = argv, .envp = env};

    return p->engine->exec(&p->config, &p->instance, &command, id, hold, p->err,
                           sizeof(p->err));
}


static void
start(place_t *p, const char *name, const char *script, amld_command_id_t *id)
{
    int hold;

    if (exec_script(p, name, script, id, &hold) != 0) {
        fail_msg("%s", p->err);
    }
    assert_int_equal(amld_engine_release(hold), 0);
}


static int
ends(const amld_command_id_t *id)
{
    struct pollfd fd = {amld_command_watch(id), POLLIN, 0};
    int n = 1;

    if (fd.fd != -1) {
        n = poll(&fd, 1, 20000);
        close(fd.fd);
    }

    return n == 1 && amld_command_inspect(id) == AMLD_COMMAND_ENDED;
}


/* What a script has written, once it has. */
static const char *
wrote(place_t *p, const char *name, char *text, size_t size)
{
    char path[160];
    int i;
    size_t n = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", p->work, name);
    for (i = 0; i < 2000 && n == 0; i++) {
        f = fopen(path, "r");
        if (f != NULL) {
            n = fread(text, 1, size - 1, f);
            fclose(f);
        }
        usleep(10000);
    }
    text[n] = '\0';
    assert_true(n != 0);

    return text;
}


static int
lives(pid_t pid)
{
    amld_proc_t proc;

    return amld_proc_read(pid, &proc) == 0 && proc.state != 'Z' &&
           proc.state != 'X';
}


static int
gone(pid_t pid)
{
    int i;

    for (i = 0; i < 1000 && lives(pid); i++) {
        usleep(10000);
    }

    return !lives(pid);
}


static void
table(void **state)
{
    (void) state;

    assert_non_null(amld_engine_find("process"));
    assert_null(amld_engine_find(""));
    assert_null(amld_engine_find("Process"));
    assert_null(amld_engine_find("slurm"));
}


static void
runs_and_stops(void **state)
{
    place_t *p = *state;
    char text[4096];
    amld_command_id_t id;

    start(p, "jupyter",
          "{ pwd; env; umask; echo $PPID; } > out.tmp; mv out.tmp out; "
          "exec sleep 1000",
          &id);
    assert_int_equal(amld_command_inspect(&id), AMLD_COMMAND_RUNNING);
    wrote(p, "out", text, sizeof(text));

    assert_memory_equal(text, p->work, strlen(p->work));
    assert_non_null(strstr(text, "\nGREETING=hello\n"));
    assert_non_null(strstr(text, "\nLANG=de_DE.UTF-8\n"));
    assert_non_null(strstr(text, "\nAML_INSTANCE=lab\n"));
    assert_non_null(strstr(text, "\nHOME=/"));
    assert_non_null(strstr(text, "\n0022\n"));
    assert_null(strstr(text, "forged"));
    assert_null(strstr(text, "SECRET_OF_AMLD"));

    assert_int_equal(amld_command_stop(&id, 0), 0);
    assert_true(ends(&id));
    assert_int_equal(amld_command_stop(&id, 0), -1);
    assert_int_equal(amld_command_stop(&id, 1), -1);
    assert_int_equal(amld_command_watch(&id), -1);
}


static void
called_off(void **state)
{
    place_t *p = *state;
    int hold;
    char path[160];
    amld_command_id_t id;

    assert_int_equal(exec_script(p, "jupyter", "touch ran", &id, &hold), 0);
    assert_int_equal(amld_command_inspect(&id), AMLD_COMMAND_RUNNING);
    close(hold);
    assert_true(ends(&id));
    snprintf(path, sizeof(path), "%s/ran", p->work);
    assert_int_equal(access(path, F_OK), -1);
}


static void
cannot_start(void **state)
{
    place_t *p = *state;
    int hold;
    amld_command_id_t id;

    p->instance.directory = "/nowhere";
    assert_int_equal(exec_script(p, "jupyter", "true", &id, &hold), -1);
    assert_non_null(strstr(p->err, "No such file"));
    p->instance.directory = p->work;
}


/* amld is killed: the command goes on, and another amld knows it again. */
static void
outlives_its_amld(void **state)
{
    place_t *p = *state;
    int fds[2];
    pid_t amld;
    amld_command_id_t id;

    assert_int_equal(pipe(fds), 0);
    amld = fork();
    if (amld == 0) {
        start(p, "jupyter", "exec sleep 1000", &id);
        if (write(fds[1], &id, sizeof(id)) != sizeof(id)) {
            _exit(1);
        }
        pause();
        _exit(1);
    }
    assert_int_equal(read(fds[0], &id, sizeof(id)), sizeof(id));
    close(fds[0]);
    close(fds[1]);
    kill(amld, SIGKILL);
    waitpid(amld, NULL, 0);

    usleep(200000);
    assert_int_equal(amld_command_inspect(&id), AMLD_COMMAND_RUNNING);
    assert_int_equal(amld_command_stop(&id, 0), 0);
    assert_true(ends(&id));
}


static void
others_are_not_touched(void **state)
{
    size_t i;
    pid_t bystander = fork();
    amld_proc_t proc;
    amld_command_id_t id, wrong[7];

    (void) state;

    if (bystander == 0) {
        pause();
        _exit(0);
    }
    assert_int_equal(amld_proc_read(bystander, &proc), 0);

    memset(&id, 0, sizeof(id));
    id.pid = bystander;
    id.started = proc.started;
    assert_int_equal(amld_proc_boot(id.boot), 0);
    assert_int_equal(amld_command_inspect(&id), AMLD_COMMAND_RUNNING);

    for (i = 0; i < 7; i++) {
        wrong[i] = id;
    }
    wrong[0].started++;    /* the number is used again */
    wrong[1].boot[3] ^= 1; /* the machine was restarted */
    wrong[2].boot[0] = '\0';
    wrong[3].pid = -1;
    wrong[4].pid = 0;
    wrong[5].pid = 1;
    wrong[6].pid += 1LL << 32;

    for (i = 0; i < 7; i++) {
        assert_int_equal(amld_command_inspect(&wrong[i]), AMLD_COMMAND_LOST);
        assert_int_equal(amld_command_watch(&wrong[i]), -1);
        assert_int_equal(amld_command_stop(&wrong[i], 0), -1);
        assert_int_equal(amld_command_stop(&wrong[i], 1), -1);
        assert_int_equal(amld_command_stop(&wrong[i], 2), -1);
    }
    assert_true(lives(bystander));

    kill(bystander, SIGKILL);
    assert_true(gone(bystander));
    assert_int_equal(amld_command_inspect(&id), AMLD_COMMAND_ENDED);
    waitpid(bystander, NULL, 0);
    assert_int_equal(amld_command_inspect(&id), AMLD_COMMAND_ENDED);
}


#define DAEMON                                                                 \
    "(setsid sh -c 'echo $$ > daemon.tmp; mv daemon.tmp daemon; "              \
    "exec sleep 1000' &) ; exec sleep 1000"

static void
nothing_is_left(void **state)
{
    place_t *p = *state;
    char text[64], near[96];
    pid_t daemon;
    amld_command_id_t id, other;
    amld_engine_instance_t mine = p->instance;

    /* an instance whose directory's name begins the same */
    snprintf(near, sizeof(near), "%s/i/ab", p->dir);
    p->instance.runtime = near;
    assert_int_equal(amld_files_mkdir(near, 0700), 0);
    start(p, "jupyter", "exec sleep 1000", &other);
    p->instance = mine;

    start(p, "jupyter", DAEMON, &id);
    daemon = atoi(wrote(p, "daemon", text, sizeof(text)));
    assert_int_equal(amld_command_stop(&id, 2), 0); /* the shim itself */
    assert_true(ends(&id));
    assert_true(lives(daemon));

    assert_int_equal(
        p->engine->destroy(&p->config, &p->instance, p->err, sizeof(p->err)),
        0);
    assert_true(gone(daemon));
    assert_int_equal(amld_command_inspect(&other), AMLD_COMMAND_RUNNING);
    assert_int_equal(amld_command_stop(&other, 1), 0);
    assert_true(ends(&other));
}


/* The same command again: what the one before has left goes first. */
static void
again(void **state)
{
    place_t *p = *state;
    char text[64], path[160];
    pid_t daemon;
    amld_command_id_t id;

    start(p, "jupyter", DAEMON, &id);
    daemon = atoi(wrote(p, "daemon", text, sizeof(text)));
    assert_int_equal(amld_command_stop(&id, 2), 0);
    assert_true(ends(&id));
    snprintf(path, sizeof(path), "%s/daemon", p->work);
    unlink(path);

    start(p, "jupyter", "exec sleep 1000", &id);
    assert_true(gone(daemon));
    assert_int_equal(amld_command_stop(&id, 1), 0);
    assert_true(ends(&id));
}


/* Its own user may have stopped it: an order to kill works all the same. */
static void
stopped_shim(void **state)
{
    place_t *p = *state;
    amld_command_id_t id;

    start(p, "jupyter", "exec sleep 1000", &id);
    kill((pid_t) id.pid, SIGSTOP);
    assert_int_equal(amld_command_stop(&id, 0), 0);
    usleep(200000);
    assert_int_equal(amld_command_inspect(&id), AMLD_COMMAND_RUNNING);
    assert_int_equal(amld_command_stop(&id, 1), 0);
    assert_true(ends(&id));
}


static void
private_directory(void **state)
{
    static const struct {
        const char *name;
        int stays;
    } cases[] = {
        {"jupyter.log", 1},  {"jupyter.log.1", 1}, {"data", 1},
        {"jupyter.sock", 0}, {"tmp", 0},           {"run", 0},
    };
    place_t *p = *state;
    char path[160];
    size_t i;
    struct stat st;

    assert_int_equal(stat(p->runtime, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s/x", p->runtime, cases[i].name);
        assert_int_equal(amld_files_mkdir(path, 0700), 0);
    }
    assert_int_equal(
        p->engine->destroy(&p->config, &p->instance, p->err, sizeof(p->err)),
        0);
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", p->runtime, cases[i].name);
        assert_int_equal(access(path, F_OK) == 0, cases[i].stays);
    }
}


/* However many files there are: they are put aside, for others to remove. */
static void
put_aside(void **state)
{
    place_t *p = *state;
    char path[160];
    size_t n = 0;
    DIR *dir;
    struct dirent *entry;

    snprintf(path, sizeof(path), "%s/tmp/theirs", p->runtime);
    assert_int_equal(amld_files_mkdir(path, 0700), 0);
    assert_int_equal(
        p->engine->destroy(&p->config, &p->instance, p->err, sizeof(p->err)),
        0);
    snprintf(path, sizeof(path), "%s/i/.gone", p->dir);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof(path), "%s/i/.gone/%.32s/theirs", p->dir,
                 entry->d_name);
        n += access(path, F_OK) == 0;
    }
    closedir(dir);
    assert_int_equal(n, 1);
}


int
main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table), TEST(runs_and_stops),
        TEST(called_off),        TEST(cannot_start),
        TEST(outlives_its_amld), TEST(others_are_not_touched),
        TEST(nothing_is_left),   TEST(again),
        TEST(stopped_shim),      TEST(private_directory),
        TEST(put_aside),
    };

    if (argc > 1 && strcmp(argv[1], "shim") == 0) {
        return amld_shim_main(argc - 1, argv + 1);
    }

    setenv("SECRET_OF_AMLD", "1", 1);
    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("engine_process", tests, NULL, NULL);
}
