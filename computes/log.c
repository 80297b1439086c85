/*
 * One line a message, to standard error.
 */

#include "computes/amld.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX 4096
#define SELDOM 60     /* seconds */
#define LOG_ID_MAX 64 /* with what is around it */

static atomic_int amld_log_most = AMLD_LOG_INFO;
static _Thread_local const char *amld_log_id;

static const char *const amld_log_names[] = {"error", "warn", "info", "debug"};


void
amld_log_level(amld_log_level_t most)
{
    atomic_store(&amld_log_most, (int) most);
}


void
amld_log_request(const char *id)
{
    amld_log_id = id != NULL && *id != '\0' ? id : NULL;
}


/* What a terminal or a log reader could take for a command: C0, DEL, and C1
 * as UTF-8. */
static size_t
log_escape(char *dst, size_t size, const char *src)
{
    const unsigned char *s = (const unsigned char *) src;
    size_t n = 0;
    int c1;

    while (*s != '\0' && n + 5 < size) {
        c1 = (s[0] == 0xc2 && s[1] >= 0x80 && s[1] <= 0x9f) ||
             (s > (const unsigned char *) src && s[-1] == 0xc2 &&
              s[0] >= 0x80 && s[0] <= 0x9f);

        if (*s < 0x20 || *s == 0x7f || c1) {
            n += (size_t) snprintf(dst + n, size - n, "\\x%02x", *s);
        } else {
            dst[n++] = (char) *s;
        }

        s++;
    }

    return n;
}


void
amld_log(amld_log_level_t level, const char *format, ...)
{
    char text[LOG_LINE_MAX / 2], line[LOG_LINE_MAX];
    struct timespec now;
    struct tm tm;
    va_list args;
    size_t n;

    if ((int) level > atomic_load(&amld_log_most)) {
        return;
    }

    va_start(args, format);
    (void) vsnprintf(text, sizeof(text), format, args);
    va_end(args);

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);

    n = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t) snprintf(line + n, sizeof(line) - n, ".%03ldZ %s ",
                           now.tv_nsec / 1000000, amld_log_names[level]);
    n += log_escape(line + n, sizeof(line) - n - LOG_ID_MAX, text);

    if (amld_log_id != NULL) {
        line[n++] = ' ';
        line[n++] = '[';
        n += log_escape(line + n, LOG_ID_MAX - 4, amld_log_id);
        line[n++] = ']';
    }
    line[n++] = '\n';

    /* one write, so that threads' lines stay whole */
    if (write(STDERR_FILENO, line, n) < 0) {
        return;
    }
}


int
amld_seldom(amld_seldom_t *seldom, unsigned *missed)
{
    struct timespec now;
    int64_t last = atomic_load(&seldom->last);

    clock_gettime(CLOCK_MONOTONIC, &now);

    if ((last != 0 && now.tv_sec - last < SELDOM) ||
        !atomic_compare_exchange_strong(
            &seldom->last, &last, (int64_t) now.tv_sec + (now.tv_sec == 0))) {
        atomic_fetch_add(&seldom->missed, 1);
        return 0;
    }

    *missed = atomic_exchange(&seldom->missed, 0);

    return 1;
}
