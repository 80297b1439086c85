/*
 * What the engine podman is made of and needs no container for: programs that
 * are run, names of networks, rules, notes.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "computes/engines/podman.h"
#include "computes/engines/podman_run.h"
#include "computes/engines/procfs.h"


/* podman takes a lot for the name of an image that is not one. */
static void
images(void **state)
{
    size_t k;

    static const char *const good[] = {
        "base",
        "localhost/base:1",
        "registry.example.org:5000/team/train:2026-11_a",
        "localhost/x@sha256:0123456789abcdef",
        "oci/tools:1",
        "15e44bf5f07a",
    };
    static const char *const bad[] = {
        "",
        "-v/etc:/etc",
        "--privileged",
        "dir:/etc",
        "DIR:/etc",
        "oci:/tmp/x",
        "docker-archive:/tmp/x.tar",
        "docker://docker.io/library/x",
        "containers-storage:x",
        "a b",
        "a;b",
        "a\nb",
        "../x",
        "/etc",
        "[overlay@/x]y",
    };

    (void) state;

    for (k = 0; k < sizeof(good) / sizeof(*good); k++) {
        if (!amld_podman_is_image(good[k])) {
            fail_msg("%s", good[k]);
        }
    }
    for (k = 0; k < sizeof(bad) / sizeof(*bad); k++) {
        if (amld_podman_is_image(bad[k])) {
            fail_msg("%s", bad[k]);
        }
    }
}


static int
run(const char *script, const char *input, unsigned seconds, char *out,
    size_t size, char err[512])
{
    amld_podman_args_t a;

    amld_podman_args(&a, "/bin/sh");
    amld_podman_arg(&a, "-c");
    amld_podman_arg(&a, "%s", script);

    return amld_podman_run(&a, input, seconds, out, size, err, 512);
}


static void
programs(void **state)
{
    char out[64], err[512];
    amld_podman_args_t a;

    (void) state;

    assert_int_equal(run("echo hi; echo no >&2", NULL, 5, out, 64, err), 0);
    assert_string_equal(out, "hi");
    assert_string_equal(err, "");

    assert_int_equal(run("cat", "what is\nsaid\n", 5, out, 64, err), 0);
    assert_string_equal(out, "what is\nsaid");

    assert_int_equal(run("cat /dev/zero | head -c 100000 | tr '\\0' x", NULL, 5,
                         out, 64, err),
                     0);
    assert_int_equal(strlen(out), 63); /* cut */

    assert_int_equal(
        run("echo first >&2; echo 'Error: why' >&2; echo ^^ >&2; exit 7", NULL,
            5, out, 64, err),
        7);
    assert_non_null(strstr(err, "ended with exit status 7: Error: why"));

    assert_int_equal(run("echo last >&2; kill -9 $$", NULL, 5, out, 64, err),
                     -1);
    assert_non_null(strstr(err, "was ended by signal 9: last"));

    amld_podman_args(&a, "/nowhere/podman");
    amld_podman_arg(&a, "--runtime=x");
    amld_podman_arg(&a, "run");
    assert_int_equal(amld_podman_run(&a, NULL, 5, out, 64, err, 512), 127);
    assert_string_equal(err, "cannot run /nowhere/podman: No such file or "
                             "directory");
}


static void
programs_that_do_not_end(void **state)
{
    char err[512];
    time_t since = time(NULL);

    (void) state;

    assert_int_equal(run("sleep 1000", NULL, 1, NULL, 0, err), -1);
    assert_non_null(strstr(err, "did not end within 1 seconds"));
    assert_int_equal(run("yes", NULL, 1, NULL, 0, err), -1);
    assert_int_equal(run("yes >&2", NULL, 1, NULL, 0, err), -1);

    /* what it leaves behind has its output, and is not waited for */
    assert_int_equal(
        run("sleep 1000 & echo $! > /dev/null", NULL, 20, NULL, 0, err), 0);
    assert_true(time(NULL) - since < 15);
}


