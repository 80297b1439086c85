/*
 * How often somebody may ask: token buckets, one for each who asks, in memory
 * that processes share.  There are no pointers in it, and each bucket vouches
 * for itself: what a process has left half-written is found and reported,
 * never followed.
 *
 * Who calls holds the lock.
 */

#ifndef AML_RATE_H
#define AML_RATE_H

#include <stddef.h>
#include <stdint.h>

#define AML_RATE_WAYS 8    /* buckets of a set */
#define AML_RATE_BUCKET 32 /* bytes of one */

#define AML_RATE_MOST 1000000  /* requests a second */
#define AML_RATE_BURST 1000000 /* requests */

typedef struct {
    void *memory;       /* zeros at first; aligned to 8 */
    size_t sets;        /* of AML_RATE_WAYS buckets each, 1 at least */
    uint64_t secret[2]; /* the same for all who share the memory; so that
                         * nobody can choose whose set theirs shares */
} aml_rate_table_t;

/* Who asks. */
typedef struct {
    uint8_t id[16];
    uint8_t kind; /* 1 to 255: ids of different kinds never meet */
} aml_rate_key_t;

typedef struct {
    uint32_t rate;  /* thousandths of a request a second, 1 at least */
    uint32_t burst; /* requests at once, 1 to AML_RATE_BURST */
} aml_rate_limit_t;

typedef enum {
    AML_RATE_OK = 0,  /* one is taken off the bucket */
    AML_RATE_LIMITED, /* the bucket is empty; see `wait` */
    AML_RATE_CORRUPT  /* a bucket is damaged, and was thrown away: this request
                       * can't be told apart from one too many */
} aml_rate_rc_t;

/* How many sets fit into `size` bytes. */
size_t aml_rate_sets(size_t size);

/*
 * One request at `now`, milliseconds of a clock that does not go back and is
 * not 0.  `*wait`, for LIMITED, is in how many milliseconds there will be one
 * in the bucket.  `*evicted` is 1 when a bucket that was not full had to make
 * room: who it was of begins with a full one.
 */
aml_rate_rc_t
aml_rate_take(const aml_rate_table_t *t, const aml_rate_key_t *key,
              const aml_rate_limit_t *limit, uint64_t now, uint64_t *wait,
              int *evicted);

#endif /* AML_RATE_H */
