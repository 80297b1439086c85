#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/sse.h"

typedef struct {
    char text[4096];
    int stop;
} heard_t;


static int
hear(void *context, const char *event, const char *data, size_t n)
{
    heard_t *h = context;

    assert_int_equal(strlen(data), n);
    snprintf(h->text + strlen(h->text), sizeof(h->text) - strlen(h->text),
             "%s=%s;", event, data);

    return h->stop;
}


/* In pieces of every size. */
static void
check(const char *stream, const char *want, const char *id)
{
    cli_sse_t sse;
    heard_t heard;
    size_t cut, at, n = strlen(stream), k;

    for (cut = 1; cut <= n; cut++) {
        memset(&heard, 0, sizeof(heard));
        memset(&sse, 0, sizeof(sse));
        sse.event = hear;
        sse.context = &heard;
        for (at = 0; at < n; at += k) {
            k = cut < n - at ? cut : n - at;
            assert_int_equal(cli_sse_feed(&sse, stream + at, k), 0);
        }
        assert_string_equal(heard.text, want);
        assert_string_equal(sse.id, id);
        cli_sse_clear(&sse);
    }
}


static void
events(void **state)
{
    (void) state;
    check("event: log\ndata: a\ndata: b\n\n", "log=a\nb;", "");
    check("event: log\r\ndata: a\r\n\r\ndata:b\r\n\r\n", "log=a;message=b;",
          "");
    check("data: a\r\rdata: b\r\r", "message=a;message=b;", "");
    check(": comment\n\ndata\n\n", "message=;", "");
    check("event: x\n\ndata: y\n\n", "message=y;", "");
    check("id: 42\ndata: a\n\nid: 50\ndata: b\n", "message=a;", "42");
    check("id: 4/../2\ndata: a\n\n", "message=a;", "");
    check("data:  two\n\n", "message= two;", "");
    check("unknown: x\nretry: 5\n\n", "", "");
}


static void
stops(void **state)
{
    cli_sse_t sse = {.event = hear};
    heard_t heard = {.stop = 1};

    (void) state;
    sse.context = &heard;
    assert_int_equal(cli_sse_feed(&sse, "data: a\n\ndata: b\n\n", 18), -1);
    assert_string_equal(heard.text, "message=a;");
    assert_int_equal(sse.stopped, 1);
    cli_sse_clear(&sse);
}


/* A stream that never ends its line, or its event, ends. */
static void
is_bounded(void **state)
{
    static char block[65536];
    cli_sse_t sse = {.event = hear};
    heard_t heard = {{0}, 0};
    size_t i;
    int rc = 0;

    (void) state;
    memset(block, 'x', sizeof(block));
    sse.context = &heard;
    for (i = 0; i < 17 && rc == 0; i++) {
        rc = cli_sse_feed(&sse, block, sizeof(block));
    }
    assert_int_equal(rc, -1);
    assert_int_equal(sse.stopped, -1);
    cli_sse_clear(&sse);

    memset(&sse, 0, sizeof(sse));
    sse.event = hear;
    sse.context = &heard;
    memcpy(block, "data: ", 6);
    block[sizeof(block) - 1] = '\n';
    for (i = 0, rc = 0; i < 17 && rc == 0; i++) {
        rc = cli_sse_feed(&sse, block, sizeof(block));
    }
    assert_int_equal(rc, -1);
    cli_sse_clear(&sse);
}


static void
goes_on(void **state)
{
    cli_sse_t sse = {.event = hear};
    heard_t heard = {{0}, 0};

    (void) state;
    sse.context = &heard;
    assert_int_equal(
        cli_sse_feed(&sse, "id: 9\ndata: a\n\nid: 11\ndata: lo", 31), 0);
    cli_sse_again(&sse);
    assert_string_equal(sse.id, "9");
    assert_int_equal(cli_sse_feed(&sse, "data: b\n\n", 9), 0);
    assert_string_equal(heard.text, "message=a;message=b;");
    assert_string_equal(sse.id, "9");
    cli_sse_clear(&sse);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events),
        cmocka_unit_test(stops),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(goes_on),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
