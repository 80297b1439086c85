#include "computes/files/samples.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "computes/files/files.h"

#define SAMPLES_FAMILY "samples/"

static int
samples_key(amld_key_t *key, const amld_key_t *compute, const char *principal);
static int samples_known(const amld_t *d, const amld_key_t *key);
static void samples_remember(const amld_t *d, const amld_key_t *key);
static int samples_directory(const char *folder, struct stat *owner);
static int
samples_one(int from, int to, const char *name, const struct stat *owner);
static int samples_bytes(int in, int out);


void
amld_samples_give(const amld_t *d, const amld_key_t *compute,
                  const char *principal, const char *folder)
{
    amld_key_t key = {.n = 0};

    if (d->config->samples == NULL ||
        samples_key(&key, compute, principal) != 0 || samples_known(d, &key)) {
        return;
    }

    if (amld_samples_copy(d->config->samples, folder) != 0) {
        amld_log(errno == ENOENT ? AMLD_LOG_DEBUG : AMLD_LOG_WARN,
                 "samples: %s to %s: %s", d->config->samples, folder,
                 strerror(errno));
        return;
    }

    samples_remember(d, &key);
}


int
amld_samples_copy(const char *from, const char *folder)
{
    int to, fault;
    size_t n;
    DIR *dir;
    struct dirent *entry;
    struct stat owner;

    dir = opendir(from);
    if (dir == NULL) {
        return -1;
    }

    memset(&owner, 0, sizeof(owner));
    to = samples_directory(folder, &owner);
    fault = to == -1 ? errno : 0;

    for (n = 0; fault == 0 && n < AMLD_SAMPLES_FILES; n++) {
        entry = readdir(dir);
        if (entry == NULL) {
            break;
        }
        if (entry->d_name[0] != '.' &&
            samples_one(dirfd(dir), to, entry->d_name, &owner) != 0) {
            fault = errno;
        }
    }

    if (to != -1) {
        close(to);
    }
    closedir(dir);
    errno = fault;

    return fault == 0 ? 0 : -1;
}


/* "compute/<workspace>/<name>": the name is left out. */
static int
samples_key(amld_key_t *key, const amld_key_t *compute, const char *principal)
{
    int n;
    const char *begin, *end;

    begin = strchr(compute->p, '/');
    end = strrchr(compute->p, '/');
    if (begin == NULL || end == begin) {
        return -1;
    }

    n = snprintf(key->p, sizeof(key->p), SAMPLES_FAMILY "%.*s/%s",
                 (int) (end - begin - 1), begin + 1, principal);
    key->n = (size_t) n;

    return n > 0 && key->n < sizeof(key->p) ? 0 : -1;
}


static int
samples_known(const amld_t *d, const amld_key_t *key)
{
    aml_str_t value;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    rc = aml_registry_read(d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_get(txn, key->p, key->n, &value);
        aml_registry_end(txn);
    }

    return rc != AML_REGISTRY_NOTFOUND;
}


static void
samples_remember(const amld_t *d, const amld_key_t *key)
{
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    rc = aml_registry_write(d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        (void) aml_registry_put(txn, key->p, key->n, "1", 1);
        rc = aml_registry_commit(txn);
    }
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "samples: registry: %s",
                 aml_registry_strerror(rc));
    }
}


/* "samples" in the folder; -1. */
static int
samples_directory(const char *folder, struct stat *owner)
{
    int above, to, fault;

    above = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (above == -1) {
        return -1;
    }

    to = fstat(above, owner) == 0
             ? amld_files_make(above, AMLD_SAMPLES_FOLDER, 0755, owner->st_uid,
                               owner->st_gid)
             : -1;

    fault = errno;
    close(above);
    errno = fault;

    return to;
}


static int
samples_one(int from, int to, const char *name, const struct stat *owner)
{
    int in, out, fault;
    struct stat st;

    in = openat(from, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (in == -1) {
        return -1;
    }

    if (fstat(in, &st) != 0 || !S_ISREG(st.st_mode) ||
        st.st_size > AMLD_SAMPLES_SIZE) {
        close(in);
        return 0;
    }

    out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                 0644);
    if (out == -1) {
        fault = errno == EEXIST ? 0 : errno;
        close(in);
        errno = fault;
        return fault == 0 ? 0 : -1;
    }

    fault = 0;
    if (samples_bytes(in, out) != 0 ||
        fchown(out, owner->st_uid, owner->st_gid) != 0 ||
        fchmod(out, 0644) != 0) {
        fault = errno;
    }
    /* A share that others serve may say only now that it is full. */
    if (close(out) != 0 && fault == 0) {
        fault = errno;
    }
    close(in);

    if (fault != 0) {
        (void) unlinkat(to, name, 0);
        errno = fault;
        return -1;
    }

    return 0;
}


static int
samples_bytes(int in, int out)
{
    char buf[16384];
    ssize_t n, done, put;

    while ((n = read(in, buf, sizeof(buf))) > 0) {
        for (done = 0; done < n; done += put) {
            put = write(out, buf + done, (size_t) (n - done));
            if (put <= 0) {
                return -1;
            }
        }
    }

    return n < 0 ? -1 : 0;
}
