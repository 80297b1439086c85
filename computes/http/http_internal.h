/*
 * What the parts of the control socket share: http.c (connections),
 * http_request.c (what was asked), http_response.c (what is answered).
 */

#ifndef AMLD_HTTP_INTERNAL_H
#define AMLD_HTTP_INTERNAL_H

#include <microhttpd.h>

#include "computes/http/http.h"

#define AMLD_HTTP_PAIRS 64
#define AMLD_HTTP_SEGMENTS 24
#define AMLD_HTTP_HEADERS 32
#define AMLD_HTTP_CODE 64

typedef struct {
    const char *name;
    size_t name_len;
    const char *value; /* NUL-ended, decoded */
} amld_http_pair_t;

typedef struct {
    size_t n;
    char *room; /* what names and values point into */
    amld_http_pair_t pair[AMLD_HTTP_PAIRS];
} amld_http_pairs_t;

struct amld_response {
    unsigned status;           /* 0: the handler gave no answer */
    amld_handler_pt later;     /* it is this one's */
    const char *request;       /* its id, or NULL */
    int safe;                  /* asked with GET or HEAD */
    int failed;                /* no memory, or a header that can't be sent */
    int refuses;               /* though its status does not say so */
    char code[AMLD_HTTP_CODE]; /* of the error, "" */
    char *body;
    size_t body_len;
    const char *type; /* static */
    amld_stream_pt stream;
    void (*stream_over)(void *data);
    void *stream_data;
    uint64_t stream_size; /* MHD_SIZE_UNKNOWN */
    size_t header_count;
    struct {
        char *name;
        char *value;
    } header[AMLD_HTTP_HEADERS];
};

typedef struct {
    amld_request_t request;
    amld_response_t response;
    struct MHD_Connection *connection;
    int started;    /* the headers have been looked at */
    int slowed;     /* its handler is one that waits, see http_slow.h */
    int done;       /* and has run */
    int audited;    /* its refusal is in the audit log */
    int overlong;   /* the body is larger than AMLD_BODY_MAX */
    size_t dropped; /* bytes of it that were read and thrown away */
    char *target;   /* as it was sent */
    char *path;
    amld_http_pairs_t query;
    amld_http_pairs_t form;
    amld_http_pairs_t params;
    char *body;
    size_t body_size;
} amld_exchange_t;


/* ---- http_request.c: pure but for the connection's headers ---- */

/*
 * Splits the target into exchange->path and the query.  NULL, or what is
 * wrong with it.
 */
const char *amld_http_parse_target(amld_exchange_t *e);

/* Identity and host from the headers; NULL, or what is wrong. */
const char *amld_http_parse_headers(amld_exchange_t *e);

/* The body, where it is a form; NULL, or what is wrong. */
const char *amld_http_parse_form(amld_exchange_t *e);

/* a=1&b=2 with "+" and %XX; 0, or -1 when malformed. */
int amld_http_parse_pairs(amld_http_pairs_t *pairs, const char *text, size_t n);
void amld_http_pairs_free(amld_http_pairs_t *pairs);

/* 1 when the path fits, and then fills `params`; -1 without memory. */
int amld_http_match(const char *pattern, const char *path,
                    amld_http_pairs_t *params);


/* ---- http_response.c ---- */

/* Queues the response; MHD_NO only without memory. */
enum MHD_Result amld_http_send(amld_exchange_t *e);
void amld_http_response_clear(amld_response_t *r);
/* Of a header that is to be sent; NULL. */
const char *
amld_http_response_header(const amld_response_t *r, const char *name);

#endif /* AMLD_HTTP_INTERNAL_H */
