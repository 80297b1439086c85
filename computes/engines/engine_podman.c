/*
 * The engine podman: one container an instance.  What takes time is done by
 * `amld engine-podman` (podman.h); here it is written down what it is to do,
 * and commands are started below it.  Commands are host processes under a shim
 * like those of the engine process: the one that is waited for is the
 * application's own, in the container.
 */

#include <errno.h>
#include <grp.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "computes/engines/engine.h"
#include "computes/engines/podman.h"
#include "computes/engines/podman_watch.h"
#include "computes/files/files.h"

/* Behind an amld that was replaced by a newer one it is still ours. */
#define PODMAN_SELF "/proc/self/exe"
#define PODMAN_PATH                                                            \
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PODMAN_MEMORY 2048 /* MB, where a size says nothing */

static int
podman_create(const amld_config_t *c, const amld_engine_instance_t *i,
              char *err, size_t size);
static int podman_start(const amld_config_t *c, const amld_engine_instance_t *i,
                        char *err, size_t size);
static int podman_exec(const amld_config_t *c, const amld_engine_instance_t *i,
                       const amld_command_t *command, amld_command_id_t *id,
                       int *hold, char *err, size_t size);
static int
podman_step(const amld_config_t *c, const amld_engine_instance_t *i,
            amld_step_kind_t step, const char **argv, const char **envp,
            char *room, size_t room_size, char *err, size_t size);
int amld_podman_ports(const amld_config_t *c, const amld_engine_instance_t *i,
                      const char *name, amld_command_id_t *id, int *hold,
                      char *err, size_t size);
static int podman_lost(const amld_config_t *c, const amld_engine_instance_t *i);
static int
podman_destroy(const amld_config_t *c, const amld_engine_instance_t *i,
               char *err, size_t size);
static void
podman_inside(const amld_config_t *c, const amld_engine_instance_t *i,
              amld_engine_inside_t *inside);

static int podman_spec(const amld_config_t *c, const amld_engine_instance_t *i,
                       const char *path, char *err, size_t size);
static json_t *
podman_spec_json(const amld_config_t *c, const amld_engine_instance_t *i,
                 int64_t uid, int64_t group, json_t *before);
static json_t *
podman_before(const amld_config_t *c, const amld_engine_instance_t *i,
              char *err, size_t size);
static int64_t podman_first_uid(unsigned base, unsigned range);
static void podman_key(const amld_config_t *c, char key[AMLD_PODMAN_KEY + 1]);
static json_t *podman_host_ports(const amld_config_t *c);
static json_t *podman_gateway(const amld_config_t *c);
static const char *podman_folder(const amld_engine_instance_t *i);
static const char *podman_base(const char *path);
static int
podman_environment(amld_command_env_t *e, const amld_engine_instance_t *i,
                   const amld_command_t *command);

const amld_engine_t amld_engine_podman = {
    .name = "podman",
    .isolation = "each instance is a container of its own: root inside, and "
                 "an account of its creator's own outside",
    .sockets = "/" AMLD_PODMAN_SOCKETS_DIR,
    .ranges = 1,
    .images = 1,
    .inside = podman_inside,
    .create = podman_create,
    .start = podman_start,
    .exec = podman_exec,
    .ports = amld_podman_ports,
    .lost = podman_lost,
    .step = podman_step,
    .destroy = podman_destroy,
};


static int
podman_create(const amld_config_t *c, const amld_engine_instance_t *i,
              char *err, size_t size)
{
    (void) c;

    if (amld_files_mkdir(i->runtime, 0700) != 0) {
        snprintf(err, size, "cannot make %s: %s", i->runtime, strerror(errno));
        return -1;
    }

    return 0;
}


/* The container is PREPARE's. */
static int
podman_start(const amld_config_t *c, const amld_engine_instance_t *i, char *err,
             size_t size)
{
    if (podman_destroy(c, i, err, size) != 0) {
        return -1;
    }

    return podman_create(c, i, err, size);
}


