/*
 * The registry: an ordered key-value store with transactions and a change
 * counter.  On one machine it is one LMDB environment.
 *
 * amld is the only writer.  nginx workers open it for reading, once a worker
 * and never across a fork(), and hold a snapshot no longer than one call of a
 * phase handler.  A value that a get returns is memory of the snapshot: it is
 * gone with the snapshot, and is aligned to two bytes only, so that records
 * are decoded with memcpy (see records.h).  In a write transaction it is gone
 * with the next put or del.
 *
 * One handle a process for a directory, reader or writer: LMDB's locks are
 * fcntl() locks, which a second open of the same files would drop.
 *
 * Keys are text, "family/part/part", at most AML_REGISTRY_KEY_MAX bytes;
 * families are listed in docs/architecture.md.
 */

#ifndef AML_REGISTRY_H
#define AML_REGISTRY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "auth/str.h"

#define AML_REGISTRY_KEY_MAX 511

/* The format that this code writes.  A reader that meets a larger number
 * answers AML_REGISTRY_NEWER and touches nothing; a writer that meets a
 * smaller one migrates. */
#define AML_REGISTRY_FORMAT 1

/* Reader slots: every worker holds one, and workers that linger after a
 * reload hold theirs, so the number is generous. */
#define AML_REGISTRY_READERS 1022
#define AML_REGISTRY_LOCK_SIZE 65536 /* of lock.mdb, for so many */

typedef struct aml_registry aml_registry_t;
typedef struct aml_registry_txn aml_registry_txn_t;

typedef enum {
    AML_REGISTRY_OK = 0,
    AML_REGISTRY_NOTFOUND, /* no such key */
    AML_REGISTRY_MISSING,  /* no registry at that path */
    AML_REGISTRY_NEWER,    /* written by a newer release */
    AML_REGISTRY_CORRUPT,  /* half-written, or not a registry */
    AML_REGISTRY_DENIED,   /* file permissions */
    AML_REGISTRY_BUSY,     /* no free reader slot */
    AML_REGISTRY_FULL,     /* no room on the disk */
    AML_REGISTRY_LIMIT,    /* as large as it may get */
    AML_REGISTRY_TOOLONG,  /* key over AML_REGISTRY_KEY_MAX */
    AML_REGISTRY_FAILED    /* anything else: see errno */
} aml_registry_rc_t;

/* A sentence for a log, static, without a full stop. */
const char *aml_registry_strerror(aml_registry_rc_t rc);


/*
 * Opens for reading.  `dir` holds data.mdb and lock.mdb; lock.mdb must be
 * writable (readers register in it).  The handle is for one thread and keeps
 * one transaction that aml_registry_read() renews, so that a read allocates
 * nothing.  MISSING also when amld has made the files but not yet finished.
 */
aml_registry_rc_t
aml_registry_open_reader(const char *dir, aml_registry_t **out);

/*
 * Opens for writing, creating directory and files where they are missing.
 * `map_size` in bytes is the most it may grow to (address space, not disk).
 * `group`, unless (gid_t) -1, is given the files: data.mdb 0640, lock.mdb
 * 0660, and a directory that it makes 0750; without a group everything is the
 * user's alone.  The handle may be shared by threads.  Clears reader slots of
 * dead processes.  CORRUPT and NEWER leave the files as they are.
 */
aml_registry_rc_t aml_registry_open_writer(const char *dir, size_t map_size,
                                           gid_t group, aml_registry_t **out);

/*
 * For a reader handle: keeps copies of up to `records` records that requests
 * read again and again, AML_CACHE_ENTRY bytes each.  Changes nothing of what is
 * answered, only how soon.  FAILED without memory.
 */
aml_registry_rc_t aml_registry_cache(aml_registry_t *reg, size_t records);

void aml_registry_close(aml_registry_t *reg);

/*
 * 1 when what is at the path is no longer what the handle has open: the
 * directory was deleted or made again, or data.mdb was cut short.  Close and
 * open again then.  A few system calls: for a timer, not for every request.
 */
int aml_registry_stale(const aml_registry_t *reg);

/*
 * Keeps AML_REGISTRY_RESERVE bytes of the disk for commits to come, so that an
 * instance can be stopped and deleted when others have filled the disk.  What
 * is used of it is there again with the next call.  For a writer; 0, or -1
 * (errno) where there is no room, or the file system can't.
 */
#define AML_REGISTRY_RESERVE ((off_t) 4 * 1024 * 1024)
int aml_registry_reserve(aml_registry_t *reg);

