/*
 * SSH as an application: what sshd is told, and what the control API says of
 * it.
 */

#include "t/unit/arm_bodies.h"
#include "t/unit/ssh_keys.h"

#include "upstreams/application.h"
#include "upstreams/peer.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const aml_application_vars_t vars = {
    .program = "/usr/sbin/sshd",
    .socket = "/run/aml/i/first-lab/ssh.sock",
    .directory = "/srv/share",
    .folder = "/srv/share/Users/o'neill",
    .runtime = "/run/aml/i/first-lab",
    .origin = "https://first-lab-22.instances.example.org",
    .user = "ada",
    .bin = "/opt/jupyter/bin",
    .public_key = "ssh-ed25519 AAAA ada",
};


static const char *
text(const aml_application_file_t *files, const char *path)
{
    for (; files->path != NULL; files++) {
        if (strcmp(files->path, path) == 0) {
            return files->text;
        }
    }

    fail_msg("%s is missing", path);

    return NULL;
}


static void
command(void **state)
{
    const aml_application_t *a = aml_application_by_port(22);
    const char *argv[AML_APPLICATION_ARGS], *envp[AML_APPLICATION_ARGS];
    char room[8192], longer[AML_PEER_PATH_MAX + 2];
    aml_application_vars_t other = vars;

    (void) state;

    assert_string_equal(a->name, "ssh");
    assert_int_equal(a->tunnel, 1);
    assert_int_equal(a->by_key, 1);
    assert_int_equal(a->on_demand, 0);
    assert_null(a->links[0].display_name);

    assert_int_equal(a->command(&vars, argv, envp, room, sizeof(room)), 0);
    assert_string_equal(argv[0], "sh");
    assert_string_equal(argv[4], "/usr/sbin/sshd");
    assert_string_equal(argv[5], "/run/aml/i/first-lab/ssh.sock");
    assert_string_equal(argv[6], "/run/aml/i/first-lab/ssh");
    assert_string_equal(argv[7], "/opt/jupyter/bin");
    assert_null(argv[8]);
    assert_null(envp[0]);

    assert_int_equal(a->command(&vars, argv, envp, room, 20), -1);
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    other.socket = longer;
    assert_int_equal(a->command(&other, argv, envp, room, sizeof(room)), -1);
}


static void
told(void **state)
{
    static const char *const always[] = {
        "\nAuthenticationMethods publickey\n",
        "\nPasswordAuthentication no\n",
        "\nKbdInteractiveAuthentication no\n",
        "\nPermitUserRC no\n",
        "\nPermitUserEnvironment no\n",
        "\nGatewayPorts no\n",
        "\nAllowTcpForwarding yes\n",
        "\nUsePAM no\n",
        "\nForceCommand exec /bin/sh '/run/aml/i/first-lab/ssh/session'\n",
        ("\nAuthorizedKeysFile "
         "\"/run/aml/i/first-lab/ssh/authorized_keys\"\n"),
    };
    const aml_application_t *a = aml_application_by_port(22);
    aml_application_file_t list[AML_APPLICATION_FILES];
    aml_application_vars_t other = vars;
    char room[16384], folder[9000];
    const char *config;
    size_t i;

    (void) state;

    assert_int_equal(a->files(&vars, list, room, sizeof(room)), 0);
    assert_null(text(list, "ssh"));
    assert_string_equal(text(list, "ssh/authorized_keys"),
                        "ssh-ed25519 AAAA ada\n");
    config = text(list, "ssh/sshd_config");
    for (i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
        assert_non_null(strstr(config, always[i]));
    }
    assert_non_null(strstr(config, "\nAllowUsers ada\n"));
    assert_non_null(strstr(config, "\nPermitRootLogin no\n"));
    assert_ptr_equal(text(list, "ssh/session"),
                     strstr(text(list, "ssh/session"),
                            "folder='/srv/share/Users/o'\\''neill' "
                            "bin='/opt/jupyter/bin'\n"));

    /* Root inside; a name that would be a pattern; nothing is known. */
    other.as_root = 1;
    other.user = "root";
    assert_int_equal(a->files(&other, list, room, sizeof(room)), 0);
    config = text(list, "ssh/sshd_config");
    assert_non_null(strstr(config, "\nPermitRootLogin prohibit-password\n"));
    assert_non_null(strstr(config, "\nAllowUsers root\n"));

    other.user = "a*";
    assert_int_equal(a->files(&other, list, room, sizeof(room)), 0);
    assert_null(strstr(text(list, "ssh/sshd_config"), "AllowUsers"));

    other.user = NULL;
    other.bin = NULL;
    other.folder = NULL;
    other.public_key = NULL;
    assert_int_equal(a->files(&other, list, room, sizeof(room)), 0);
    assert_null(strstr(text(list, "ssh/sshd_config"), "AllowUsers"));
    assert_string_equal(text(list, "ssh/authorized_keys"), "\n");
    assert_ptr_equal(
        text(list, "ssh/session"),
        strstr(text(list, "ssh/session"), "folder='/srv/share' bin=''\n"));

    assert_int_equal(a->files(&vars, list, room, 300), -1);
    memset(folder, '\'', sizeof(folder));
    folder[sizeof(folder) - 1] = '\0';
    other.folder = folder;
    assert_int_equal(a->files(&other, list, room, sizeof(room)), -1);
}