static void
long_command_lines(void **state)
{
    char err[512];
    int i;
    amld_podman_args_t a;

    (void) state;

    amld_podman_args(&a, "true");
    for (i = 0; i < AMLD_PODMAN_ARGS; i++) {
        amld_podman_arg(&a, "x");
    }
    assert_int_equal(amld_podman_run(&a, NULL, 5, NULL, 0, err, 512), -1);
    assert_non_null(strstr(err, "command line of true is too long"));
}


static void
networks(void **state)
{
    char one[64], two[64];
    amld_podman_spec_t s = {.key = "0011aabb", .subnet = ""};

    (void) state;

    amld_podman_network_name(&s, one, sizeof(one));
    assert_string_equal(one, "aml-0011aabb-default");

    s.subnet = "/subscriptions/1/subnets/A";
    amld_podman_network_name(&s, one, sizeof(one));
    s.subnet = "/SUBSCRIPTIONS/1/subnets/a";
    amld_podman_network_name(&s, two, sizeof(two));
    assert_string_equal(one, two);
    s.subnet = "/subscriptions/1/subnets/b";
    amld_podman_network_name(&s, two, sizeof(two));
    assert_string_not_equal(one, two);

    /* nothing that somebody writes is part of a name */
    s.subnet = "../../x --force";
    amld_podman_network_name(&s, two, sizeof(two));
    assert_int_equal(strlen(two), strlen("aml-0011aabb-0123456789ab"));
    assert_null(strstr(two, ".."));
}


static void
rules(void **state)
{
    char text[4096];
    const char *bridges[] = {"podman1", "podman2"};
    amld_podman_spec_t s = {.key = "0011aabb"};

    (void) state;

    s.host_ports = json_pack("[i]", 443);
    s.gateway = json_pack("[ii]", 0, 33);

    assert_int_equal(amld_podman_rules(&s, bridges, 2, text, sizeof(text)), 0);
    assert_non_null(strstr(text, "delete table inet aml_0011aabb\n"));
    assert_non_null(strstr(text, "{ \"podman1\", \"podman2\" }"));
    assert_non_null(strstr(text, "tcp dport 443 accept"));
    assert_non_null(strstr(text, "skuid != { 0, 33 }"));
    assert_non_null(strstr(
        text, "iifname \"podman2\" oifname @bridges oifname != \"podman2\""));

    /* none left: no table */
    assert_int_equal(amld_podman_rules(&s, bridges, 0, text, sizeof(text)), 0);
    assert_null(strstr(text, "chain"));
    assert_non_null(strstr(text, "delete table inet aml_0011aabb\n"));

    assert_int_equal(amld_podman_rules(&s, bridges, 2, text, 100), -1);

    json_decref((json_t *) s.host_ports);
    json_decref((json_t *) s.gateway);
}


/* One more than there is room for is refused: it does not push out another's
 * rules.  No program is needed for that. */
static void
networks_without_number(void **state)
{
    char directory[] = "/tmp/aml-unit-XXXXXX", podman[64], path[128], err[512];
    FILE *f;
    int i, lock, mended;
    amld_podman_spec_t s = {.key = "0011aabb",
                            .state = directory,
                            .podman = "/bin/false",
                            .subnet = "/subscriptions/1/subnets/one-more",
                            .timeout = 5};

    (void) state;

    assert_non_null(mkdtemp(directory));
    snprintf(podman, sizeof(podman), "%s/podman", directory);
    assert_int_equal(mkdir(podman, 0700), 0);

    for (i = 0; i < 1025; i++) {
        snprintf(path, sizeof(path), "%s/aml-0011aabb-%012x", podman, i);
        f = fopen(path, "w");
        assert_non_null(f);
        fprintf(f, "amlunit%d\n", i);
        assert_int_equal(fclose(f), 0);

        if (i == 1022) {
            assert_int_equal(amld_podman_network(&s, &lock, err, sizeof(err)),
                             -1);
            assert_non_null(strstr(err, "/bin/false"));
        } else if (i == 1023) {
            assert_int_equal(amld_podman_network(&s, &lock, err, sizeof(err)),
                             -1);
            assert_non_null(strstr(err, "there are 1024 networks"));
        }
    }

    /* and where there are more already, none is left out in silence */
    assert_int_equal(amld_podman_network_tend(&s, 1, &mended, err, sizeof(err)),
                     -1);
    assert_non_null(strstr(err, "more than 1024"));

    for (i = 0; i < 1025; i++) {
        snprintf(path, sizeof(path), "%s/aml-0011aabb-%012x", podman, i);
        assert_int_equal(unlink(path), 0);
    }
    snprintf(path, sizeof(path), "%s/lock", podman);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(podman), 0);
    assert_int_equal(rmdir(directory), 0);
}


