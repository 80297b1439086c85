/*
 * Is there room left where instances' files are?  A thread of its own asks the
 * file systems every few seconds, as one that is somewhere else may not answer
 * for a long time, and what is asked of amld must not wait for it.
 */

#ifndef AMLD_ROOM_H
#define AMLD_ROOM_H

#include "computes/amld.h"

#define AMLD_ROOM_LOOK 5                         /* seconds */
#define AMLD_ROOM_LEAST ((uint64_t) 1024 * 1024) /* bytes; less is full */

typedef struct amld_room amld_room_t;

/* NULL after the reason was logged. */
amld_room_t *amld_room_start(amld_t *d);
void amld_room_stop(amld_room_t *room); /* NULL is allowed */

/* 1 when the file system of `path` has no room: bytes, or files. */
int amld_room_is_full(const char *path);

#endif /* AMLD_ROOM_H */
