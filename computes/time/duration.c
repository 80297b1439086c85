#include "computes/time/duration.h"

#include <ctype.h>
#include <stddef.h>


int
amld_duration_read(const char *text, int64_t *seconds)
{
    int64_t n, sum;
    size_t i, next;
    int digits, parts, time;

    /* in the order in which they have to come */
    static const struct {
        char letter;
        int time; /* behind the T */
        int64_t unit;
    } units[] = {
        {'W', 0, 7 * 86400}, {'D', 0, 86400}, {'H', 1, 3600},
        {'M', 1, 60},        {'S', 1, 1},
    };
    static const size_t count = sizeof(units) / sizeof(units[0]);

    if (toupper((unsigned char) *text++) != 'P') {
        return -1;
    }

    sum = 0;
    parts = 0;
    time = 0;
    next = 0;

    while (*text != '\0') {
        if (!time && toupper((unsigned char) *text) == 'T') {
            time = 1;
            parts = 0; /* something has to come */
            text++;
            continue;
        }

        n = 0;
        for (digits = 0; isdigit((unsigned char) *text); digits++, text++) {
            n = n * 10 + (*text - '0');
            if (n > AMLD_DURATION_MAX) {
                return -1;
            }
        }

        for (i = next; i < count; i++) {
            if (units[i].time == time &&
                units[i].letter == toupper((unsigned char) *text)) {
                break;
            }
        }
        if (digits == 0 || i == count) {
            return -1;
        }

        sum += n * units[i].unit;
        if (sum > AMLD_DURATION_MAX) {
            return -1;
        }
        next = i + 1;
        parts++;
        text++;
    }

    if (parts == 0) {
        return -1;
    }

    *seconds = sum;

    return 0;
}
