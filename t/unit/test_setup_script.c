/*
 * Set-up scripts: how they are read, and run by the supervisor over a real
 * registry, with the process engine.
 */

#include "t/unit/supervisor_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>

#include <openssl/evp.h>

#include "computes/instances/setup_script.h"


static void
splits(void **state)
{
    static const struct {
        const char *text;
        int n;
        const char *words[4];
    } cases[] = {
        {"", 0, {0}},
        {"  \t ", 0, {0}},
        {"one", 1, {"one"}},
        {" one  two ", 2, {"one", "two"}},
        {"'a b' \"c d\"", 2, {"a b", "c d"}},
        {"a'b c'd", 1, {"ab cd"}},
        {"''", 1, {""}},
        {"a\\ b \\' \"\\\"\"", 3, {"a b", "'", "\""}},
        {"'\\'", 1, {"\\"}},
        {"$HOME `id` ; #", 4, {"$HOME", "`id`", ";", "#"}},
        {"'open", -1, {0}},
        {"\"open", -1, {0}},
        {"1 2 3 4 5", -1, {0}},
        {"end\\", 1, {"end\\"}},
    };
    char text[64];
    const char *words[4];
    size_t i;
    int k;

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(text, sizeof(text), "%s", cases[i].text);
        assert_int_equal(amld_setup_script_split(text, words, 4), cases[i].n);
        for (k = 0; k < cases[i].n; k++) {
            assert_string_equal(words[k], cases[i].words[k]);
        }
    }
}


static json_t *
encoded(const char *text)
{
    char data[4096];
    int n = (int) strlen(text);

    assert_true(n < 3000);
    EVP_EncodeBlock((unsigned char *) data, (const unsigned char *) text, n);

    return json_string(data);
}


static json_t *
scripts(const char *creation, const char *startup, const char *timeout)
{
    json_t *s = json_object();

    if (creation != NULL) {
        json_object_set_new(s, "creationScript",
                            json_pack("{s:s, s:o, s:s, s:s}", "scriptSource",
                                      "inline", "scriptData", encoded(creation),
                                      "scriptArguments", "'a b' c", "timeout",
                                      timeout));
    }
    if (startup != NULL) {
        json_object_set_new(s, "startupScript",
                            json_pack("{s:s, s:o}", "scriptSource", "inline",
                                      "scriptData", encoded(startup)));
    }

    return json_pack("{s:{s:o}}", "setupScripts", "scripts", s);
}


static void
is_read(void **state)
{
    json_t *doc = json_pack("{s:s, s:o}", "state", "Creating", "requested",
                            scripts("echo $1", "exit 0", "PT90S"));
    amld_setup_script_t s;
    char err[256];

    (void) state;
    assert_non_null(doc);
    assert_int_equal(
        amld_setup_script_of(doc, AMLD_STEP_CREATION, &s, err, sizeof(err)), 1);
    assert_int_equal(s.timeout, 90);
    assert_string_equal(s.text, "echo $1");
    assert_string_equal(s.argv[4], "a b");
    assert_string_equal(s.argv[5], "c");
    assert_null(s.argv[6]);
    amld_setup_script_free(&s);

    assert_int_equal(
        amld_setup_script_of(doc, AMLD_STEP_STARTUP, &s, err, sizeof(err)), 1);
    assert_int_equal(s.timeout, AMLD_SCRIPT_SECONDS);
    assert_null(s.argv[4]);
    amld_setup_script_free(&s);

    /* once only, but that at whatever start */
    json_object_set_new(doc, "created", json_true());
    assert_int_equal(
        amld_setup_script_of(doc, AMLD_STEP_CREATION, &s, err, sizeof(err)), 0);
    json_object_del(doc, "created");
    json_object_set_new(doc, "state", json_string("Starting"));
    assert_int_equal(
        amld_setup_script_of(doc, AMLD_STEP_CREATION, &s, err, sizeof(err)), 1);
    amld_setup_script_free(&s);

    /* what nobody but a damaged registry says */
    json_object_set_new(doc, "requested",
                        json_pack("{s:{s:{s:{s:s}}}}", "setupScripts",
                                  "scripts", "startupScript", "scriptData",
                                  "!"));
    assert_int_equal(
        amld_setup_script_of(doc, AMLD_STEP_STARTUP, &s, err, sizeof(err)), -1);
    json_object_set_new(doc, "requested",
                        json_pack("{s:{s:{s:{s:s}}}}", "setupScripts",
                                  "scripts", "startupScript", "scriptData",
                                  "YQBi"));
    assert_int_equal(
        amld_setup_script_of(doc, AMLD_STEP_STARTUP, &s, err, sizeof(err)), -1);
    json_object_set_new(doc, "requested",
                        json_pack("{s:{s:{s:{s:s,s:s}}}}", "setupScripts",
                                  "scripts", "startupScript", "scriptData",
                                  "YWE=", "scriptArguments", "'open"));
    assert_int_equal(
        amld_setup_script_of(doc, AMLD_STEP_STARTUP, &s, err, sizeof(err)), -1);
    assert_non_null(strstr(err, "startupScript"));
    json_decref(doc);
}


