/*
 * A client's end of a websocket.
 */

#include "cli/ws_client.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WS_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


/* ---- the handshake ---- */

int
cli_ws_key(char key[CLI_WS_KEY])
{
    unsigned char random[16];

    if (RAND_bytes(random, sizeof(random)) != 1) {
        return -1;
    }
    (void) EVP_EncodeBlock((unsigned char *) key, random, sizeof(random));

    return 0;
}


void
cli_ws_accept(const char *key, char accept[CLI_WS_ACCEPT])
{
    char text[CLI_WS_KEY + sizeof(WS_GUID)];
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    snprintf(text, sizeof(text), "%s" WS_GUID, key);
    if (EVP_Digest(text, strlen(text), hash, &n, EVP_sha1(), NULL) != 1) {
        n = 0;
    }
    (void) EVP_EncodeBlock((unsigned char *) accept, hash, (int) n);
}


/* Is the line of this name?  Then its value, without blanks around it. */
static int
ws_header_is(const char *line, size_t n, const char *name, const char **value,
             size_t *value_n)
{
    size_t k = strlen(name);

    if (n <= k || line[k] != ':' || strncasecmp(line, name, k) != 0) {
        return 0;
    }
    for (k++; k < n && (line[k] == ' ' || line[k] == '\t'); k++) {
    }
    while (n > k && (line[n - 1] == ' ' || line[n - 1] == '\t')) {
        n--;
    }
    *value = line + k;
    *value_n = n - k;

    return 1;
}


static int
ws_value_is(const char *value, size_t n, const char *want)
{
    return n == strlen(want) && strncasecmp(value, want, n) == 0;
}


static long
ws_number(const char *value, size_t n)
{
    long number = 0;
    size_t i;

    for (i = 0; i < n; i++) {
        if (value[i] < '0' || value[i] > '9' || number > 100000000) {
            return -1;
        }
        number = number * 10 + (value[i] - '0');
    }

    return n > 0 ? number : -1;
}


typedef struct {
    int upgrade, connection, accepts, extra;
} ws_seen_t;


static void
ws_line(const char *line, size_t n, const char *accept, cli_ws_answer_t *answer,
        ws_seen_t *seen)
{
    const char *value;
    size_t size;

    if (ws_header_is(line, n, "Upgrade", &value, &size)) {
        seen->upgrade = ws_value_is(value, size, "websocket");
    } else if (ws_header_is(line, n, "Connection", &value, &size)) {
        seen->connection = ws_value_is(value, size, "upgrade");
    } else if (ws_header_is(line, n, "Sec-WebSocket-Accept", &value, &size)) {
        seen->accepts +=
            size == strlen(accept) && memcmp(value, accept, size) == 0 ? 1 : 2;
    } else if (ws_header_is(line, n, "Sec-WebSocket-Extensions", &value,
                            &size) ||
               ws_header_is(line, n, "Sec-WebSocket-Protocol", &value, &size)) {
        seen->extra = 1;
    } else if (ws_header_is(line, n, "X-AML-Reason", &value, &size)) {
        snprintf(answer->reason, sizeof(answer->reason), "%.*s",
                 size < sizeof(answer->reason) ? (int) size : 0, value);
    } else if (ws_header_is(line, n, "Retry-After", &value, &size)) {
        answer->retry_after = ws_number(value, size);
    } else if (ws_header_is(line, n, "Content-Length", &value, &size)) {
        answer->length = ws_number(value, size);
    }
}


int
cli_ws_answer(const char *head, size_t n, const char *key,
              cli_ws_answer_t *answer)
{
    char accept[CLI_WS_ACCEPT];
    const char *end;
    ws_seen_t seen = {0};
    size_t line, next;

    memset(answer, 0, sizeof(*answer));
    answer->retry_after = -1;
    answer->length = -1;

    if (n < 14 || memcmp(head, "HTTP/1.1 ", 9) != 0 ||
        ws_number(head + 9, 3) < 100 || (head[12] != ' ' && head[12] != '\r')) {
        return -1;
    }
    answer->status = (int) ws_number(head + 9, 3);
    cli_ws_accept(key, accept);

    for (; n > 0; head += next, n -= next) {
        end = memchr(head, '\n', n);
        if (end == NULL) {
            break;
        }
        next = (size_t) (end - head) + 1;
        line = next - 1;
        if (line > 0 && head[line - 1] == '\r') {
            line--;
        }
        ws_line(head, line, accept, answer, &seen);
    }

    if (answer->status == 101) {
        answer->wrong =
            !seen.upgrade || !seen.connection ? "it speaks no websocket"
            : seen.accepts != 1 ? "its Sec-WebSocket-Accept is wrong"
            : seen.extra        ? "it has chosen what was not offered"
                                : NULL;
    }

    return 0;
}


/* ---- frames ---- */

size_t
cli_ws_header(uint8_t header[CLI_WS_HEADER], unsigned opcode, uint64_t n,
              const uint8_t mask[4])
{
    size_t at = 2, i;

    header[0] = (uint8_t) (0x80 | opcode);
    if (n <= 125) {
        header[1] = (uint8_t) (0x80 | n);
    } else if (n <= 0xffff) {
        header[1] = 0x80 | 126;
        header[at++] = (uint8_t) (n >> 8);
        header[at++] = (uint8_t) n;
    } else {
        header[1] = 0x80 | 127;
        for (i = 0; i < 8; i++) {
            header[at++] = (uint8_t) (n >> (56 - 8 * i));
        }
    }
    memcpy(header + at, mask, 4);

    return at + 4;
}


void
cli_ws_mask(uint8_t *p, size_t n, const uint8_t mask[4])
{
    uint64_t wide, word;
    size_t i;

    memcpy(&wide, mask, 4);
    memcpy((uint8_t *) &wide + 4, mask, 4);

    for (i = 0; i + 8 <= n; i += 8) {
        memcpy(&word, p + i, 8);
        word ^= wide;
        memcpy(p + i, &word, 8);
    }
    for (; i < n; i++) {
        p[i] ^= mask[i & 3];
    }
}
