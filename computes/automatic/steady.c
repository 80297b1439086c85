#include "computes/automatic/steady.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "computes/amld.h"

#define STEADY_TEXT 32

static int64_t steady_read(aml_registry_t *registry);
static void
steady_note(amld_steady_t *s, aml_registry_t *registry, int64_t wall);

static const char steady_key[] = "meta/clock";


void
amld_steady_begin(amld_steady_t *s, aml_registry_t *registry, int64_t wall,
                  int64_t boot)
{
    s->apart = wall - boot;
    s->since = boot;
    s->noted = steady_read(registry);
    s->believed = 1;

    /* There is nothing to go by, and nothing old to lose. */
    if (s->noted == 0) {
        steady_note(s, registry, wall);
    }
}


int
amld_steady_look(amld_steady_t *s, aml_registry_t *registry, int64_t wall,
                 int64_t boot)
{
    int believed;
    int64_t jump;

    jump = wall - boot - s->apart;
    s->apart = wall - boot;
    if (jump > AMLD_STEADY_JUMP || jump < -AMLD_STEADY_JUMP) {
        s->since = boot;
    }

    believed = (s->noted != 0 && wall - s->noted <= AMLD_STEADY_AHEAD) ||
               boot - s->since >= AMLD_STEADY_WAIT;

    if (!believed && s->believed) {
        amld_log(AMLD_LOG_WARN,
                 "the clock is %" PRId64 " hours later than when it was "
                 "looked at last: what is kept by job_keep is kept until it "
                 "has gone steadily for %d minutes",
                 (wall - s->noted) / 3600, AMLD_STEADY_WAIT / 60);
    }
    s->believed = believed;

    /* One that is behind, for a moment, is no reason to doubt the right one. */
    if (believed &&
        (wall - s->noted >= AMLD_STEADY_NOTE ||
         (wall < s->noted && boot - s->since >= AMLD_STEADY_WAIT))) {
        steady_note(s, registry, wall);
    }

    return believed;
}


/* 0 where there is none that could be read. */
static int64_t
steady_read(aml_registry_t *registry)
{
    char text[STEADY_TEXT];
    int64_t noted;
    aml_str_t value;
    aml_registry_txn_t *txn;

    noted = 0;

    if (aml_registry_read(registry, &txn) == AML_REGISTRY_OK) {
        if (aml_registry_get(txn, steady_key, sizeof(steady_key) - 1, &value) ==
                AML_REGISTRY_OK &&
            value.n < sizeof(text)) {
            memcpy(text, value.p, value.n);
            text[value.n] = '\0';
            if (sscanf(text, "%" SCNd64, &noted) != 1) {
                noted = 0;
            }
        }
        aml_registry_end(txn);
    }

    return noted;
}


/* Where it cannot be written it is known until amld ends. */
static void
steady_note(amld_steady_t *s, aml_registry_t *registry, int64_t wall)
{
    char text[STEADY_TEXT];
    aml_registry_txn_t *txn;

    s->noted = wall;
    (void) snprintf(text, sizeof(text), "%" PRId64, wall);

    if (aml_registry_write(registry, &txn) == AML_REGISTRY_OK) {
        if (aml_registry_put(txn, steady_key, sizeof(steady_key) - 1, text,
                             strlen(text)) == AML_REGISTRY_OK) {
            (void) aml_registry_commit(txn);
        } else {
            aml_registry_end(txn);
        }
    }
}