static int
podman_exec(const amld_config_t *c, const amld_engine_instance_t *i,
            const amld_command_t *command, amld_command_id_t *id, int *hold,
            char *err, size_t size)
{
    char spec[PATH_MAX];
    const char *argv[AMLD_COMMAND_ARGS];
    size_t k, n;
    amld_command_env_t env;
    amld_command_spawn_t spawn;

    (void) c;

    snprintf(spec, sizeof(spec), "%s/" AMLD_PODMAN_SPEC, i->runtime);

    n = 0;
    argv[n++] = PODMAN_SELF;
    argv[n++] = "engine-podman";
    argv[n++] = command->image != NULL ? "beside" : "exec";
    argv[n++] = spec;
    if (command->image != NULL) {
        argv[n++] = "--name";
        argv[n++] = command->name;
        argv[n++] = "--image";
        argv[n++] = command->image;
    }
    if (command->directory != NULL) {
        argv[n++] = "--directory";
        argv[n++] = command->directory;
    }
    if (command->once) {
        argv[n++] = "--group";
    }
    argv[n++] = "--";
    for (k = 0; command->argv[k] != NULL; k++) {
        if (n + 1 == AMLD_COMMAND_ARGS) {
            snprintf(err, size, "%s: the command line is too long",
                     command->name);
            return -1;
        }
        argv[n++] = command->argv[k];
    }
    argv[n] = NULL;

    if (podman_environment(&env, i, command) != 0) {
        snprintf(err, size, "%s: the environment is too long", command->name);
        return -1;
    }

    amld_engine_spawn(&spawn, i, command, &env);
    spawn.directory = i->runtime;
    spawn.enter = NULL;
    spawn.group = 0;
    spawn.argv = argv;

    return amld_command_spawn(&spawn, id, hold, err, size);
}


static int
podman_step(const amld_config_t *c, const amld_engine_instance_t *i,
            amld_step_kind_t step, const char **argv, const char **envp,
            char *room, size_t room_size, char *err, size_t size)
{
    const char *verb;
    size_t n;

    if ((size_t) snprintf(room, room_size, "%s/" AMLD_PODMAN_SPEC,
                          i->runtime) >= room_size) {
        snprintf(err, size, "%s: too long", i->runtime);
        return -1;
    }

    switch (step) {

    case AMLD_STEP_PREPARE:
        verb = "prepare";
        if (podman_spec(c, i, room, err, size) != 0) {
            return -1;
        }
        break;

    case AMLD_STEP_CLEAR:
    case AMLD_STEP_REMOVE:
        verb = step == AMLD_STEP_CLEAR ? "clear" : "remove";
        /* As it was made, whatever the configuration says now. */
        if (access(room, F_OK) != 0) {
            return 0;
        }
        break;

    default:
        return 0;
    }

    n = 0;
    argv[n++] = PODMAN_SELF;
    argv[n++] = "engine-podman";
    argv[n++] = verb;
    argv[n++] = room;
    argv[n] = NULL;
    envp[0] = NULL;

    return 1;
}


static int
podman_lost(const amld_config_t *c, const amld_engine_instance_t *i)
{
    amld_podman_container_t container;
    amld_podman_spec_t s;

    (void) c;

    memset(&s, 0, sizeof(s));
    s.directory = i->runtime;

    return !amld_podman_running(&s, &container);
}


/* Processes in the container have the mark, too. */
static int
podman_destroy(const amld_config_t *c, const amld_engine_instance_t *i,
               char *err, size_t size)
{
    (void) c;
    (void) err;
    (void) size;

    amld_command_sweep(i->runtime, NULL);

    return 0;
}


static void
podman_inside(const amld_config_t *c, const amld_engine_instance_t *i,
              amld_engine_inside_t *inside)
{
    (void) c;

    snprintf(inside->share, sizeof(inside->share), AMLD_PODMAN_SHARE);
    snprintf(inside->directory, sizeof(inside->directory),
             AMLD_PODMAN_SHARE "/%.4000s", podman_folder(i));
    snprintf(inside->runtime, sizeof(inside->runtime), AMLD_PODMAN_PRIVATE);
    snprintf(inside->kept, sizeof(inside->kept), "%.4000s/%s", i->runtime,
             "home" AMLD_PODMAN_KEPT);
    snprintf(inside->sockets, sizeof(inside->sockets), AMLD_PODMAN_SOCKETS);
    inside->user = "root";
    inside->as_root = 1;
}