/*
 * Lets the registry become so many bytes larger than it was opened with, until
 * it is closed.  For a writer, and a thread of it that has no transaction;
 * fails where others keep theirs for longer than AML_REGISTRY_MAP_WAIT seconds.
 */
aml_registry_rc_t aml_registry_enlarge(aml_registry_t *reg, size_t more);

/* Frees reader slots of processes that died; returns how many. */
int aml_registry_check_readers(aml_registry_t *reg);


/*
 * A snapshot.  On a reader handle there is one at a time; on a writer handle
 * as many as threads want, each ended by the thread that began it.  Adopts a
 * map that another process has grown.  NEWER when a newer release has written
 * since.  FAILED is final for a handle whose memory map was lost: close it.
 */
aml_registry_rc_t
aml_registry_read(aml_registry_t *reg, aml_registry_txn_t **out);

/* A write transaction; waits for the one before.  Writer handles only. */
aml_registry_rc_t
aml_registry_write(aml_registry_t *reg, aml_registry_txn_t **out);

/* Ends a write transaction, durably; `txn` is freed also on failure.  When a
 * put or del has failed before, nothing is written and its error is answered
 * again (NOTFOUND and TOOLONG do not count). */
aml_registry_rc_t aml_registry_commit(aml_registry_txn_t *txn);

/* What the first put or del that failed has answered, OK while none has. */
aml_registry_rc_t aml_registry_fault(const aml_registry_txn_t *txn);

/* Ends a snapshot, or a write transaction without effect. NULL is allowed. */
void aml_registry_end(aml_registry_txn_t *txn);

/* Number of the last commit that the snapshot sees.  Grows by one with every
 * commit that changed something: the change counter.  In a write transaction
 * the number that its commit will have. */
uint64_t aml_registry_version(const aml_registry_txn_t *txn);


aml_registry_rc_t aml_registry_get(aml_registry_txn_t *txn, const void *key,
                                   size_t klen, aml_str_t *value);

/* Says that the key will be asked for soon; does not wait for memory. */
void
aml_registry_prefetch(aml_registry_txn_t *txn, const void *key, size_t klen);

aml_registry_rc_t aml_registry_put(aml_registry_txn_t *txn, const void *key,
                                   size_t klen, const void *value, size_t vlen);

/* NOTFOUND when there was nothing to delete. */
aml_registry_rc_t
aml_registry_del(aml_registry_txn_t *txn, const void *key, size_t klen);

/*
 * Calls `each` for every key that begins with `prefix`, in order, starting
 * at the first key not less than `from` where that is not empty.  A return
 * other than 0 ends the walk.  In a write transaction `each` must not write;
 * collect first.  OK also when there was none.  The registry's own notes of
 * what changed (changes.h) are not among them.
 */
typedef int (*aml_registry_each_pt)(void *data, aml_str_t key, aml_str_t value);

aml_registry_rc_t
aml_registry_each(aml_registry_txn_t *txn, aml_str_t prefix, aml_str_t from,
                  aml_registry_each_pt each, void *data);

/*
 * What an answer was made of, so that it need be made again only when one of
 * these records has changed: their keys' hashes.  A `count` of more than fit
 * stands for anything.
 */
#define AML_REGISTRY_WATCHED 12

typedef struct {
    uint64_t keys[AML_REGISTRY_WATCHED];
    unsigned count;
} aml_registry_watch_t;

/* From now on notes in `watch`, which is emptied, what this snapshot is asked
 * for, whether it is there or not; until NULL, or the snapshot's end. */
void aml_registry_watch(aml_registry_txn_t *txn, aml_registry_watch_t *watch);

/* The records that changed behind commit number `since`, up to a snapshot; a
 * `count` of more than fit when it is not known.  Of some kinds, which are not
 * for every request, commits do not tell: `any` is 1 when there was one. */
#define AML_REGISTRY_CHANGES 128

typedef struct {
    uint64_t keys[AML_REGISTRY_CHANGES];
    unsigned count;
    int any;
} aml_registry_changes_t;

void aml_registry_changes(aml_registry_txn_t *txn, uint64_t since,
                          aml_registry_changes_t *changes);

/* Has anything of it changed? */
int aml_registry_concerns(const aml_registry_changes_t *changes,
                          const aml_registry_watch_t *watch);

/*
 * The generation of the key set: a counter that every change to an issuer or
 * a key adds one to, in the same transaction.  0 when there is none yet.
 */
uint64_t aml_registry_key_generation(aml_registry_txn_t *txn);
aml_registry_rc_t aml_registry_touch_keys(aml_registry_txn_t *txn);

#endif /* AML_REGISTRY_H */