/* ---- run ---- */

/* Asks for it with scripts, while amld is down. */
static void
create_with(world_t *w, json_t *requested)
{
    json_t *doc;
    aml_registry_txn_t *txn;

    (void) amld_end(w, SIGKILL);
    want(w, "Create", AMLD_STATE_CREATING);
    doc = load(w);
    assert_int_equal(json_object_set_new(doc, "requested", requested), 0);
    assert_int_equal(aml_registry_write(w->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_store(txn, &w->config, &w->key, doc),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    json_decref(doc);
    amld_again(w);
}


static void
create(world_t *w, const char *creation, const char *startup,
       const char *timeout)
{
    create_with(w, scripts(creation, startup, timeout));
}


static const char *
file(world_t *w, const char *name, char text[1024])
{
    char path[192];
    size_t n = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/Users/ann/%s", w->share, name);
    f = fopen(path, "r");
    if (f != NULL) {
        n = fread(text, 1, 1023, f);
        fclose(f);
    }
    text[n] = '\0';

    return text;
}


static void
at_creation_and_at_start(void **state)
{
    world_t *w = *state;
    char text[1024];

    create(w, "echo \"creation [$1] [$2] $#\" >> trace",
           "#!/bin/sh -e\necho start $AML_INSTANCE >> trace", "PT1M");
    becomes(w, AMLD_STATE_RUNNING);
    assert_string_equal(file(w, "trace", text),
                        "creation [a b] [c] 2\nstart lab\n");
    want(w, "Restart", AMLD_STATE_RESTARTING);
    becomes(w, AMLD_STATE_RUNNING);
    want(w, "Stop", AMLD_STATE_STOPPING);
    becomes(w, AMLD_STATE_STOPPED);
    want(w, "Start", AMLD_STATE_STARTING);
    becomes(w, AMLD_STATE_RUNNING);
    assert_string_equal(file(w, "trace", text),
                        "creation [a b] [c] 2\nstart lab\nstart lab\n"
                        "start lab\n");
}


static void
creation_fails(void **state)
{
    world_t *w = *state;
    char text[2048];

    create(w, "echo no such package >&2; test -e ok; exit $?", NULL, "PT1M");
    becomes(w, AMLD_STATE_SETUP_FAILED);
    assert_non_null(strstr(failure(w, text),
                           "The creation script failed with exit status 1"));
    assert_non_null(strstr(text, "no such package"));
    assert_true(operation(w, "Create", "Failed"));
    assert_int_equal(left(w), 0);

    /* the same again, when what was missing is there */
    snprintf(text, 192, "%s/Users/ann/ok", w->share);
    assert_int_equal(mkdir(text, 0755), 0);
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
}


static void
startup_fails(void **state)
{
    world_t *w = *state;
    char text[2048];

    create(w, NULL, "mkdir once || { echo twice; exit 5; }", "PT1M");
    becomes(w, AMLD_STATE_RUNNING);
    want(w, "Restart", AMLD_STATE_RESTARTING);
    becomes(w, AMLD_STATE_STOPPED);
    assert_non_null(strstr(failure(w, text),
                           "The startup script failed with exit status 5"));
    assert_non_null(strstr(text, "twice"));
    assert_true(operation(w, "Restart", "Failed"));
}


static void
takes_too_long(void **state)
{
    world_t *w = *state;
    char text[2048];

    create(w, "echo thinking; sleep 1000", NULL, "PT1S");
    becomes(w, AMLD_STATE_SETUP_FAILED);
    assert_non_null(strstr(failure(w, text),
                           "The creation script did not end within 1 second"));
    assert_non_null(strstr(text, "thinking"));
    assert_int_equal(left(w), 0);
}


/* What a process was started with, or its environment, which everybody may
 * read or its account: is the text in there? */
static int
seen(const char *text)
{
    static char buf[262144];
    static const char *const files[] = {"cmdline", "environ"};
    char path[300];
    size_t k, n;
    DIR *dir;
    FILE *f;
    int found = 0;
    struct dirent *entry;

    dir = opendir("/proc");
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        for (k = 0; k < 2 && entry->d_name[0] >= '1' && entry->d_name[0] <= '9';
             k++) {
            snprintf(path, sizeof(path), "/proc/%s/%s", entry->d_name,
                     files[k]);
            f = fopen(path, "r");
            if (f != NULL) {
                n = fread(buf, 1, sizeof(buf), f);
                found += memmem(buf, n, text, strlen(text)) != NULL;
                fclose(f);
            }
        }
    }
    closedir(dir);

    return found;
}


/* Its text is nobody else's, also while it runs and after amld was killed; what
 * it reads is nothing. */
static void
is_not_seen(void **state)
{
    world_t *w = *state;
    char text[1024], secret[64], script[256];
    int i;

    /* not in the arguments of this test's either */
    snprintf(secret, sizeof(secret), "token-%ld-%s", (long) getpid(), "lapis");
    snprintf(script, sizeof(script),
             "# %s\n"
             "wc -c >> trace; test -e go || until test -e go; do\n"
             "sleep 0.05; done; grep -c lapis \"$0\" >> trace",
             secret);
    create(w, script, NULL, "PT1M");
    for (i = 0; i < 2000 && file(w, "trace", text)[0] == '\0'; i++) {
        usleep(10000);
    }
    assert_int_equal(seen("creationScript"), 2); /* shim and shell */
    assert_int_equal(seen(secret), 0);
    (void) amld_end(w, SIGKILL);
    amld_again(w);
    assert_int_equal(seen(secret), 0);
    snprintf(text, 192, "%s/Users/ann/go", w->share);
    assert_int_equal(mkdir(text, 0755), 0);
    becomes(w, AMLD_STATE_RUNNING);
    assert_string_equal(file(w, "trace", text), "0\n2\n");
}


/* amld is killed while it runs: it is not run twice. */
static void
outlives_amld(void **state)
{
    world_t *w = *state;
    char text[1024];
    int i;

    create(w, "echo creation >> trace; until test -e go; do sleep 0.05; done",
           "echo start >> trace", "PT1M");
    for (i = 0; i < 2000 && file(w, "trace", text)[0] == '\0'; i++) {
        usleep(10000);
    }
    (void) amld_end(w, SIGKILL);
    amld_again(w);
    assert_int_equal(state_of(w), AMLD_STATE_CREATING);
    (void) amld_end(w, SIGKILL);
    snprintf(text, 192, "%s/Users/ann/go", w->share);
    assert_int_equal(mkdir(text, 0755), 0);
    assert_true(quiet(w));
    amld_again(w);
    becomes(w, AMLD_STATE_RUNNING);
    assert_string_equal(file(w, "trace", text), "creation\nstart\n");
}


/* The creation script was run; what came after it begins anew. */
static void
not_twice(void **state)
{
    world_t *w = *state;
    char text[1024];
    int i;

    behave(w, "hang");
    create(w, "echo creation >> trace", "echo start >> trace", "PT1M");
    for (i = 0; i < 2000 && strstr(file(w, "trace", text), "start") == NULL;
         i++) {
        usleep(10000);
    }
    while (shim(w) == 0) {
        usleep(10000);
    }
    (void) amld_end(w, SIGKILL);
    kill(shim(w), SIGKILL);
    behave(w, "");
    amld_again(w);
    becomes(w, AMLD_STATE_RUNNING);
    assert_string_equal(file(w, "trace", text), "creation\nstart\nstart\n");
}


/* ---- in the share ---- */

static json_t *
stored(const char *path)
{
    return json_pack("{s:{s:{s:{s:s,s:s,s:s}}}}", "setupScripts", "scripts",
                     "creationScript", "scriptSource", "workspaceStorage",
                     "scriptData", path, "scriptArguments", "'a b' c");
}


/* By a shell, in ann's folder. */
static void
in_folder(world_t *w, const char *commands)
{
    char text[1024];

    assert_true(
        snprintf(text, sizeof(text),
                 "umask 022; mkdir -p %s/Users/ann && cd %s/Users/ann || "
                 "exit 1\n%s",
                 w->share, w->share, commands) < (int) sizeof(text));
    assert_int_equal(system(text), 0);
}


static void
path_is_read(void **state)
{
    static const char *const bad[] = {
        "",
        "/Users/ann/x",
        "Users/ann/../bob/x",
        "Users/ann/./x",
        "Users/ann//x",
        "Users/ann/",
        "Users/ann/a\nb",
        "Users/ann/a\x7f",
        "Users/bob/x",
        "Users/ann",
        "Users/annx/x",
    };
    char err[256];
    size_t i;
    json_t *doc;
    amld_setup_script_t s;

    (void) state;

    doc = json_pack("{s:s,s:o}", "folder", "Users/ann", "requested",
                    stored("Users/ann/d/x.sh"));
    assert_int_equal(
        amld_setup_script_of(doc, AMLD_STEP_CREATION, &s, err, sizeof(err)), 1);
    assert_null(s.text);
    assert_string_equal(s.argv[4], "Users/ann/d/x.sh");
    assert_string_equal(s.argv[5], "d/x.sh");
    assert_string_equal(s.argv[6], "a b");
    assert_string_equal(s.argv[7], "c");
    assert_null(s.argv[8]);
    amld_setup_script_free(&s);

    /* what the control API keeps out */
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json_object_set_new(doc, "requested", stored(bad[i]));
        if (amld_setup_script_of(doc, AMLD_STEP_CREATION, &s, err,
                                 sizeof(err)) != -1) {
            fail_msg("%s", bad[i]);
        }
        assert_non_null(strstr(err, "creationScript"));
    }
    json_object_del(doc, "folder");
    json_object_set_new(doc, "requested", stored("/x"));
    assert_int_equal(
        amld_setup_script_of(doc, AMLD_STEP_CREATION, &s, err, sizeof(err)),
        -1);
    json_decref(doc);
}