static int
podman_spec(const amld_config_t *c, const amld_engine_instance_t *i,
            const char *path, char *err, size_t size)
{
    char next[PATH_MAX];
    int64_t uid, group;
    json_t *doc, *before;
    int rc;
    const struct group *gr;

    group = -1;
    if (c->registry_group != NULL) {
        gr = getgrnam(c->registry_group);
        if (gr == NULL) {
            snprintf(err, size, "there is no group %s any more",
                     c->registry_group);
            return -1;
        }
        group = gr->gr_gid;
    }

    uid = podman_first_uid(c->podman->uid_base, i->range);
    if (uid == -1) {
        snprintf(err, size,
                 "there are no more uids for another person: uid_base %u is "
                 "too high for number %u",
                 c->podman->uid_base, i->range);
        return -1;
    }

    before = podman_before(c, i, err, size);
    if (before == NULL) {
        return -1;
    }

    doc = podman_spec_json(c, i, uid, group, before);
    rc = -1;
    if (doc != NULL &&
        (size_t) snprintf(next, sizeof(next), "%s.new", path) < sizeof(next)) {
        rc = json_dump_file(doc, next, JSON_INDENT(2)) == 0 &&
                     rename(next, path) == 0
                 ? 0
                 : -1;
    }
    json_decref(doc);

    if (rc != 0) {
        snprintf(err, size, "%s: %s", path, strerror(errno));
    }

    return rc;
}


static json_t *
podman_spec_json(const amld_config_t *c, const amld_engine_instance_t *i,
                 int64_t uid, int64_t group, json_t *before)
{
    char key[AMLD_PODMAN_KEY + 1], container[NAME_MAX];
    size_t k;
    json_t *images;
    const amld_podman_config_t *p = c->podman;

    podman_key(c, key);
    snprintf(container, sizeof(container), "aml-%s-%.200s", key,
             podman_base(i->runtime));

    images = json_array();
    for (k = 0; p->images[k] != NULL; k++) {
        json_array_append_new(images, json_string(p->images[k]));
    }

    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o,"
        " s:o, s:o, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
        "podman", p->program, "ociRuntime", p->runtime, "image", p->image,
        "gpu", p->gpu, "state", c->state, "key", key, "name", i->name,
        "container", container, "directory", i->runtime, "share", i->share,
        "folder", podman_folder(i), "subnet", i->subnet, "hostPorts",
        podman_host_ports(c), "gateway", podman_gateway(c), "images", images,
        "before", before, "account", i->account != NULL ? i->account : "",
        "accountLeast", (json_int_t) c->unix_accounts_least, "timeout",
        (json_int_t) p->timeout, "uid", (json_int_t) uid, "group",
        (json_int_t) group, "cores", (json_int_t) (i->cores > 0 ? i->cores : 1),
        "memory",
        (json_int_t) (i->memory_mb > 0 ? i->memory_mb : PODMAN_MEMORY), "gpus",
        (json_int_t) i->gpus, "pids", (json_int_t) p->pids);
}


/* Of the creator's uids those that were so under another uid_base: the first of
 * each range.  Bases are noted as they are used. */
static json_t *
podman_before(const amld_config_t *c, const amld_engine_instance_t *i,
              char *err, size_t size)
{
    char path[PATH_MAX], line[32];
    unsigned base;
    int known;
    int64_t uid;
    FILE *f;
    json_t *before;

    before = NULL;
    if ((size_t) snprintf(path, sizeof(path), "%s/podman", c->state) >=
            sizeof(path) - sizeof("/uid_base") ||
        amld_files_mkdir(path, 0700) != 0) {
        goto failed;
    }
    strcat(path, "/uid_base");

    f = fopen(path, "a+e");
    before = json_array();
    if (f == NULL || before == NULL) {
        if (f != NULL) {
            fclose(f);
        }
        goto failed;
    }

    known = 0;
    rewind(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        base = (unsigned) strtoul(line, NULL, 10);
        uid = podman_first_uid(base, i->range);
        if (base == c->podman->uid_base) {
            known = 1;
        } else if (base != 0 && uid != -1) {
            json_array_append_new(before, json_integer(uid));
        }
    }

    if (!known && fseek(f, 0, SEEK_END) == 0) {
        fprintf(f, "%u\n", c->podman->uid_base);
    }
    if (fclose(f) == 0) {
        return before;
    }

failed:

    snprintf(err, size, "%s: %s", path, strerror(errno));
    json_decref(before);

    return NULL;
}


