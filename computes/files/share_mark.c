#include "computes/files/share_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/principal.h"
#include "computes/instances/computes.h"

#define MARK_TEXT                                                              \
    "%s\nBy this file amld knows the share of its workspace again: leave it "  \
    "here.\n"

/* What the registry says. */
typedef struct {
    char mark[AML_UUID_TEXT + 1]; /* "": none */
    int fresh;                    /* {"new": true} */
    int people;                   /* somebody has a folder in it */
} share_known_t;

/* What is there. */
typedef struct {
    int root;                     /* descriptor, or -1 */
    int fault;                    /* errno of the file, 0: none */
    int damaged;                  /* there is a file that says something else */
    int users;                    /* there is a Users */
    char mark[AML_UUID_TEXT + 1]; /* "": none */
} share_seen_t;

static int share_key(amld_key_t *key, const char *family,
                     const amld_workspace_t *workspace);
static aml_registry_rc_t
share_known(aml_registry_t *registry, const amld_workspace_t *workspace,
            share_known_t *known);
static int share_somebody(void *data, aml_str_t key, aml_str_t value);
static aml_registry_rc_t
share_note(aml_registry_t *registry, const amld_workspace_t *workspace,
           const char *mark, const atomic_int *ends);
static int share_see(const char *path, share_seen_t *seen);
static void share_read(share_seen_t *seen);
static int share_make(int root, char mark[AML_UUID_TEXT + 1]);
static amld_share_state_t
share_first(aml_registry_t *registry, const amld_workspace_t *workspace,
            const share_known_t *known, share_seen_t *seen,
            const atomic_int *ends, char *err, size_t size);


amld_share_state_t
amld_share_look(aml_registry_t *registry, const amld_workspace_t *workspace,
                const atomic_int *ends, char *err, size_t size)
{
    share_known_t known;
    share_seen_t seen;
    aml_registry_rc_t rc;
    amld_share_state_t state;

    err[0] = '\0';

    rc = share_known(registry, workspace, &known);
    if (rc != AML_REGISTRY_OK) {
        snprintf(err, size, "The workspace's share can't be looked up: %s.",
                 aml_registry_strerror(rc));
        return AMLD_SHARE_OTHER;
    }

    if (share_see(workspace->share, &seen) != 0) {
        snprintf(err, size, "The workspace's share %s is not there: %s.",
                 workspace->share, strerror(errno));
        /* Whoever has a folder by then has it in what comes. */
        if (known.mark[0] == '\0' && !known.fresh && !known.people) {
            (void) share_note(registry, workspace, NULL, ends);
        }
        return AMLD_SHARE_MISSING;
    }

    if (seen.fault != 0) {
        snprintf(err, size,
                 "The workspace's share %s can't be known: " AMLD_SHARE_MARK
                 ": %s.",
                 workspace->share, strerror(seen.fault));
        state = AMLD_SHARE_OTHER;

    } else if (known.mark[0] == '\0') {
        state =
            share_first(registry, workspace, &known, &seen, ends, err, size);

    } else if (strcmp(known.mark, seen.mark) == 0) {
        state = AMLD_SHARE_GOOD;

    } else {
        snprintf(err, size,
                 "The directory %s is not the share that the workspace had: "
                 "it has %s file " AMLD_SHARE_MARK ". Maybe it is not mounted. "
                 "If it is to be the share from now on: amld share accept %s",
                 workspace->share, seen.mark[0] != '\0' ? "another" : "no",
                 workspace->name);
        state = AMLD_SHARE_OTHER;
    }

    close(seen.root);

    return state;
}


int
amld_share_accept(aml_registry_t *registry, const amld_workspace_t *workspace,
                  char *err, size_t size)
{
    int rc;
    share_seen_t seen;
    aml_registry_rc_t noted;

    if (share_see(workspace->share, &seen) != 0) {
        snprintf(err, size, "%s: %s", workspace->share, strerror(errno));
        return -1;
    }

    rc = 0;
    errno = seen.fault;
    if (seen.fault != 0 ||
        (seen.mark[0] == '\0' &&
         ((seen.damaged && unlinkat(seen.root, AMLD_SHARE_MARK, 0) != 0) ||
          share_make(seen.root, seen.mark) != 0))) {
        snprintf(err, size, "%s/" AMLD_SHARE_MARK ": %s", workspace->share,
                 strerror(errno));
        rc = -1;
    }
    close(seen.root);

    if (rc == 0) {
        noted = share_note(registry, workspace, seen.mark, NULL);
        if (noted != AML_REGISTRY_OK) {
            snprintf(err, size, "registry: %s", aml_registry_strerror(noted));
            rc = -1;
        }
    }

    return rc;
}


/* Nothing is written down of it. */
static amld_share_state_t
share_first(aml_registry_t *registry, const amld_workspace_t *workspace,
            const share_known_t *known, share_seen_t *seen,
            const atomic_int *ends, char *err, size_t size)
{
    aml_registry_rc_t rc;

    if (seen->mark[0] == '\0' && known->people && !known->fresh &&
        !seen->users) {
        snprintf(err, size,
                 "The directory %s has nobody's files, though people have "
                 "folders in the workspace's share. Maybe it is not mounted. "
                 "If it is to be the share from now on: amld share accept %s",
                 workspace->share, workspace->name);
        return AMLD_SHARE_OTHER;
    }

    if (seen->mark[0] == '\0' && share_make(seen->root, seen->mark) != 0) {
        snprintf(err, size,
                 "%s: no file " AMLD_SHARE_MARK " can be made there: %s; so it "
                 "is not seen when something else is in its place",
                 workspace->share, strerror(errno));
        return AMLD_SHARE_GOOD;
    }

    rc = share_note(registry, workspace, seen->mark, ends);
    if (rc != AML_REGISTRY_OK) {
        snprintf(err, size, "%s: registry: %s", workspace->share,
                 aml_registry_strerror(rc));
    }

    return AMLD_SHARE_GOOD;
}