static void
from_the_share(void **state)
{
    world_t *w = *state;
    char text[1024];

    /* runs where it lies, and without being executable */
    in_folder(w, "mkdir -p 'd/$(x)' && cat > 'd/$(x)/-e y.sh' <<'EOF'\n"
                 "echo \"[$1] [$2] $#\" >> \"$OLDPWD/trace\"\n"
                 "pwd | sed 's,.*/Users/,,' >> \"$OLDPWD/trace\"\n"
                 "umask >> \"$OLDPWD/trace\"\n"
                 "wc -c >> \"$OLDPWD/trace\"\n"
                 "EOF\n");
    create_with(w, stored("Users/ann/d/$(x)/-e y.sh"));
    becomes(w, AMLD_STATE_RUNNING);
    assert_string_equal(file(w, "trace", text),
                        "[a b] [c] 2\nann/d/$(x)\n0022\n0\n");
}


static void
not_anybodys(void **state)
{
    static const struct {
        const char *made, *path, *why;
        int root;
    } cases[] = {
        {":", "none.sh", "none.sh is not run: there is no such file", 0},
        {":", "none/x.sh", "none/x.sh is not run: there is no such file", 0},
        {"echo exit 0 > f", "f/x.sh", "f/x.sh is not run: there is no such", 0},
        {"mkdir d", "d", "d is not run: it is no regular file", 0},
        {"mkfifo p", "p", "p is not run: it is no regular file", 0},
        {"ln -s /dev/null n", "n", "n is not run: it is a symbolic link", 0},
        {"mkdir ../bob && echo exit 0 > ../bob/x.sh && ln -s ../bob/x.sh l.sh",
         "l.sh", "l.sh is not run: it is a symbolic link", 0},
        {"ln -s ../bob b", "b/x.sh", "b/x.sh is not run: ./b is a symbolic", 0},
        {"echo exit 0 > g.sh && chmod 664 g.sh", "g.sh",
         "g.sh is not run: others may write to it (chmod go-w)", 0},
        {"echo exit 0 > o.sh && chmod 646 o.sh", "o.sh",
         "o.sh is not run: others may write to it", 0},
        {"mkdir -m 775 g && echo exit 0 > g/x.sh", "g/x.sh",
         "g/x.sh is not run: others may write to ./g (", 0},
        {"mkdir -p o/p && echo exit 0 > o/p/x.sh && chmod 1777 o", "o/p/x.sh",
         "o/p/x.sh is not run: others may write to ./o (", 0},
        {"echo exit 0 > t.sh && chown 65534 t.sh", "t.sh",
         "t.sh is not run: it belongs to somebody else", 1},
        {"mkdir t && echo exit 0 > t/x.sh && chown 65534 t", "t/x.sh",
         "t/x.sh is not run: ./t belongs to somebody else", 1},
        {"echo exit 0 > w.sh && chmod 777 .", "w.sh",
         "w.sh is not run: others may write to the folder (chmod go-w)", 0},
    };
    world_t *w = *state;
    char path[64], text[2048];
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cases[i].root && geteuid() != 0) {
            continue;
        }
        in_folder(w, cases[i].made);
        snprintf(path, sizeof(path), "Users/ann/%s", cases[i].path);
        create_with(w, stored(path));
        becomes(w, AMLD_STATE_SETUP_FAILED);
        failure(w, text);
        if (strstr(text, "The creation script failed with exit status 126") ==
                NULL ||
            strstr(text, "\nUsers/ann/") == NULL ||
            strstr(text, cases[i].why) == NULL) {
            fail_msg("%s: %s", cases[i].path, text);
        }
        assert_int_equal(left(w), 0);
    }

    /* the same again, when it is right */
    in_folder(w, "chmod 755 .");
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
}


