/*
 * A client's end of a websocket (RFC 6455): the handshake, frames out, which
 * are masked, and frames in, which must not be.  Knows nothing of connections
 * and keeps nothing of what is said.
 */

#ifndef CLI_WS_CLIENT_H
#define CLI_WS_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#define CLI_WS_KEY 25    /* Sec-WebSocket-Key with its NUL */
#define CLI_WS_ACCEPT 29 /* Sec-WebSocket-Accept with its NUL */
#define CLI_WS_HEADER 14 /* of a frame, at the most */
#define CLI_WS_CONTROL 125

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


/* ---- out ---- */

/*
 * Writes the header of a final frame with `n` bytes that are masked by `mask`;
 * returns its length.
 */
size_t cli_ws_header(uint8_t header[CLI_WS_HEADER], unsigned opcode, uint64_t n,
                     const uint8_t mask[4]);

/* Masks, or unmasks, in place. */
void cli_ws_mask(uint8_t *p, size_t n, const uint8_t mask[4]);


/* ---- in ---- */

typedef enum {
    CLI_WS_MORE = 0, /* all was taken, and more has to come */
    CLI_WS_DATA,     /* bytes of a binary message */
    CLI_WS_CTL,      /* a control frame: `opcode`, control[0…control_n) */
    CLI_WS_WRONG     /* what came is against the rules: `code`; it stays so */
} cli_ws_event_t;

/* All zero is the beginning. */
typedef struct {
    uint64_t left;    /* bytes of the payload under way */
    unsigned opcode;  /* of the frame under way */
    unsigned code;    /* 1002 or 1003 */
    uint8_t head[10]; /* of which `have` are there */
    uint8_t have;
    uint8_t control_n;
    uint8_t control[CLI_WS_CONTROL];
    unsigned in_frame : 1;
    unsigned in_message : 1; /* a continuation has to follow */
    unsigned closed : 1;     /* nothing may come after a Close frame */
    unsigned final : 1;
} cli_ws_in_t;

/*
 * The next of what is in the `*n` bytes at `*p`, which move on.  With DATA
 * `*data` and `*data_n` are a part of them.
 */
cli_ws_event_t cli_ws_next(cli_ws_in_t *in, const uint8_t **p, size_t *n,
                           const uint8_t **data, size_t *data_n);

/* The code of a Close frame's payload, 1005 where it has none; -1 where it is
 * malformed.  The reason is behind the first two bytes. */
int cli_ws_close_code(const uint8_t *payload, size_t n);

#endif /* CLI_WS_CLIENT_H */