/* "<family>/<subscription>/<group>/<workspace>/" */
static int
share_key(amld_key_t *key, const char *family,
          const amld_workspace_t *workspace)
{
    amld_key_t prefix = {.n = 0};

    return amld_compute_prefix(&prefix, workspace) != 0 ||
                   amld_key_format(key, "%s%s", family,
                                   strchr(prefix.p, '/')) != 0
               ? -1
               : 0;
}


static aml_registry_rc_t
share_known(aml_registry_t *registry, const amld_workspace_t *workspace,
            share_known_t *known)
{
    json_t *doc;
    aml_str_t value;
    amld_key_t key = {.n = 0}, folders = {.n = 0};
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    memset(known, 0, sizeof(*known));

    if (share_key(&key, "share", workspace) != 0 ||
        share_key(&folders, "folder", workspace) != 0) {
        return AML_REGISTRY_TOOLONG;
    }
    key.n--;

    rc = aml_registry_read(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = aml_registry_get(txn, key.p, key.n, &value);
    if (rc == AML_REGISTRY_OK) {
        doc = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);
        snprintf(known->mark, sizeof(known->mark), "%s",
                 amld_compute_str(doc, "mark"));
        known->fresh = json_is_true(json_object_get(doc, "new"));
        json_decref(doc);
    }

    if (rc == AML_REGISTRY_OK || rc == AML_REGISTRY_NOTFOUND) {
        rc = aml_registry_each(txn, (aml_str_t){folders.p, folders.n},
                               aml_str(""), share_somebody, &known->people);
    }
    aml_registry_end(txn);

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


static int
share_somebody(void *data, aml_str_t key, aml_str_t value)
{
    int *people = data;

    (void) key;
    (void) value;
    *people = 1;

    return 1;
}


/* NULL: it is new. */
static aml_registry_rc_t
share_note(aml_registry_t *registry, const amld_workspace_t *workspace,
           const char *mark, const atomic_int *ends)
{
    int n;
    char text[64];
    amld_key_t key = {.n = 0};
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    if (ends != NULL && atomic_load(ends)) {
        return AML_REGISTRY_FAILED;
    }
    if (share_key(&key, "share", workspace) != 0) {
        return AML_REGISTRY_TOOLONG;
    }

    n = mark != NULL ? snprintf(text, sizeof(text), "{\"mark\":\"%s\"}", mark)
                     : snprintf(text, sizeof(text), "{\"new\":true}");

    rc = aml_registry_write(registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        (void) aml_registry_put(txn, key.p, key.n - 1, text, (size_t) n);
        rc = aml_registry_commit(txn);
    }

    return rc;
}


/* -1 (errno) when there is no such directory. */
static int
share_see(const char *path, share_seen_t *seen)
{
    struct stat st;

    memset(seen, 0, sizeof(*seen));

    seen->root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (seen->root == -1) {
        return -1;
    }

    seen->users = fstatat(seen->root, "Users", &st, AT_SYMLINK_NOFOLLOW) == 0;
    share_read(seen);

    return 0;
}


static void
share_read(share_seen_t *seen)
{
    int fd;
    char text[AML_UUID_TEXT + 1];
    ssize_t n;
    struct stat st;
    aml_principal_id_t id;

    fd = openat(seen->root, AMLD_SHARE_MARK,
                O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd == -1) {
        seen->fault = errno == ENOENT ? 0 : errno;
        return;
    }

    (void) futimens(fd, NULL);

    n = -1;
    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
        errno = EINVAL;
    } else {
        n = read(fd, text, AML_UUID_TEXT);
    }

    if (n < 0) {
        seen->fault = errno;
    } else if (n == AML_UUID_TEXT &&
               aml_uuid_parse((aml_str_t){text, AML_UUID_TEXT}, &id) == 0) {
        aml_uuid_format(&id, seen->mark);
    } else {
        seen->damaged = 1;
    }
    close(fd);
}


/* -1 (errno) without leaving anything. */
static int
share_make(int root, char mark[AML_UUID_TEXT + 1])
{
    int fd, fault;
    char text[256];
    size_t n;
    aml_principal_id_t id;

    if (aml_uuid_random(&id) != 0) {
        errno = EIO;
        return -1;
    }

    fd = openat(root, AMLD_SHARE_MARK,
                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd == -1) {
        return -1;
    }

    aml_uuid_format(&id, mark);
    n = (size_t) snprintf(text, sizeof(text), MARK_TEXT, mark);

    errno = EIO;
    fault = write(fd, text, n) != (ssize_t) n || fchmod(fd, 0644) != 0 ||
                    fsync(fd) != 0
                ? errno
                : 0;
    if (close(fd) != 0 && fault == 0) {
        fault = errno;
    }

    if (fault != 0) {
        (void) unlinkat(root, AMLD_SHARE_MARK, 0);
        mark[0] = '\0';
        errno = fault;
        return -1;
    }

    return 0;
}
