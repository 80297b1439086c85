#include "auth/polls.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define POLLS 4096 /* places, a power of two */
#define SECOND 1000
#define SLOWER 5 /* seconds, RFC 8628 section 3.5 */

typedef struct {
    uint8_t key[16];
    int64_t last;
    unsigned more; /* seconds */
} poll_t;

struct amld_polls {
    pthread_mutex_t mutex;
    poll_t poll[POLLS];
};


amld_polls_t *
amld_polls_new(void)
{
    amld_polls_t *polls = calloc(1, sizeof(*polls));

    if (polls != NULL) {
        pthread_mutex_init(&polls->mutex, NULL);
    }

    return polls;
}


void
amld_polls_free(amld_polls_t *polls)
{
    if (polls != NULL) {
        pthread_mutex_destroy(&polls->mutex);
        free(polls);
    }
}


int
amld_polls_hasty(amld_polls_t *polls, const uint8_t key[32], unsigned interval,
                 int64_t now)
{
    uint32_t place;
    poll_t *p;
    int hasty = 0;

    /* keys are hashes of secrets: nobody chooses their place */
    memcpy(&place, key, sizeof(place));

    pthread_mutex_lock(&polls->mutex);

    p = &polls->poll[place % POLLS];
    if (memcmp(p->key, key, sizeof(p->key)) != 0) {
        memset(p, 0, sizeof(*p));
        memcpy(p->key, key, sizeof(p->key));

    } else if (now - p->last < ((int64_t) interval + p->more - 1) * SECOND) {
        hasty = 1;
        p->more += SLOWER;
    }
    p->last = now;

    pthread_mutex_unlock(&polls->mutex);

    return hasty;
}
