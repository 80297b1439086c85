#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/ws_client.h"
#include "upstreams/ws_decode.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define HEAD                                                                   \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n"               \
    "Connection: Upgrade\r\n"


static void
keys(void **state)
{
    char one[CLI_WS_KEY], two[CLI_WS_KEY], accept[CLI_WS_ACCEPT];

    (void) state;
    cli_ws_accept(KEY, accept); /* RFC 6455 section 1.3 */
    assert_string_equal(accept, ACCEPT);
    assert_int_equal(cli_ws_key(one), 0);
    assert_int_equal(cli_ws_key(two), 0);
    assert_int_equal(strlen(one), 24);
    assert_string_not_equal(one, two);
}


static void
answers(void **state)
{
    static const struct {
        const char *head;
        int rc, status, fits;
    } cases[] = {
        {HEAD "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n", 0, 101, 1},
        {HEAD "sec-websocket-accept:\t" ACCEPT " \r\n\r\n", 0, 101, 1},
        {HEAD "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n\r\n", 0,
         101, 0},
        {HEAD "Sec-WebSocket-Accept: " ACCEPT "\r\nSec-WebSocket-Accept: x\r\n"
              "\r\n",
         0, 101, 0},
        {HEAD "Sec-WebSocket-Accept: " ACCEPT
              "\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n",
         0, 101, 0},
        {HEAD "\r\n", 0, 101, 0},
        {HEAD "Sec-WebSocket-Accept: " ACCEPT
              "\r\nSec-WebSocket-Protocol: x\r\n\r\n",
         0, 101, 0},
        {"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n",
         0, 101, 0},
        {"HTTP/1.1 101 S\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n",
         0, 101, 0},
        {"HTTP/1.1 403 Forbidden\r\n\r\n", 0, 403, 1},
        {"HTTP/1.1 403\r\n\r\n", 0, 403, 1},
        {"HTTP/1.0 101 Switching\r\n\r\n", -1, 0, 1},
        {"HTTP/1.1 1x1 Switching\r\n\r\n", -1, 0, 1},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", -1, 0, 1},
        {"", -1, 0, 1},
    };
    cli_ws_answer_t answer;
    size_t i;

    (void) state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(
            cli_ws_answer(cases[i].head, strlen(cases[i].head), KEY, &answer),
            cases[i].rc);
        if (cases[i].rc == 0) {
            assert_int_equal(answer.status, cases[i].status);
            assert_int_equal(answer.wrong == NULL, cases[i].fits);
        }
    }
}


static void
refusals(void **state)
{
    static const char head[] =
        "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 12\r\n"
        "X-AML-Reason: application_not_started\r\n\r\n";
    static const char worse[] =
        "HTTP/1.1 503 Busy\r\nRetry-After: soon\r\nContent-Length: -1\r\n\r\n";
    static const char huge[] = "HTTP/1.1 503 Busy\r\nContent-Length: "
                               "99999999999999999999\r\n\r\n";
    cli_ws_answer_t answer;

    (void) state;
    assert_int_equal(cli_ws_answer(head, strlen(head), KEY, &answer), 0);
    assert_int_equal(answer.retry_after, 7);
    assert_int_equal(answer.length, 12);
    assert_string_equal(answer.reason, "application_not_started");
    assert_int_equal(cli_ws_answer(worse, strlen(worse), KEY, &answer), 0);
    assert_int_equal(answer.retry_after, -1);
    assert_int_equal(answer.length, -1);
    assert_int_equal(cli_ws_answer(huge, strlen(huge), KEY, &answer), 0);
    assert_int_equal(answer.length, -1);
}


/* What we say is what the gateway's decoder hears. */
static void
is_heard(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, 70001};
    static uint8_t said[CLI_WS_HEADER + 70001], heard[70001];
    const uint8_t mask[4] = {0x12, 0xff, 0x00, 0x81};
    aml_ws_decoder_t decoder;
    const uint8_t *in, *end;
    uint8_t *out;
    size_t i, k, n;

    (void) state;
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        n = cli_ws_header(said, CLI_WS_BINARY, sizes[i], mask);
        for (k = 0; k < sizes[i]; k++) {
            said[n + k] = (uint8_t) (k * 7);
        }
        cli_ws_mask(said + n, sizes[i], mask);
        memset(&decoder, 0, sizeof(decoder));
        in = said;
        end = said + n + sizes[i];
        out = heard;
        assert_int_equal(aml_ws_decode(&decoder, &in, end, &out), AML_WS_MORE);
        assert_int_equal(out - heard, sizes[i]);
        for (k = 0; k < sizes[i]; k++) {
            assert_int_equal(heard[k], (uint8_t) (k * 7));
        }
    }
}


/* A server's frames: without a mask, whatever pieces they come in. */
static void
hears_servers(void **state)
{
    static const uint8_t said[] = {0x02, 3,   'a',  'b', 'c', 0x89, 2,
                                   'h',  'i', 0x80, 126, 0,   126};
    uint8_t all[sizeof(said) + 126 + 4], out[256], *to;
    aml_ws_decoder_t decoder;
    const uint8_t *in;
    size_t cut, pings;
    aml_ws_event_t event;

    (void) state;
    memcpy(all, said, sizeof(said));
    memset(all + sizeof(said), 'x', 126);
    memcpy(all + sizeof(said) + 126, "\x88\x02\x03\xe8", 4);

    for (cut = 1; cut <= sizeof(all); cut++) {
        memset(&decoder, 0, sizeof(decoder));
        decoder.server = 1;
        to = out;
        pings = 0;
        in = all;
        event = AML_WS_MORE;
        while (in < all + sizeof(all)) {
            const uint8_t *end =
                in + cut < all + sizeof(all) ? in + cut : all + sizeof(all);
            while (in < end) {
                event = aml_ws_decode(&decoder, &in, end, &to);
                if (event == AML_WS_PING) {
                    assert_memory_equal(decoder.control, "hi", 2);
                    pings++;
                }
                assert_int_not_equal(event, AML_WS_BROKEN);
            }
        }
        assert_int_equal(event, AML_WS_CLOSED);
        assert_int_equal(decoder.code, 1000);
        assert_int_equal(pings, 1);
        assert_int_equal(to - out, 129);
        assert_memory_equal(out, "abcxxx", 6);
    }

    memset(&decoder, 0, sizeof(decoder));
    decoder.server = 1;
    in = (const uint8_t *) "\x82\x81\0\0\0\0a";
    to = out;
    assert_int_equal(aml_ws_decode(&decoder, &in, in + 7, &to), AML_WS_BROKEN);
    assert_int_equal(decoder.code, AML_WS_PROTOCOL);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys),          cmocka_unit_test(answers),
        cmocka_unit_test(refusals),      cmocka_unit_test(is_heard),
        cmocka_unit_test(hears_servers),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
