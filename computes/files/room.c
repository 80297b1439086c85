#include "computes/files/room.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#define ROOM_PATIENCE 2 /* seconds for its thread to end */

struct amld_room {
    amld_t *d;
    pthread_t thread;
    pthread_mutex_t mutex; /* of `ends` */
    pthread_cond_t condition;
    int ends;
    int state_full;
};

static void *room_run(void *data);
static void room_look(amld_room_t *room);
static int room_sleep(amld_room_t *room);


int
amld_room_is_full(const char *path)
{
    struct statvfs fs;

    if (statvfs(path, &fs) != 0) {
        return 0;
    }

    /* Some file systems don't count files. */
    return (uint64_t) fs.f_bavail * fs.f_frsize < AMLD_ROOM_LEAST ||
           (fs.f_files != 0 && fs.f_favail == 0);
}


amld_room_t *
amld_room_start(amld_t *d)
{
    int rc;
    amld_room_t *room;
    pthread_condattr_t attr;

    room = calloc(1, sizeof(*room));
    if (room == NULL) {
        amld_log(AMLD_LOG_ERROR, "room: no memory");
        return NULL;
    }

    room->d = d;
    pthread_mutex_init(&room->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&room->condition, &attr);
    pthread_condattr_destroy(&attr);

    rc = pthread_create(&room->thread, NULL, room_run, room);
    if (rc != 0) {
        amld_log(AMLD_LOG_ERROR, "room: %s", strerror(rc));
        pthread_cond_destroy(&room->condition);
        pthread_mutex_destroy(&room->mutex);
        free(room);
        return NULL;
    }

    return room;
}


void
amld_room_stop(amld_room_t *room)
{
    struct timespec until;

    if (room == NULL) {
        return;
    }

    pthread_mutex_lock(&room->mutex);
    room->ends = 1;
    pthread_cond_signal(&room->condition);
    pthread_mutex_unlock(&room->mutex);

    /* It may be asking a file system that does not answer. */
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ROOM_PATIENCE;
    if (pthread_timedjoin_np(room->thread, NULL, &until) != 0) {
        pthread_detach(room->thread);
        return;
    }

    pthread_cond_destroy(&room->condition);
    pthread_mutex_destroy(&room->mutex);
    free(room);
}


static void *
room_run(void *data)
{
    do {
        room_look(data);
    } while (!room_sleep(data));

    return NULL;
}


static void
room_look(amld_room_t *room)
{
    int full;
    size_t k;
    const amld_workspace_t *w;
    const amld_config_t *c;

    c = room->d->config;

    for (k = 0; k < c->workspace_count; k++) {
        w = &c->workspaces[k];
        full = amld_room_is_full(w->share);
        if (full != c->share_full[k]) {
            amld_log(full ? AMLD_LOG_WARN : AMLD_LOG_INFO, "%s: %s", w->share,
                     full ? "the share is full: nothing can be saved there"
                          : "the share has room again");
        }
        c->share_full[k] = (char) full;
    }

    full = amld_room_is_full(c->state);
    if (full != room->state_full) {
        amld_log(full ? AMLD_LOG_WARN : AMLD_LOG_INFO, "%s: %s", c->state,
                 full ? "no room is left: instances may not start"
                      : "there is room again");
    }
    room->state_full = full;
}


/* 1 when it is time to end. */
static int
room_sleep(amld_room_t *room)
{
    int ends, rc;
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += AMLD_ROOM_LOOK;

    pthread_mutex_lock(&room->mutex);
    for (rc = 0; !room->ends && rc != ETIMEDOUT;) {
        rc = pthread_cond_timedwait(&room->condition, &room->mutex, &until);
    }
    ends = room->ends;
    pthread_mutex_unlock(&room->mutex);

    return ends;
}
