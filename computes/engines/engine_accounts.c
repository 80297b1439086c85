/*
 * The process engine where amld is root: commands are processes of their
 * creator's account on this machine.
 *
 *   <private>      root's, 0711: logs and results, which people can't touch
 *   <private>/u    theirs, 0700: "tmp", "run", and applications' settings
 *   <private>/s    sockets: theirs, and the gateway's group's, 2770; a small
 *                  file system of its own on which no symbolic link is
 *                  followed, as one could lead the gateway to somebody else's
 *                  socket.  It goes with a stop.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "computes/engines/engine.h"
#include "computes/engines/unix_account.h"
#include "computes/files/files.h"
#include "computes/instances/gone.h"

#define ACCOUNTS_OWN "u"
#define ACCOUNTS_SOCKETS "s"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256 /* Linux 5.10 */
#endif

static void
accounts_inside(const amld_config_t *c, const amld_engine_instance_t *i,
                amld_engine_inside_t *inside);
static int
accounts_create(const amld_config_t *c, const amld_engine_instance_t *i,
                char *err, size_t size);
static int
accounts_start(const amld_config_t *c, const amld_engine_instance_t *i,
               char *err, size_t size);
static int
accounts_exec(const amld_config_t *c, const amld_engine_instance_t *i,
              const amld_command_t *command, amld_command_id_t *id, int *hold,
              char *err, size_t size);
static int
accounts_destroy(const amld_config_t *c, const amld_engine_instance_t *i,
                 char *err, size_t size);

static int
accounts_whose(const amld_config_t *c, const amld_engine_instance_t *i,
               amld_unix_account_t *account, char *err, size_t size);
static int
accounts_path(char path[PATH_MAX], const char *directory, const char *name);
static int accounts_own(const char *path, const amld_unix_account_t *account,
                        mode_t mode, char *err, size_t size);
static int
accounts_sockets(const amld_config_t *c, const amld_engine_instance_t *i,
                 const amld_unix_account_t *account, char *err, size_t size);
static int
accounts_environment(amld_command_env_t *e, const amld_engine_instance_t *i,
                     const amld_unix_account_t *account,
                     const amld_command_t *command);
static int accounts_keep(const char *name);

const amld_engine_t amld_engine_accounts = {
    .name = "process",
    .isolation = "instances run as the accounts of their creators, and are "
                 "isolated from each other as these are",
    .sockets = "/" ACCOUNTS_SOCKETS,
    .inside = accounts_inside,
    .create = accounts_create,
    .start = accounts_start,
    .exec = accounts_exec,
    .destroy = accounts_destroy,
};


static void
accounts_inside(const amld_config_t *c, const amld_engine_instance_t *i,
                amld_engine_inside_t *inside)
{
    (void) c;

    snprintf(inside->share, sizeof(inside->share), "%s", i->share);
    snprintf(inside->directory, sizeof(inside->directory), "%s", i->directory);
    snprintf(inside->runtime, sizeof(inside->runtime), "%.4000s/" ACCOUNTS_OWN,
             i->runtime);
    snprintf(inside->kept, sizeof(inside->kept), "%.4000s/" ACCOUNTS_OWN,
             i->runtime);
    snprintf(inside->sockets, sizeof(inside->sockets),
             "%.4000s/" ACCOUNTS_SOCKETS, i->runtime);
    inside->user = i->account;
    inside->as_root = 0;
}


static int
accounts_create(const amld_config_t *c, const amld_engine_instance_t *i,
                char *err, size_t size)
{
    char above[PATH_MAX];
    amld_unix_account_t account;

    if (accounts_whose(c, i, &account, err, size) != 0) {
        return -1;
    }

    /* People pass through to what is theirs, and see nothing on the way. */
    snprintf(above, sizeof(above), "%s", i->runtime);
    *strrchr(above, '/') = '\0';

    if (amld_files_mkdir(i->runtime, 0711) != 0 || chmod(above, 0711) != 0 ||
        chmod(i->runtime, 0711) != 0) {
        snprintf(err, size, "cannot make %s: %s", i->runtime, strerror(errno));
        return -1;
    }

    return 0;
}


static int
accounts_start(const amld_config_t *c, const amld_engine_instance_t *i,
               char *err, size_t size)
{
    size_t k;
    char path[PATH_MAX];
    amld_unix_account_t account;

    static const char *const own[] = {ACCOUNTS_OWN, ACCOUNTS_OWN "/tmp",
                                      ACCOUNTS_OWN "/run"};

    if (accounts_whose(c, i, &account, err, size) != 0 ||
        accounts_destroy(c, i, err, size) != 0 ||
        accounts_create(c, i, err, size) != 0 ||
        accounts_sockets(c, i, &account, err, size) != 0) {
        return -1;
    }

    for (k = 0; k < sizeof(own) / sizeof(own[0]); k++) {
        if (accounts_path(path, i->runtime, own[k]) != 0 ||
            accounts_own(path, &account, 0700, err, size) != 0) {
            return -1;
        }
    }

    /* Readable for everyone in the workspace: it is one share. */
    snprintf(path, sizeof(path), "%s", i->directory);
    *strrchr(path, '/') = '\0';
    if (amld_files_mkdir_below(i->share, path, 0755) != 0) {
        snprintf(err, size, "cannot make %s: %s", path, strerror(errno));
        return -1;
    }

    return accounts_own(i->directory, &account, 0755, err, size);
}


