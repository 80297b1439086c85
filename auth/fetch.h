/*
 * Requests to identity providers.  HTTPS with verification, no redirects, no
 * proxy but one that the configuration names, and a bound on time and size:
 * whatever answers, or does not, the caller gets on.
 *
 * Any thread; each call waits, for `seconds` at the most.
 */

#ifndef AMLD_FETCH_H
#define AMLD_FETCH_H

#include <stdatomic.h>
#include <stddef.h>

typedef enum {
    AMLD_FETCH_OK = 0,
    AMLD_FETCH_REFUSED,     /* the address is not https://host… */
    AMLD_FETCH_UNREACHABLE, /* it has not got the request: no such host, nobody
                             * listens, or does not go on from there */
    AMLD_FETCH_TIMEOUT,     /* it has, or may have; so all that follow */
    AMLD_FETCH_TLS,   /* no TLS 1.2, or not the certificate of that name */
    AMLD_FETCH_CUT,   /* the answer ended too early, or is no HTTP */
    AMLD_FETCH_LARGE, /* it is larger than `most` */
    AMLD_FETCH_TYPE,  /* it is not of the type that was asked for */
    AMLD_FETCH_ENDED, /* `cancel` was set meanwhile */
    AMLD_FETCH_FAILED /* no memory, or curl itself */
} amld_fetch_rc_t;

typedef struct {
    const char *url;
    const char *ca;    /* PEM file of authorities; NULL: the system's */
    const char *proxy; /* NULL: none, whatever the environment says */
    const char *form;  /* NULL: GET; else POST of this, url-encoded */
    const char *user;  /* HTTP Basic, both form-encoded as RFC 6749 section
                        * 2.3.1 wants; NULL: none */
    const char *password;
    const char *bearer; /* a token for Authorization; NULL: none */
    size_t most;        /* bytes of the answer */
    unsigned seconds;
    const atomic_int
        *cancel; /* ends the request soon after it is not 0; NULL */
} amld_fetch_t;

typedef struct {
    long status; /* of HTTP; whatever it is, the rest is OK */
    char *body;  /* NUL-ended; NULL unless OK */
    size_t n;
    long max_age;     /* of Cache-Control, seconds; -1: none */
    long retry_after; /* seconds; -1: none */
    char detail[160]; /* for a log: what curl says of a failure, or the type
                       * that it was; may be empty, has no secret */
} amld_fetched_t;

/* Of the process, before there are threads; 0, or -1. */
int amld_fetch_init(void);

/*
 * JSON only: with a status of 2xx the answer's type is application/json or
 * ends in "+json", or it is AMLD_FETCH_TYPE.  A redirect is an answer like
 * any other.  amld_fetched_clear() is due in every case.
 */
amld_fetch_rc_t amld_fetch(const amld_fetch_t *fetch, amld_fetched_t *fetched);
void amld_fetched_clear(amld_fetched_t *fetched);

/* A sentence for logs and pages, static, without a full stop; never a secret.
 */
const char *amld_fetch_strerror(amld_fetch_rc_t rc);

/* Appends "name=value", url-encoded, to a form that is malloc()ed or NULL;
 * frees it and answers NULL without memory. */
char *amld_fetch_form(char *form, const char *name, const char *value);

/* An address with these (name, value) in its query, malloc()ed; NULL without
 * memory. */
char *
amld_fetch_url(const char *endpoint, const char *const (*fields)[2], size_t n);

#endif /* AMLD_FETCH_H */
