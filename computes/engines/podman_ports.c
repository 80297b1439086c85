/*
 * The relay of an instance: in its network, and nowhere else, as its creator's
 * account.  It can't lead to another machine or instance, whatever becomes of
 * addresses: what is not in that network can't be reached from there by an
 * address of this network's own.
 */

#include "computes/engines/podman.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "computes/engines/engine.h"
#include "computes/services/relay.h"

#define PORTS_PATH                                                             \
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

int amld_podman_ports(const amld_config_t *c, const amld_engine_instance_t *i,
                      const char *name, amld_command_id_t *id, int *hold,
                      char *err, size_t size);
static int
ports_enter(const amld_podman_spec_t *s, const amld_podman_container_t *c,
            int *ends, char *err, size_t size);
static int ports_become(const amld_podman_spec_t *s, char *err, size_t size);


int
amld_podman_ports(const amld_config_t *c, const amld_engine_instance_t *i,
                  const char *name, amld_command_id_t *id, int *hold, char *err,
                  size_t size)
{
    char spec[PATH_MAX];
    const char *argv[] = {"/proc/self/exe", "engine-podman", "ports", spec,
                          NULL};
    amld_command_env_t env;
    amld_command_t command;
    amld_command_spawn_t spawn;

    (void) c;

    if ((size_t) snprintf(spec, sizeof(spec), "%s/" AMLD_PODMAN_SPEC,
                          i->runtime) >= sizeof(spec)) {
        snprintf(err, size, "%s: too long", i->runtime);
        return -1;
    }

    amld_command_env_init(&env);
    if (amld_command_env_set(&env, "PATH", PORTS_PATH) != 0) {
        snprintf(err, size, "%s: the environment is too long", name);
        return -1;
    }

    memset(&command, 0, sizeof(command));
    command.name = name;
    command.argv = argv;

    amld_engine_spawn(&spawn, i, &command, &env);
    spawn.directory = i->runtime;

    return amld_command_spawn(&spawn, id, hold, err, size);
}


int
amld_podman_ports_run(const amld_podman_spec_t *s, char *err, size_t size)
{
    int ends;
    sigset_t set;
    amld_podman_container_t c;
    amld_relay_options_t o;

    if (!amld_podman_running(s, &c)) {
        snprintf(err, size, "the container has ended");
        return -1;
    }

    if (ports_enter(s, &c, &ends, err, size) != 0 ||
        ports_become(s, err, size) != 0) {
        return -1;
    }

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);

    memset(&o, 0, sizeof(o));
    o.directory = ".";
    o.ends = ends;

    return amld_relay_run(&o) == 0 ? 0 : -1;
}


/* Also the directory of the sockets: the way there is for root only. */
static int
ports_enter(const amld_podman_spec_t *s, const amld_podman_container_t *c,
            int *ends, char *err, size_t size)
{
    char path[PATH_MAX], ns[64];
    int fd, rc;
    amld_podman_container_t still;

    snprintf(ns, sizeof(ns), "/proc/%lld/ns/net", (long long) c->pid);

    *ends = pidfd_open((pid_t) c->pid, 0);
    fd = open(ns, O_RDONLY | O_CLOEXEC);

    /* It was that process whose network this is. */
    if (*ends == -1 || fd == -1 || !amld_podman_running(s, &still) ||
        still.pid != c->pid || still.started != c->started) {
        snprintf(err, size, "the container has ended");
        if (fd != -1) {
            close(fd);
        }
        return -1;
    }

    rc = setns(fd, CLONE_NEWNET);
    close(fd);
    if (rc != 0) {
        snprintf(err, size, "%s: %s", ns, strerror(errno));
        return -1;
    }

    if ((size_t) snprintf(path, sizeof(path), "%s/" AMLD_PODMAN_SOCKETS_DIR,
                          s->directory) >= sizeof(path) ||
        chdir(path) != 0) {
        snprintf(err, size, "%s: %s", path, strerror(errno));
        return -1;
    }

    return 0;
}


static int
ports_become(const amld_podman_spec_t *s, char *err, size_t size)
{
    uid_t uid = (uid_t) s->uid;

    if (uid == 0 || setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 ||
        setresuid(uid, uid, uid) != 0) {
        snprintf(err, size, "cannot become uid %lu: %s", (unsigned long) uid,
                 strerror(errno));
        return -1;
    }

    return 0;
}