static void
file_put(const char *dir, const char *name, const char *content, mode_t mode)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(content, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}


static size_t
file_get(const char *dir, const char *name, char *out, size_t size)
{
    char path[256];
    size_t n;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "r");
    n = f != NULL ? fread(out, 1, size - 1, f) : 0;
    out[n] = '\0';
    if (f != NULL) {
        (void) fclose(f);
    }

    return n;
}


/* Up to where socat would listen; FAILS is what ssh-keygen does before. */
static int
begin(const char *dir, const char *fails)
{
    const aml_application_t *a = aml_application_by_port(22);
    const char *argv[AML_APPLICATION_ARGS], *envp[AML_APPLICATION_ARGS];
    char room[8192];
    aml_application_vars_t here = vars;
    pid_t pid;
    int status;

    here.runtime = dir;
    assert_int_equal(a->command(&here, argv, envp, room, sizeof(room)), 0);
    file_put(dir, "fails", fails, 0644);

    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (freopen("/dev/null", "w", stdout) == NULL ||
            freopen("/dev/null", "w", stderr) == NULL) {
            _exit(126);
        }
        snprintf(room + sizeof(room) - 1024, 1024, "%s:%s", dir,
                 getenv("PATH"));
        setenv("DIR", dir, 1);
        setenv("PATH", room + sizeof(room) - 1024, 1);
        execvp(argv[0], (char *const *) argv);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));

    return WEXITSTATUS(status);
}


/* It goes only where it is the key that is broken. */
static void
host_key(void **state)
{
    char dir[] = "/tmp/aml-unit-XXXXXX", path[256];
    char first[4096], now[4096];

    (void) state;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/ssh", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    file_put(dir, "socat", "#!/bin/sh\nexit 0\n", 0755);
    file_put(dir, "ssh-keygen",
             "#!/bin/sh\n"
             "read -r n < \"$DIR/fails\" || n=0\n"
             "echo $((n - 1)) > \"$DIR/fails\"\n"
             "[ \"$n\" -le 0 ] || exit 255\n"
             "PATH=${PATH#*:}\n"
             "exec ssh-keygen \"$@\"\n",
             0755);

    assert_int_equal(begin(dir, "0\n"), 0);
    assert_true(file_get(dir, "ssh/host_key", first, sizeof(first)) > 0);
    assert_int_equal(begin(dir, "0\n"), 0);
    file_get(dir, "ssh/host_key", now, sizeof(now));
    assert_string_equal(now, first);

    /* once, twice, and always, as where there is no memory */
    assert_int_equal(begin(dir, "1\n"), 0);
    assert_int_not_equal(begin(dir, "2\n"), 0);
    assert_int_not_equal(begin(dir, "1000\n"), 0);
    file_get(dir, "ssh/host_key", now, sizeof(now));
    assert_string_equal(now, first);
    assert_int_equal(file_get(dir, "ssh/host_key.broken", now, sizeof(now)), 0);

    /* a disk that was full */
    file_put(dir, "ssh/host_key", "", 0600);
    assert_int_equal(begin(dir, "0\n"), 0);
    assert_true(file_get(dir, "ssh/host_key", now, sizeof(now)) > 0);
    assert_string_not_equal(now, first);
    file_put(dir, "ssh/host_key", "-----BEGIN", 0600);
    assert_int_equal(begin(dir, "0\n"), 0);
    assert_true(file_get(dir, "ssh/host_key", now, sizeof(now)) > 100);
    assert_int_equal(file_get(dir, "ssh/host_key.broken", now, sizeof(now)),
                     10);

    snprintf(path, sizeof(path), "rm -rf '%s'", dir);
    assert_int_equal(system(path), 0);
}


