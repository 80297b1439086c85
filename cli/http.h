/*
 * Requests to the gateway, by libcurl: https only, certificates always
 * verified, no redirect followed, answers of a limited size, proxies as the
 * environment says (HTTPS_PROXY, NO_PROXY).
 */

#ifndef CLI_HTTP_H
#define CLI_HTTP_H

#include <curl/curl.h>
#include <stddef.h>

#define CLI_ANSWER_MOST ((size_t) 8 * 1024 * 1024)

/* Strings live until the request is made. */
typedef struct {
    const char *method;
    const char *url;
    const char *ca;     /* a file of authorities; NULL: the system's */
    const char *bearer; /* a token, or NULL */
    const char *user;   /* HTTP Basic, with password, or NULL */
    const char *password;
    const char *accept; /* NULL: JSON */
    const char *type;   /* of the body; NULL without one */
    const char *body;
    size_t body_n;
    const char *range;    /* "bytes=100-", or NULL */
    const char *if_match; /* an entity tag, or NULL */
    long expected;        /* a status of 400 or more that is the caller's to
                             speak of, cli_request() says nothing; 0: none */
    long timeout;         /* seconds for all of it; 0: one minute; -1:
                             none, but something must come each minute */
    /* For what streams: given the pieces of an answer with status 2xx, the
     * rest is collected as ever.  Other than 0 ends it. */
    int (*data)(void *context, const char *data, size_t n);
    void *context;
} cli_request_t;

typedef struct {
    long status; /* 0 where nothing came */
    char *body;  /* ended by NUL; never NULL after a request was made */
    size_t n;
    char type[128];
    char reason[64];  /* X-AML-Reason */
    long retry_after; /* seconds, -1 */
    char range[96];   /* Content-Range */
    char error[512];  /* why nothing came, for people */
    int stopped;      /* data() has ended it */
    int sent;         /* the server may have got the request */
} cli_answer_t;

/*
 * Makes a request.  0 when there is an answer, whatever its status, and -1
 * with `error` otherwise; free it with cli_answer_clear() in both cases.
 */
int cli_http(CURL *curl, const cli_request_t *request, cli_answer_t *answer);
void cli_answer_clear(cli_answer_t *answer);

/* Sets what all connections have in common: TLS, proxies, no signals. */
void cli_http_common(CURL *curl, const char *ca);

/* What curl says, with what to do; `url` is only its host. */
void cli_http_reason(CURL *curl, CURLcode rc, const char *detail,
                     const char *url, char *error, size_t size);

/*
 * "https://host[:port]" of what a person typed: https:// is added where it is
 * missing, the host is lower case, a path of "/" is taken off.  The caller's
 * to free; NULL where it is no such address.
 */
char *cli_http_origin(const char *text);

/* Is this URL, which a server sent, one of this origin?  Then where its path
 * begins; NULL otherwise. */
const char *cli_http_below(const char *origin, const char *url);

#endif /* CLI_HTTP_H */