/* As it is run, but here: 1 when it is known to have said `good`, 0 when it was
 * refused. */
static int
run_here(const amld_setup_script_t *s, const char *folder)
{
    char text[256];
    int fds[2], status;
    pid_t pid;
    size_t n;
    ssize_t r;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fds[1], 1);
        close(2);
        if (chdir(folder) == 0) {
            execv(s->argv[0], (char *const *) s->argv);
        }
        _exit(1);
    }
    close(fds[1]);
    for (n = 0; (r = read(fds[0], text + n, sizeof(text) - 1 - n)) > 0;) {
        n += (size_t) r;
    }
    text[n] = '\0';
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (n == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 126) {
        return 0;
    }
    assert_string_equal(text, "good\n");

    return 1;
}


/* What is looked at is what is run, however often another takes its place. */
static void
swapped(void **state)
{
    world_t *w = *state;
    char err[256], folder[192], one[224], other[224];
    int i, good = 0, status;
    json_t *doc;
    pid_t pid;
    amld_setup_script_t s;

    in_folder(w, "mkdir ../bob && echo echo evil > ../bob/x.sh && "
                 "ln -s ../bob/x.sh other && echo echo good > x.sh");
    snprintf(folder, sizeof(folder), "%s/Users/ann", w->share);
    snprintf(one, sizeof(one), "%s/x.sh", folder);
    snprintf(other, sizeof(other), "%s/other", folder);

    doc = json_pack("{s:s,s:o}", "folder", "Users/ann", "requested",
                    stored("Users/ann/x.sh"));
    assert_int_equal(
        amld_setup_script_of(doc, AMLD_STEP_CREATION, &s, err, sizeof(err)), 1);

    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            (void) renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
            usleep(100);
        }
    }
    for (i = 0; i < 300 && (i < 100 || good < 5); i++) {
        good += run_here(&s, folder);
    }
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_in_range(good, 1, i - 1);
    amld_setup_script_free(&s);
    json_decref(doc);
}


int
main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits),
        cmocka_unit_test(is_read),
        TEST(at_creation_and_at_start),
        TEST(creation_fails),
        TEST(startup_fails),
        TEST(takes_too_long),
        TEST(is_not_seen),
        TEST(outlives_amld),
        TEST(not_twice),
        cmocka_unit_test(path_is_read),
        TEST(from_the_share),
        TEST(not_anybodys),
        TEST(swapped),
    };

    if (argc > 1 && strcmp(argv[1], "shim") == 0) {
        return amld_shim_main(argc - 1, argv + 1);
    }
    if (argc > 1) {
        return stand_in(argc, argv);
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("setup_script", tests, NULL, NULL);
}