/* There is room for the rules of as many as are let in. */
static void
many_rules(void **state)
{
    char name[1024][16], *text;
    const char *bridges[1024];
    size_t i;
    amld_podman_spec_t s = {.key = "0011aabb"};

    (void) state;

    for (i = 0; i < 1024; i++) {
        snprintf(name[i], sizeof(name[i]), "long-name-%05zu", i);
        bridges[i] = name[i];
    }
    text = malloc(AMLD_PODMAN_RULES);
    assert_non_null(text);
    s.host_ports = json_array();
    s.gateway = json_array();

    assert_int_equal(
        amld_podman_rules(&s, bridges, 1024, text, AMLD_PODMAN_RULES), 0);
    assert_non_null(strstr(text, "\"long-name-01023\" reject"));

    json_decref((json_t *) s.host_ports);
    json_decref((json_t *) s.gateway);
    free(text);
}


static void
note(const char *directory, const char *id, long long pid, uint64_t started,
     const char *boot)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/container.json", directory);
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f,
            "{\"id\": \"%s\", \"runtime\": \"runc\", \"boot\": \"%s\", "
            "\"pid\": %lld, \"started\": %llu}",
            id, boot, pid, (unsigned long long) started);
    assert_int_equal(fclose(f), 0);
}


static void
containers_that_run(void **state)
{
    char directory[] = "/tmp/aml-unit-XXXXXX", path[128];
    char boot[AMLD_BOOT_ID], id[65];
    amld_proc_t proc;
    amld_podman_container_t c;
    amld_podman_spec_t s = {.directory = directory};

    (void) state;

    assert_non_null(mkdtemp(directory));
    memset(id, 'a', 64);
    id[64] = '\0';
    assert_int_equal(amld_proc_boot(boot), 0);
    assert_int_equal(amld_proc_read(getpid(), &proc), 0);

    assert_int_equal(amld_podman_running(&s, &c), 0); /* none */
    note(directory, id, getpid(), proc.started, boot);
    assert_int_equal(amld_podman_running(&s, &c), 1);
    assert_string_equal(c.id, id);
    assert_int_equal(c.pid, getpid());

    note(directory, id, getpid(), proc.started + 1,
         boot); /* another's number */
    assert_int_equal(amld_podman_running(&s, &c), 0);
    note(directory, id, getpid(), proc.started, "another boot");
    assert_int_equal(amld_podman_running(&s, &c), 0);
    note(directory, "--all", getpid(), proc.started, boot);
    assert_int_equal(amld_podman_running(&s, &c), 0);
    note(directory, id, -1, proc.started, boot);
    assert_int_equal(amld_podman_running(&s, &c), 0);

    snprintf(path, sizeof(path), "%s/container.json", directory);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images),
        cmocka_unit_test(programs),
        cmocka_unit_test(programs_that_do_not_end),
        cmocka_unit_test(long_command_lines),
        cmocka_unit_test(networks),
        cmocka_unit_test(rules),
        cmocka_unit_test(networks_without_number),
        cmocka_unit_test(many_rules),
        cmocka_unit_test(containers_that_run),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("podman", tests, NULL, NULL);
}
