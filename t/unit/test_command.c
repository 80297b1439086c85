/*
 * Commands under a shim: results that outlive amld, accounts, environments.
 */

#include "t/unit/scratch.h"

#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "computes/engines/command.h"
#include "computes/engines/engine.h"
#include "computes/engines/shim.h"

typedef struct {
    char dir[64];
    char err[512];
} place_t;


static int
setup(void **state)
{
    place_t *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    strcpy(p->dir, "/tmp/aml-command-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    assert_int_equal(chmod(p->dir, 0777), 0);
    *state = p;

    return 0;
}


static int
teardown(void **state)
{
    place_t *p = *state;
    char command[96];

    amld_command_sweep(p->dir, NULL);
    while (waitpid(-1, NULL, WNOHANG) > 0) {
        /* void */
    }
    snprintf(command, sizeof(command), "rm -rf %s", p->dir);
    assert_int_equal(system(command), 0);
    free(p);

    return 0;
}


static void
spawn_as(place_t *p, const char *script, const amld_command_user_t *user,
         int release, amld_command_id_t *id)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    static const char *const envp[] = {"PATH=/usr/bin:/bin", NULL};
    amld_command_spawn_t spawn = {
        .name = "step",
        .runtime = p->dir,
        .directory = p->dir,
        .argv = argv,
        .envp = envp,
        .user = user,
        .status = 1,
    };
    int hold;

    if (amld_command_spawn(&spawn, id, &hold, p->err, sizeof(p->err)) != 0) {
        fail_msg("%s", p->err);
    }
    assert_int_equal(amld_command_result(p->dir, "step"),
                     AMLD_COMMAND_NOT_BEGUN);
    if (release) {
        assert_int_equal(amld_engine_release(hold), 0);
    } else {
        close(hold);
    }
}


static void
ends(const amld_command_id_t *id)
{
    int i;

    for (i = 0; i < 2000; i++) {
        if (amld_command_inspect(id) != AMLD_COMMAND_RUNNING) {
            return;
        }
        usleep(10000);
    }
    fail_msg("it does not end");
}


static int
result_of(place_t *p, const char *script)
{
    amld_command_id_t id;

    spawn_as(p, script, NULL, 1, &id);
    ends(&id);

    return amld_command_result(p->dir, "step");
}


static const char *
wrote(place_t *p, const char *name, char *text, size_t size)
{
    char path[128];
    size_t n;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", p->dir, name);
    f = fopen(path, "r");
    assert_non_null(f);
    n = fread(text, 1, size - 1, f);
    fclose(f);
    text[n] = '\0';

    return text;
}


static void
results(void **state)
{
    place_t *p = *state;
    amld_command_id_t id;

    assert_int_equal(result_of(p, "exit 0"), 0);
    assert_int_equal(result_of(p, "exit 3"), 3);
    assert_int_equal(result_of(p, "exit 255"), 255);
    assert_int_equal(result_of(p, "kill -TERM $$"), 128 + SIGTERM);
    assert_int_equal(result_of(p, "kill -KILL $PPID; exec sleep 1000"),
                     AMLD_COMMAND_NO_RESULT);

    /* what was there is forgotten with the next */
    spawn_as(p, "exit 0", NULL, 0, &id);
    ends(&id);
    assert_int_equal(amld_command_result(p->dir, "step"),
                     AMLD_COMMAND_NOT_BEGUN);

    spawn_as(p, "sleep 1000", NULL, 1, &id);
    while (amld_command_result(p->dir, "step") == AMLD_COMMAND_NOT_BEGUN) {
        usleep(1000);
    }
    assert_int_equal(amld_command_result(p->dir, "step"),
                     AMLD_COMMAND_NO_RESULT);
    assert_int_equal(amld_command_stop(&id, 1), 0);
    ends(&id);
    assert_int_equal(amld_command_result(p->dir, "step"), 128 + SIGKILL);
}


/* A file that nobody but the shim wrote is no result. */
static void
damaged_results(void **state)
{
    static const char *const cases[] = {"", "exit", "exit x", "began   \n"};
    place_t *p = *state;
    char path[128];
    size_t i;
    FILE *f;

    snprintf(path, sizeof(path), "%s/step.status", p->dir);
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        f = fopen(path, "w");
        assert_non_null(f);
        fputs(cases[i], f);
        fclose(f);
        assert_int_equal(amld_command_result(p->dir, "step"),
                         AMLD_COMMAND_NO_RESULT);
    }
    unlink(path);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_int_equal(amld_command_result(p->dir, "step"),
                     AMLD_COMMAND_NO_RESULT);
}


static void
log_of_each_run(void **state)
{
    place_t *p = *state;
    char text[1024];

    assert_int_equal(result_of(p, "echo first"), 0);
    assert_int_equal(result_of(p, "echo second"), 0);
    assert_non_null(strstr(wrote(p, "step.log", text, sizeof(text)), "second"));
    assert_null(strstr(text, "first"));
    assert_non_null(
        strstr(wrote(p, "step.log.1", text, sizeof(text)), "first"));
}