/* Of the answer: the port that is said, -1 for null. */
static int
port(const answer_t *a)
{
    int n;
    json_t *json, *found;

    json = json_loadb(a->body, a->body_len, 0, NULL);
    found = json_object_get(json, "properties");
    found = json_object_get(found, "properties");
    found = json_object_get(json_object_get(found, "sshSettings"), "sshPort");
    assert_non_null(found);
    n = json_is_null(found) ? -1 : (int) json_integer_value(found);
    json_decref(json);

    return n;
}


static json_t *
kept(server_t *s, const char *name)
{
    json_t *doc;
    amld_key_t key;
    aml_registry_txn_t *txn;

    assert_int_equal(amld_compute_key(&key, &workspace, name), 0);
    assert_int_equal(aml_registry_read(s->amld.registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_load(txn, &key, &doc), AML_REGISTRY_OK);
    aml_registry_end(txn);

    return doc;
}


static void
answered(void **state)
{
    server_t *s = *state;
    char v[1024];
    json_t *doc;
    answer_t a;

    a = call(s, "PUT", LAB,
             INSIDE("\"sshSettings\":{\"sshPublicAccess\":\"Enabled\","
                    "\"adminPublicKey\":\"" ED25519 "\"}"));
    assert_int_equal(a.status, 201);
    assert_int_equal(port(&a), 22);
    assert_string_equal(at(&a, P "sshSettings/adminUserName", v), "");

    doc = kept(s, "lab");
    assert_string_equal(amld_compute_public_key(doc), ED25519);
    json_decref(doc);

    /* Off is off, also with a key. */
    a = call(s, "PUT", W "/computes/off" V,
             INSIDE("\"sshSettings\":{\"sshPublicAccess\":\"NotSpecified\","
                    "\"adminPublicKey\":\"" ED25519 "\"}"));
    assert_int_equal(a.status, 201);
    doc = kept(s, "off");
    assert_null(amld_compute_public_key(doc));
    json_decref(doc);

    /* Where there is no sshd that is said before anything is made. */
    s->config.application_count = 1;
    a = call(s, "PUT", W "/computes/none" V,
             INSIDE("\"sshSettings\":{\"sshPublicAccess\":\"Enabled\","
                    "\"adminPublicKey\":\"" ED25519 "\"}"));
    assert_error(a, 400, "UserError");
    assert_string_equal(at(&a, "error/target", v),
                        "properties.properties.sshSettings");
    assert_non_null(strstr(at(&a, "error/message", v), "There is no SSH"));
    assert_int_equal(
        call(s, "PUT", W "/computes/plain" V,
             INSIDE("\"sshSettings\":{\"sshPublicAccess\":\"Disabled\"}"))
            .status,
        201);

    /* An instance of before says so, too. */
    a = call(s, "GET", LAB, NULL);
    assert_string_equal(at(&a, P "sshSettings/sshPublicAccess", v), "Enabled");
    assert_int_equal(port(&a), -1);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command),
        cmocka_unit_test(told),
        cmocka_unit_test(host_key),
        cmocka_unit_test_setup_teardown(answered, arm_setup, arm_teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("ssh", tests, NULL, NULL);
}
