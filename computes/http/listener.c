#include "computes/http/listener.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "computes/amld.h"

#define LISTENER_BACKLOG 512
#define LISTENER_TRIES 100
#define LISTENER_PAUSE 20000 /* us */


static int
listener_fault(const char *name, const char *path, const char *what)
{
    amld_log(AMLD_LOG_ERROR, "%s %s: %s", name, path, what);

    return -1;
}


/*
 * Does somebody answer?  1, 0, or -1 with errno.  What a killed amld had just
 * forked has its sockets until it runs its own program: only who still answers
 * after a while is another amld.
 */
static int
listener_answers(const struct sockaddr_un *addr, int type)
{
    int fd, i, rc, fault;

    for (i = 0;; i++) {
        fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            return -1;
        }

        rc = connect(fd, (const struct sockaddr *) addr, sizeof(*addr));
        fault = errno;
        close(fd);

        if (rc != 0) {
            errno = fault;
            return fault == ECONNREFUSED || fault == ENOENT ? 0 : -1;
        }
        if (i == LISTENER_TRIES) {
            return 1;
        }
        usleep(LISTENER_PAUSE);
    }
}


/* 0 when `path` is free now: nothing there, or a socket that nobody answers
 * on. */
static int
listener_free(const char *name, const char *path,
              const struct sockaddr_un *addr, int type)
{
    struct stat st;
    int rc;

    if (lstat(path, &st) != 0) {
        return errno == ENOENT ? 0
                               : listener_fault(name, path, strerror(errno));
    }

    if (!S_ISSOCK(st.st_mode)) {
        return listener_fault(name, path, "is there and is no socket");
    }

    rc = listener_answers(addr, type);
    if (rc != 0) {
        return listener_fault(name, path,
                              rc > 0 ? "another amld answers on it"
                                     : strerror(errno));
    }

    if (unlink(path) != 0 && errno != ENOENT) {
        return listener_fault(name, path, strerror(errno));
    }

    return 0;
}


static int
listener_make_directory(const char *name, const char *path)
{
    char *copy, *dir;
    int rc = 0;

    copy = strdup(path);
    if (copy == NULL) {
        return -1;
    }

    dir = dirname(copy);
    if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
        rc = listener_fault(name, dir, strerror(errno));
    }
    free(copy);

    return rc;
}


static int
listener_permit(const amld_config_t *config, const char *path)
{
    const struct group *group;

    if (config->registry_group == NULL) {
        return chmod(path, 0666);
    }

    group = getgrnam(config->registry_group);
    if (group == NULL) {
        errno = ENOENT;
        return -1;
    }

    return chown(path, (uid_t) -1, group->gr_gid) != 0 ? -1 : chmod(path, 0660);
}


int
amld_listener_open(amld_listener_t *l, const amld_config_t *config,
                   const char *name, const char *path, int type)
{
    struct sockaddr_un addr;
    int yes = 1;

    memset(&addr, 0, sizeof(addr));
    addr.sun_family = AF_UNIX;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        return listener_fault(name, path, "the path is too long");
    }
    memcpy(addr.sun_path, path, strlen(path));

    if (listener_make_directory(name, path) != 0 ||
        listener_free(name, path, &addr, type) != 0) {
        return -1;
    }

    l->path = path;
    l->fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0) {
        return listener_fault(name, path, strerror(errno));
    }

    /* a datagram brings its sender's account, so before there can be one */
    if ((type == SOCK_DGRAM &&
         setsockopt(l->fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)) != 0) ||
        bind(l->fd, (struct sockaddr *) &addr, sizeof(addr)) != 0 ||
        listener_permit(config, path) != 0 ||
        (type == SOCK_STREAM && listen(l->fd, LISTENER_BACKLOG) != 0) ||
        lstat(path, &l->socket) != 0) {
        (void) listener_fault(name, path, strerror(errno));
        close(l->fd);
        return -1;
    }

    return 0;
}


void
amld_listener_remove(const amld_listener_t *l)
{
    struct stat st;

    if (lstat(l->path, &st) == 0 && st.st_ino == l->socket.st_ino &&
        st.st_dev == l->socket.st_dev) {
        (void) unlink(l->path);
    }
}


int
amld_is_gateway(const amld_config_t *config, uid_t uid)
{
    size_t i;

    for (i = 0; i < config->gateway_uid_count; i++) {
        if (config->gateway_uids[i] == uid) {
            return 1;
        }
    }

    return 0;
}
