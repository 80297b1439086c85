/*
 * Where the frames of a websocket begin and end (RFC 6455 section 5): follows
 * one direction of a connection, whatever pieces it comes in, and keeps
 * nothing of what it says.
 */

#ifndef AML_WS_FRAME_H
#define AML_WS_FRAME_H

#include <stdint.h>

#include "auth/str.h"

#define AML_WS_HEADER_MAX 14 /* two bytes, 64-bit length, masking key */
#define AML_WS_CLOSE_MAX 127 /* the largest control frame, without a mask */
#define AML_WS_REASON_MAX 123

#define AML_WS_POLICY 1008 /* RFC 6455 section 7.4.1 */

/* One direction.  All zero is the beginning. */
typedef struct {
    uint64_t left; /* bytes of the payload under way that are still to come */
    uint32_t data; /* data frames begun, continuations too; wraps */
    uint8_t keep_alive; /* not counted: data frames, not deflated, of at most
                           so many bytes of payload; 0: all are */
    uint8_t have;       /* bytes of an unfinished header */
    uint8_t head[AML_WS_HEADER_MAX];
    unsigned closing : 1; /* a Close frame has begun; nothing comes after it */
    unsigned lost : 1;    /* what came is no websocket; it stays so */
} aml_ws_stream_t;

/* Takes in the next `n` bytes. */
void aml_ws_feed(aml_ws_stream_t *s, const void *p, size_t n);

/* Is no frame under way, so that another could be put in here? */
int aml_ws_between(const aml_ws_stream_t *s);

/*
 * How many of the next `n` bytes, `least` of them or more, lead to a place
 * between frames; `n` where none does.  `s` stays as it is.
 */
size_t
aml_ws_until(const aml_ws_stream_t *s, const void *p, size_t n, size_t least);

/*
 * A frame's header as it comes: how long it will be, of which `have` bytes are
 * there; and, when it is there, the size of its payload: 0, or -1 when that is
 * not written in the shortest way or has bit 63 set.
 */
size_t aml_ws_header_size(const uint8_t *head, size_t have);
int aml_ws_payload_size(const uint8_t *head, uint64_t *size);

/* A server's header of a whole message, 0x80 and its opcode in `first`, with
 * `size` bytes of payload; its length. */
size_t
aml_ws_header(uint8_t head[AML_WS_HEADER_MAX], unsigned first, uint64_t size);

/* A server's Close frame; its length.  A longer reason (UTF-8) is cut, at the
 * end of a character. */
size_t aml_ws_close_frame(uint8_t frame[AML_WS_CLOSE_MAX], unsigned code,
                          aml_str_t reason);

#endif /* AML_WS_FRAME_H */