/* -1 when there are none for that number. */
static int64_t
podman_first_uid(unsigned base, unsigned range)
{
    int64_t uid;

    uid = (int64_t) base + ((int64_t) range - 1) * AMLD_PODMAN_RANGE;

    return range == 0 || uid + AMLD_PODMAN_RANGE > UINT32_MAX ? -1 : uid;
}


int
amld_podman_spec_of(const amld_config_t *c, amld_podman_spec_t *s)
{
    char key[AMLD_PODMAN_KEY + 1];

    memset(s, 0, sizeof(*s));
    podman_key(c, key);

    s->json = json_pack("{s:s, s:o, s:o}", "key", key, "hostPorts",
                        podman_host_ports(c), "gateway", podman_gateway(c));
    if (s->json == NULL) {
        return -1;
    }

    s->key = json_string_value(json_object_get(s->json, "key"));
    s->host_ports = json_object_get(s->json, "hostPorts");
    s->gateway = json_object_get(s->json, "gateway");
    s->podman = c->podman->program;
    s->state = c->state;
    s->subnet = "";
    s->timeout = c->podman->timeout;

    return 0;
}


static void
podman_key(const amld_config_t *c, char key[AMLD_PODMAN_KEY + 1])
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    size_t k;

    SHA256((const unsigned char *) c->state, strlen(c->state), hash);
    for (k = 0; k < AMLD_PODMAN_KEY / 2; k++) {
        snprintf(key + 2 * k, 3, "%02x", hash[k]);
    }
}


static json_t *
podman_host_ports(const amld_config_t *c)
{
    size_t k;
    json_t *ports;

    ports = json_array();
    for (k = 0; k < c->podman->host_port_count; k++) {
        json_array_append_new(ports, json_integer(c->podman->host_ports[k]));
    }

    return ports;
}


static json_t *
podman_gateway(const amld_config_t *c)
{
    size_t k;
    json_t *gateway;

    gateway = json_array();
    for (k = 0; k < c->gateway_uid_count; k++) {
        json_array_append_new(gateway,
                              json_integer((json_int_t) c->gateway_uids[k]));
    }

    return gateway;
}


/* Of the creator, below the share. */
static const char *
podman_folder(const amld_engine_instance_t *i)
{
    size_t n = strlen(i->share);

    return strncmp(i->directory, i->share, n) == 0 && i->directory[n] == '/'
               ? i->directory + n + 1
               : ".";
}


static const char *
podman_base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}


static int
podman_environment(amld_command_env_t *e, const amld_engine_instance_t *i,
                   const amld_command_t *command)
{
    char bin[PATH_MAX];
    size_t k;

    amld_command_env_init(e);

    /* An image has what is needed for itself. */
    bin[0] = '\0';
    if (command->image == NULL) {
        amld_engine_bin(command, bin, sizeof(bin));
    }

    if (amld_command_env_set(e, "AML_INSTANCE", "%s", i->name) != 0) {
        return -1;
    }

    if (command->image == NULL &&
        (amld_command_env_set(e, "PATH", "%s%s" PODMAN_PATH, bin,
                              bin[0] != '\0' ? ":" : "") != 0 ||
         amld_command_env_set(e, "HOME", AMLD_PODMAN_HOME) != 0 ||
         amld_command_env_set(e, "USER", "root") != 0 ||
         amld_command_env_set(e, "LOGNAME", "root") != 0 ||
         amld_command_env_set(e, "SHELL", "/bin/bash") != 0 ||
         amld_command_env_set(e, "LANG", "C.UTF-8") != 0)) {
        return -1;
    }

    for (k = 0; command->envp != NULL && command->envp[k] != NULL; k++) {
        if (amld_command_env_add(e, command->envp[k]) != 0) {
            return -1;
        }
    }

    return 0;
}
