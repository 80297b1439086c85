/*
 * A library that is put before amld (LD_PRELOAD): ends it by SIGKILL right
 * before or right after a commit.
 *
 * The file that AML_KILL_COMMIT names says which: "before 3" or "after 3".  It
 * is read at the first commit that finds it there, and commits are counted
 * from that one on.  So a test lets amld start, writes the file, and asks for
 * what is to be interrupted.
 */

#include <dlfcn.h>
#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int known;
static int after;
static long left;

int mdb_txn_commit(MDB_txn *txn);


/* 1 when it is this one. */
static int
kill_count(void)
{
    int now;
    char when[16] = "";
    const char *path = getenv("AML_KILL_COMMIT");
    FILE *f;

    pthread_mutex_lock(&lock);

    if (!known && path != NULL && (f = fopen(path, "r")) != NULL) {
        known = fscanf(f, "%15s %ld", when, &left) == 2;
        after = strcmp(when, "after") == 0;
        fclose(f);
    }
    now = known && --left == 0;

    pthread_mutex_unlock(&lock);

    return now;
}


int
mdb_txn_commit(MDB_txn *txn)
{
    int rc, now;
    int (*commit)(MDB_txn *);

    *(void **) &commit = dlsym(RTLD_NEXT, "mdb_txn_commit");

    now = kill_count();
    if (now && !after) {
        kill(getpid(), SIGKILL);
    }

    rc = commit(txn);

    if (now) {
        kill(getpid(), SIGKILL);
    }

    return rc;
}