static int
accounts_exec(const amld_config_t *c, const amld_engine_instance_t *i,
              const amld_command_t *command, amld_command_id_t *id, int *hold,
              char *err, size_t size)
{
    amld_command_env_t env;
    amld_command_spawn_t spawn;
    amld_command_user_t user;
    amld_unix_account_t account;

    if (amld_engine_no_image(command, err, size) != 0 ||
        accounts_whose(c, i, &account, err, size) != 0) {
        return -1;
    }

    if (accounts_environment(&env, i, &account, command) != 0) {
        snprintf(err, size, "%s: the environment is too long", command->name);
        return -1;
    }

    user = (amld_command_user_t){account.uid, account.gid, account.name};

    amld_engine_spawn(&spawn, i, command, &env);
    spawn.user = &user;

    return amld_command_spawn(&spawn, id, hold, err, size);
}


/* Also of one whose account is gone. */
static int
accounts_destroy(const amld_config_t *c, const amld_engine_instance_t *i,
                 char *err, size_t size)
{
    char path[PATH_MAX];

    (void) c;

    amld_command_sweep(i->runtime, NULL);

    if (accounts_path(path, i->runtime, ACCOUNTS_SOCKETS) != 0) {
        snprintf(err, size, "%s: too long", i->runtime);
        return -1;
    }

    while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
        /* one upon the other, of an amld that was killed */
    }

    if (amld_files_remove(i->runtime, 0, accounts_keep) != 0 ||
        amld_gone_put(i->runtime, ACCOUNTS_OWN "/tmp") != 0 ||
        amld_gone_put(i->runtime, ACCOUNTS_OWN "/run") != 0) {
        snprintf(err, size, "cannot empty %s: %s", i->runtime, strerror(errno));
        return -1;
    }

    return 0;
}


static int
accounts_whose(const amld_config_t *c, const amld_engine_instance_t *i,
               amld_unix_account_t *account, char *err, size_t size)
{
    if (i->account == NULL) {
        snprintf(err, size,
                 "%s has no account on this machine for this instance to run "
                 "as. Whoever runs it can give them one: an account of the "
                 "name that they sign in with, or account_claim for their "
                 "provider; or choose unix_accounts = \"amld\" or the engine "
                 "podman.",
                 i->creator_name != NULL && i->creator_name[0] != '\0'
                     ? i->creator_name
                     : "Its creator");
        return -1;
    }

    return amld_unix_account_get(c, i->account, account, err, size);
}


static int
accounts_path(char path[PATH_MAX], const char *directory, const char *name)
{
    return (size_t) snprintf(path, PATH_MAX, "%s/%s", directory, name) <
                   PATH_MAX
               ? 0
               : -1;
}


/* A directory of the account's, in one that is root's or theirs.  What root
 * made before becomes theirs; what is somebody else's stays so. */
static int
accounts_own(const char *path, const amld_unix_account_t *account, mode_t mode,
             char *err, size_t size)
{
    int above, fd;
    char up[PATH_MAX];
    struct stat st;
    const char *name;

    name = strrchr(path, '/') + 1;
    snprintf(up, sizeof(up), "%.*s", (int) (name - path), path);

    fd = -1;
    above = open(up, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (above != -1) {
        fd =
            amld_files_directory(above, name, mode, account->uid, account->gid);
    }

    if (fd == -1) {
        snprintf(err, size, "cannot make %s: %s", path, strerror(errno));
        if (errno == EACCES &&
            fstatat(above, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            snprintf(err, size,
                     "%s belongs to another account (uid %lu) and not to "
                     "\"%s\"",
                     path, (unsigned long) st.st_uid, account->name);
        }
    } else {
        close(fd);
    }
    if (above != -1) {
        close(above);
    }

    return fd != -1 ? 0 : -1;
}


static int
accounts_sockets(const amld_config_t *c, const amld_engine_instance_t *i,
                 const amld_unix_account_t *account, char *err, size_t size)
{
    char path[PATH_MAX], options[128];
    gid_t group;

    if (amld_unix_gateway_group(c, &group) != 0) {
        snprintf(err, size,
                 "the gateway has no group by which it could reach sockets; "
                 "see registry_group");
        return -1;
    }

    if (accounts_path(path, i->runtime, ACCOUNTS_SOCKETS) != 0 ||
        amld_files_mkdir(path, 0700) != 0) {
        snprintf(err, size, "cannot make %s: %s", path, strerror(errno));
        return -1;
    }

    /* What is new in it has the directory's group. */
    snprintf(options, sizeof(options),
             "size=1m,nr_inodes=1k,mode=2770,uid=%lu,gid=%lu",
             (unsigned long) account->uid, (unsigned long) group);

    if (mount("aml", path, "tmpfs",
              MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW,
              options) != 0) {
        snprintf(err, size,
                 "no file system for sockets can be mounted at %s: %s", path,
                 strerror(errno));
        return -1;
    }

    return 0;
}


static int
accounts_environment(amld_command_env_t *e, const amld_engine_instance_t *i,
                     const amld_unix_account_t *account,
                     const amld_command_t *command)
{
    char bin[PATH_MAX];
    size_t k;

    amld_engine_bin(command, bin, sizeof(bin));
    amld_command_env_init(e);

    if (amld_command_env_account(e, account->uid,
                                 bin[0] != '\0' ? bin : NULL) != 0 ||
        amld_command_env_set(e, "AML_INSTANCE", "%s", i->name) != 0 ||
        amld_command_env_set(e, "TMPDIR", "%s/" ACCOUNTS_OWN "/tmp",
                             i->runtime) != 0) {
        return -1;
    }

    for (k = 0; command->envp != NULL && command->envp[k] != NULL; k++) {
        if (amld_command_env_add(e, command->envp[k]) != 0) {
            return -1;
        }
    }

    return 0;
}


/* What a stop takes away of root's. */
static int
accounts_keep(const char *name)
{
    return strcmp(name, ACCOUNTS_SOCKETS) != 0;
}
