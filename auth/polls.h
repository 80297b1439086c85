/*
 * How often devices ask (RFC 8628 section 3.5): in memory, and of a bounded
 * number of them.  One that is forgotten may ask sooner once.  Any thread.
 */

#ifndef AMLD_POLLS_H
#define AMLD_POLLS_H

#include <stdint.h>

typedef struct amld_polls amld_polls_t;

amld_polls_t *amld_polls_new(void);
void amld_polls_free(amld_polls_t *polls); /* NULL is allowed */

/*
 * 1 when whoever has `key` asks too soon: sooner than `interval` seconds after
 * they did last, and five more for each time that they did too soon.  `now` is
 * in milliseconds.  A second less is forgiven.
 */
int amld_polls_hasty(amld_polls_t *polls, const uint8_t key[32],
                     unsigned interval, int64_t now);

#endif /* AMLD_POLLS_H */
