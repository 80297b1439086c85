/*
 * A client's end of a websocket (RFC 6455): the handshake, and frames out,
 * which are masked.  Frames in are upstreams/ws_decode.h's.  Knows nothing of
 * connections and keeps nothing of what is said.
 */

#ifndef CLI_WS_CLIENT_H
#define CLI_WS_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#define CLI_WS_KEY 25    /* Sec-WebSocket-Key with its NUL */
#define CLI_WS_ACCEPT 29 /* Sec-WebSocket-Accept with its NUL */
#define CLI_WS_HEADER 14 /* of a frame, at the most */

#define CLI_WS_BINARY 0x2
#define CLI_WS_CLOSE 0x8
#define CLI_WS_PING 0x9
#define CLI_WS_PONG 0xa


/* ---- the handshake ---- */

/* A new key; 0, or -1 where the system has no random bytes. */
int cli_ws_key(char key[CLI_WS_KEY]);

/* What a server must answer to a key (section 4.2.2). */
void cli_ws_accept(const char *key, char accept[CLI_WS_ACCEPT]);

typedef struct {
    int status;        /* 0: no HTTP */
    long retry_after;  /* seconds, -1 */
    long length;       /* of the body, -1 */
    char reason[64];   /* X-AML-Reason */
    const char *wrong; /* of a 101: why it is none of ours, or NULL */
} cli_ws_answer_t;

/* Reads the head of an answer, up to and with its empty line.  0, or -1 where
 * it is no HTTP/1.1. */
int cli_ws_answer(const char *head, size_t n, const char *key,
                  cli_ws_answer_t *answer);


/* ---- frames ---- */

/*
 * Writes the header of a final frame with `n` bytes that are masked by `mask`;
 * returns its length.
 */
size_t cli_ws_header(uint8_t header[CLI_WS_HEADER], unsigned opcode, uint64_t n,
                     const uint8_t mask[4]);

/* Masks, or unmasks, in place. */
void cli_ws_mask(uint8_t *p, size_t n, const uint8_t mask[4]);

#endif /* CLI_WS_CLIENT_H */