static void
as_another(void **state)
{
    place_t *p = *state;
    char text[1024];
    struct passwd *nobody = getpwnam("nobody");
    amld_command_id_t id;
    amld_command_user_t user;

    if (geteuid() != 0 || nobody == NULL) {
        skip();
    }
    user = (amld_command_user_t){nobody->pw_uid, nobody->pw_gid, "nobody"};

    spawn_as(p,
             "{ id -u; id -g; id -G; umask; "
             "kill -KILL $PPID || echo protected; } > out 2>&1",
             &user, 1, &id);
    ends(&id);
    assert_int_equal(amld_command_result(p->dir, "step"), 0);
    wrote(p, "out", text, sizeof(text));
    assert_int_equal(strtol(text, NULL, 10), (long) user.uid);
    assert_null(strstr(text, "\n0\n"));
    assert_non_null(strstr(text, "\n0022\n"));
    assert_non_null(strstr(text, "protected"));

    /* and it ends with its shim */
    spawn_as(p, "exec sleep 1000", &user, 1, &id);
    while (amld_command_result(p->dir, "step") == AMLD_COMMAND_NOT_BEGUN) {
        usleep(1000);
    }
    usleep(50000);
    assert_int_equal(amld_command_stop(&id, 2), 0);
    ends(&id);
    {
        char mark[96];
        int i;
        snprintf(mark, sizeof(mark), "AML_COMMAND=%s/step", p->dir);
        for (i = 0; i < 500 && amld_proc_kill_marked(mark, 0, 0) != 0; i++) {
            usleep(10000);
        }
        assert_int_equal(amld_proc_kill_marked(mark, 0, 0), 0);
    }
}


static void
no_such_account(void **state)
{
    place_t *p = *state;
    amld_command_id_t id;
    amld_command_user_t user = {12345, 12345, "no-such-account-here"};

    spawn_as(p, "touch ran", &user, 1, &id);
    ends(&id);
    if (geteuid() != 0) {
        assert_int_equal(amld_command_result(p->dir, "step"), 126);
    }
    user.name = NULL;
    spawn_as(p, "id -G > groups", &user, 1, &id);
    ends(&id);
    assert_int_equal(amld_command_result(p->dir, "step"),
                     geteuid() == 0 ? 0 : 126);
}


static void
environments(void **state)
{
    amld_command_env_t e;
    char big[AMLD_COMMAND_ROOM + 8];
    size_t i, n;

    (void) state;

    amld_command_env_init(&e);
    assert_int_equal(amld_command_env_account(&e, geteuid(), "/opt/x/bin"), 0);
    for (i = 0, n = 0; e.entries[i] != NULL; i++) {
        n += strncmp(e.entries[i], "PATH=/opt/x/bin:/usr/local/bin:", 31) == 0;
        n += strncmp(e.entries[i], "HOME=/", 6) == 0;
    }
    assert_int_equal(n, 2);
    assert_int_equal(e.count, i);

    assert_int_equal(amld_command_env_add(&e, "HOME=/other"), 0);
    assert_int_equal(e.count, i); /* in place of the other */
    assert_int_equal(amld_command_env_add(&e, "no assignment"), -1);

    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    assert_int_equal(amld_command_env_set(&e, "BIG", "%s", big), -1);

    for (n = 0; n < AMLD_COMMAND_ENV; n++) {
        char name[16];
        snprintf(name, sizeof(name), "V%zu", n);
        if (amld_command_env_set(&e, name, "1") != 0) {
            break;
        }
    }
    assert_int_equal(e.count, AMLD_COMMAND_ENV);
    assert_null(e.entries[AMLD_COMMAND_ENV]);
}


/* Somebody who makes new processes as fast as old ones are ended holds nobody
 * up. */
static void
sweep_ends(void **state)
{
    place_t *p = *state;
    char mark[128];
    int k;
    pid_t breeder;
    struct timespec begin, end;

    snprintf(mark, sizeof(mark), "AML_COMMAND=%s/breed", p->dir);
    breeder = fork();
    if (breeder == 0) {
        signal(SIGCHLD, SIG_IGN);
        setpgid(0, 0);
        for (;;) {
            char *const argv[] = {(char *) "/bin/sleep", (char *) "60", NULL};
            char *const envp[] = {mark, NULL};

            if (fork() == 0) {
                execve(argv[0], argv, envp);
                _exit(1);
            }
            usleep(100);
        }
    }
    for (k = 0; k < 1000 && amld_proc_kill_marked(mark, 0, 0) == 0; k++) {
        usleep(1000);
    }
    assert_true(k < 1000);

    clock_gettime(CLOCK_MONOTONIC, &begin);
    amld_command_sweep(p->dir, NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    kill(breeder, SIGKILL);
    waitpid(breeder, NULL, 0);
    amld_command_sweep(p->dir, NULL);

    /* twice what it allows itself */
    assert_true(end.tv_sec - begin.tv_sec <= 1);
    assert_int_equal(amld_proc_kill_marked(mark, 0, 0), 0);
}


int
main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(sweep_ends),
        TEST(results),
        TEST(damaged_results),
        TEST(log_of_each_run),
        TEST(as_another),
        TEST(no_such_account),
        cmocka_unit_test(environments),
    };

    if (argc > 1 && strcmp(argv[1], "shim") == 0) {
        return amld_shim_main(argc - 1, argv + 1);
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
