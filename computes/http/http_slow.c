/*
 * The pool of handlers that wait.
 */

#include "computes/http/http_slow.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    amld_exchange_t *exchange;
    amld_handler_pt handler;
} slow_job_t;

struct amld_http_slow {
    amld_t *amld;
    pthread_mutex_t mutex;
    pthread_cond_t more;
    pthread_cond_t over;
    unsigned open; /* exchanges that were taken and are not over */
    pthread_t threads[AMLD_HTTP_SLOW_THREADS];
    unsigned thread_count;
    unsigned idle;
    int ends;
    size_t first, count; /* of the ring */
    slow_job_t queue[AMLD_HTTP_SLOW_QUEUE];
};


amld_http_slow_t *
amld_http_slow_new(amld_t *d)
{
    amld_http_slow_t *slow;

    slow = calloc(1, sizeof(*slow));
    if (slow == NULL) {
        return NULL;
    }

    slow->amld = d;
    pthread_mutex_init(&slow->mutex, NULL);
    pthread_cond_init(&slow->more, NULL);
    pthread_cond_init(&slow->over, NULL);

    return slow;
}


static slow_job_t
slow_take(amld_http_slow_t *slow)
{
    slow_job_t job = slow->queue[slow->first];

    slow->first = (slow->first + 1) % AMLD_HTTP_SLOW_QUEUE;
    slow->count--;

    return job;
}


static void
slow_done(amld_exchange_t *e)
{
    e->done = 1;
    MHD_resume_connection(e->connection);
}


static void *
slow_run(void *data)
{
    amld_http_slow_t *slow = data;
    slow_job_t job;

    pthread_mutex_lock(&slow->mutex);

    for (;;) {
        while (slow->count == 0 && !slow->ends) {
            slow->idle++;
            pthread_cond_wait(&slow->more, &slow->mutex);
            slow->idle--;
        }
        if (slow->ends) {
            break;
        }

        job = slow_take(slow);
        pthread_mutex_unlock(&slow->mutex);

        amld_log_request(job.exchange->request.id);
        job.handler(slow->amld, &job.exchange->request,
                    &job.exchange->response);
        amld_log_request(NULL);
        slow_done(job.exchange);

        pthread_mutex_lock(&slow->mutex);
    }

    pthread_mutex_unlock(&slow->mutex);

    return NULL;
}


/* Under the mutex.  Without one more thread those that there are do it. */
static int
slow_staff(amld_http_slow_t *slow)
{
    int rc;

    if (slow->idle > slow->count ||
        slow->thread_count == AMLD_HTTP_SLOW_THREADS) {
        return 0;
    }

    rc = pthread_create(&slow->threads[slow->thread_count], NULL, slow_run,
                        slow);
    if (rc == 0) {
        slow->thread_count++;
        return 0;
    }

    amld_log(AMLD_LOG_ERROR, "http: a thread can't be made: %s", strerror(rc));

    return slow->thread_count > 0 ? 0 : -1;
}


int
amld_http_slow_run(amld_http_slow_t *slow, amld_exchange_t *e,
                   amld_handler_pt handler)
{
    int rc = -1;

    pthread_mutex_lock(&slow->mutex);

    if (!slow->ends && slow->count < AMLD_HTTP_SLOW_QUEUE &&
        slow_staff(slow) == 0) {
        MHD_suspend_connection(e->connection);

        slow->queue[(slow->first + slow->count) % AMLD_HTTP_SLOW_QUEUE] =
            (slow_job_t){e, handler};
        slow->count++;
        slow->open++;
        e->slowed = 1;
        pthread_cond_signal(&slow->more);
        rc = 0;
    }

    pthread_mutex_unlock(&slow->mutex);

    return rc;
}


size_t
amld_http_slow_waiting(amld_http_slow_t *slow)
{
    size_t n;

    pthread_mutex_lock(&slow->mutex);
    n = slow->count;
    pthread_mutex_unlock(&slow->mutex);

    return n;
}


void
amld_http_slow_over(amld_http_slow_t *slow, const amld_exchange_t *e)
{
    if (e == NULL || !e->slowed) {
        return;
    }

    pthread_mutex_lock(&slow->mutex);
    if (--slow->open == 0) {
        pthread_cond_signal(&slow->over);
    }
    pthread_mutex_unlock(&slow->mutex);
}


void
amld_http_slow_stop(amld_http_slow_t *slow)
{
    struct timespec until;
    unsigned i, n;

    pthread_mutex_lock(&slow->mutex);
    slow->ends = 1;
    n = slow->thread_count;
    pthread_cond_broadcast(&slow->more);
    pthread_mutex_unlock(&slow->mutex);

    for (i = 0; i < n; i++) {
        pthread_join(slow->threads[i], NULL);
    }

    while (slow->count > 0) {
        slow_done(slow_take(slow).exchange);
    }

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += AMLD_HTTP_SLOW_LINGER;

    pthread_mutex_lock(&slow->mutex);
    while (slow->open > 0 && pthread_cond_timedwait(&slow->over, &slow->mutex,
                                                    &until) != ETIMEDOUT) {
        /* void */
    }
    pthread_mutex_unlock(&slow->mutex);
}


void
amld_http_slow_free(amld_http_slow_t *slow)
{
    if (slow == NULL) {
        return;
    }

    pthread_cond_destroy(&slow->over);
    pthread_cond_destroy(&slow->more);
    pthread_mutex_destroy(&slow->mutex);
    free(slow);
}
