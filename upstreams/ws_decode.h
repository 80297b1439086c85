/*
 * What a websocket's client says, taken apart as it comes (RFC 6455 section
 * 5): frames of a client are masked; binary messages are a stream of bytes,
 * whatever frames they come in.  A frame may be of any size: nothing is kept
 * of it but where it ends.
 */

#ifndef AML_WS_DECODE_H
#define AML_WS_DECODE_H

#include "upstreams/ws_frame.h"

#define AML_WS_CONTROL_MAX 125 /* bytes of a control frame's payload */

/* RFC 6455 section 7.4.1, and IANA's registry */
#define AML_WS_NORMAL 1000
#define AML_WS_GOING_AWAY 1001
#define AML_WS_PROTOCOL 1002
#define AML_WS_UNSUPPORTED 1003
#define AML_WS_BAD_TEXT 1007
#define AML_WS_TOO_BIG 1009
#define AML_WS_UNEXPECTED 1011

typedef enum {
    AML_WS_MORE = 0, /* all was taken in */
    AML_WS_PING,     /* `control`: what to answer with */
    AML_WS_PONG,
    AML_WS_CLOSED, /* `code`: as the client said, 0 where it said none */
    AML_WS_BROKEN  /* `code`: to close with */
} aml_ws_event_t;

/* One client.  All zero is the beginning. */
typedef struct {
    uint64_t left; /* bytes of the payload under way that are still to come */
    uint32_t data; /* data frames that have come to their payload; wraps */
    unsigned code;
    uint8_t head[AML_WS_HEADER_MAX];
    uint8_t have;   /* bytes of an unfinished header */
    uint8_t opcode; /* of the frame under way */
    uint8_t mask[4];
    uint8_t turn; /* which byte of the mask is next */
    uint8_t control[AML_WS_CONTROL_MAX];
    uint8_t control_size;
    unsigned in_payload : 1;
    unsigned in_message : 1; /* a data frame was not its message's last */
    unsigned ended : 1;      /* was closed, or is broken */
    unsigned server : 1;     /* set it where a server is heard by its client:
                                then frames with a mask are what is wrong */
} aml_ws_decoder_t;

/*
 * Takes in bytes from *in up to `end`, and writes what binary frames carry to
 * *out; both are moved on.  *out may be *in: what is written is never longer
 * than what was taken in, and moves to the front.  Stops behind the first
 * control frame, or where the client has no business to go on; then there may
 * be more to take in, by the next call.  After AML_WS_CLOSED and AML_WS_BROKEN
 * what comes is skipped: AML_WS_MORE.
 *
 * Broken, by 1002: frames without a mask, with a reserved bit or opcode, with
 * a length that is not the shortest or has bit 63 set; control frames in
 * pieces or of more than 125 bytes; a continuation of nothing, and a message
 * within another; a Close frame with a code that is none, or half of one.  By
 * 1003: text.  By 1007: a Close frame's reason that is no UTF-8.
 */
aml_ws_event_t aml_ws_decode(aml_ws_decoder_t *d, const uint8_t **in,
                             const uint8_t *end, uint8_t **out);

#endif /* AML_WS_DECODE_H */
