/*
 * A schedule that a client sends, and files of time zones: an expression up to
 * the first newline, then TZif.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "computes/time/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);


static void
runs(const amld_cron_t *cron, const amld_zone_t *zone, int64_t after)
{
    amld_zone_span_t span;
    int64_t next;
    int k;

    for (k = 0; k < 3; k++, after = next) {
        next = amld_cron_next_in(cron, zone, after);
        if (next == -1) {
            return;
        }
        assert(next > after);

        amld_zone_span(zone, next, &span);
        assert(span.start <= next && next < span.end);
        assert(next == span.start ||
               cron->seconds >> ((next + span.offset) % 60 + 60) % 60 & 1);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const int64_t times[] = {0, 1774742400, 1793000000, 4102444800};
    const uint8_t *end = n > 0 ? memchr(data, '\n', n) : NULL;
    size_t k, length = end != NULL ? (size_t) (end - data) : n;
    char *text = malloc(length + 1), err[64];
    amld_zone_t *zone = NULL;
    amld_cron_t cron;

    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, length);
    text[length] = '\0';

    if (end != NULL) {
        zone = amld_zone_parse(end + 1, n - length - 1);
    }

    err[0] = '\0';
    if (amld_cron_parse(&cron, text, err, sizeof(err)) == 0) {
        assert(amld_cron_next_in(&cron, NULL, times[1]) > times[1]);
        for (k = 0; k < sizeof(times) / sizeof(times[0]); k++) {
            runs(&cron, NULL, times[k]);
            runs(&cron, zone, times[k]);
        }
    } else {
        assert(err[0] != '\0');
    }

    (void) amld_zone_exists(text);
    amld_zone_free(zone);
    free(text);

    return 0;
}
