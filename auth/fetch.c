/*
 * Requests to identity providers, by libcurl.
 */

#include "auth/fetch.h"

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define CONNECT_SECONDS 5L
#define IDLE_HANDLES 8
#define CA_SECONDS 300L /* that authorities are kept in memory */

typedef struct {
    const amld_fetch_t *fetch;
    amld_fetched_t *fetched;
    size_t size;
    int large;
    int failed;
    char error[CURL_ERROR_SIZE];
} fetch_state_t;


int
amld_fetch_init(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -1;
}


const char *
amld_fetch_strerror(amld_fetch_rc_t rc)
{
    switch (rc) {
    case AMLD_FETCH_OK:
        return "no error";
    case AMLD_FETCH_REFUSED:
        return "its address is not one of https";
    case AMLD_FETCH_UNREACHABLE:
        return "it can't be reached";
    case AMLD_FETCH_TIMEOUT:
        return "it did not answer in time";
    case AMLD_FETCH_TLS:
        return "its certificate is not trusted, or it has no TLS 1.2";
    case AMLD_FETCH_CUT:
        return "its answer was cut off, or is no HTTP";
    case AMLD_FETCH_LARGE:
        return "its answer is too large";
    case AMLD_FETCH_TYPE:
        return "its answer is not JSON";
    case AMLD_FETCH_ENDED:
        return "amld ends";
    case AMLD_FETCH_FAILED:
        break;
    }

    return "the request could not be made";
}


/* ---- what comes ---- */

static size_t
fetch_body(char *data, size_t one, size_t n, void *context)
{
    fetch_state_t *s = context;
    amld_fetched_t *f = s->fetched;
    size_t size;
    char *grown;

    n *= one;

    if (n > s->fetch->most - f->n) {
        s->large = 1;
        return 0;
    }

    if (f->n + n + 1 > s->size) {
        size = (f->n + n + 1) * 2;
        grown = realloc(f->body, size);
        if (grown == NULL) {
            s->failed = 1;
            return 0;
        }
        f->body = grown;
        s->size = size;
    }

    memcpy(f->body + f->n, data, n);
    f->n += n;
    f->body[f->n] = '\0';

    return n;
}


/* -1 where there is no number, or one of more than nine digits. */
static long
fetch_number(const char *text)
{
    size_t n = strspn(text, "0123456789");

    return n > 0 && n <= 9 ? strtol(text, NULL, 10) : -1;
}


static size_t
fetch_header(char *data, size_t one, size_t n, void *context)
{
    fetch_state_t *s = context;
    char line[512], *p;

    n *= one;

    if (n >= sizeof(line)) {
        return n;
    }
    memcpy(line, data, n);
    line[n] = '\0';

    if (strncasecmp(line, "cache-control:", 14) == 0) {
        p = strcasestr(line, "max-age=");
        if (p != NULL) {
            s->fetched->max_age = fetch_number(p + 8);
        }
        if (strcasestr(line, "no-store") != NULL ||
            strcasestr(line, "no-cache") != NULL) {
            s->fetched->max_age = 0;
        }

    } else if (strncasecmp(line, "retry-after:", 12) == 0) {
        s->fetched->retry_after =
            fetch_number(line + 12 + strspn(line + 12, " \t"));
    }

    return n;
}


static int
fetch_is_json(CURL *curl, fetch_state_t *s)
{
    const char *type = NULL;
    size_t n;

    if (curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type) != CURLE_OK ||
        type == NULL) {
        type = "no type";
    }
    n = strcspn(type, "; \t");

    if ((n == 16 && strncasecmp(type, "application/json", n) == 0) ||
        (n > 5 && strncasecmp(type + n - 5, "+json", 5) == 0)) {
        return 1;
    }

    (void) snprintf(s->error, sizeof(s->error), "%.100s", type);

    return 0;
}


static int
fetch_progress(void *context, curl_off_t down_total, curl_off_t down,
               curl_off_t up_total, curl_off_t up)
{
    const fetch_state_t *s = context;

    (void) down_total;
    (void) down;
    (void) up_total;
    (void) up;

    return s->fetch->cancel != NULL && atomic_load(s->fetch->cancel);
}


/* ---- what goes ---- */

/*
 * Handles are used again for what each remembers of authorities: reading the
 * system's takes longer than all the rest.  Connections are not used again: a
 * request on one that was closed meanwhile would be sent twice, and a code is
 * good once.
 */
static struct {
    pthread_mutex_t mutex;
    CURL *handle[IDLE_HANDLES];
    size_t n;
} fetch_idle = {.mutex = PTHREAD_MUTEX_INITIALIZER};


static CURL *
fetch_take(void)
{
    CURL *curl = NULL;

    pthread_mutex_lock(&fetch_idle.mutex);
    if (fetch_idle.n > 0) {
        curl = fetch_idle.handle[--fetch_idle.n];
    }
    pthread_mutex_unlock(&fetch_idle.mutex);

    return curl != NULL ? curl : curl_easy_init();
}


static void
fetch_give(CURL *curl)
{
    if (curl == NULL) {
        return;
    }

    curl_easy_reset(curl);

    pthread_mutex_lock(&fetch_idle.mutex);
    if (fetch_idle.n < IDLE_HANDLES) {
        fetch_idle.handle[fetch_idle.n++] = curl;
        curl = NULL;
    }
    pthread_mutex_unlock(&fetch_idle.mutex);

    curl_easy_cleanup(curl);
}


/* curl keeps authorities of a file only, not beside those of a directory. */
static int
fetch_has_file(void)
{
    const char *file = curl_version_info(CURLVERSION_NOW)->cainfo;

    return file != NULL && access(file, R_OK) == 0;
}


/* Nothing of it is curl's default to be relied on. */
static int
fetch_options(CURL *curl, const amld_fetch_t *f, fetch_state_t *s)
{
    CURLcode rc = CURLE_OK;

#define SET(option, value)                                                     \
    rc = rc == CURLE_OK ? curl_easy_setopt(curl, option, value) : rc

    SET(CURLOPT_URL, f->url);
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, f->proxy != NULL ? f->proxy : "");
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    SET(CURLOPT_TIMEOUT, (long) f->seconds);
    SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
    SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t) f->most);
    SET(CURLOPT_USERAGENT, "amld");
    SET(CURLOPT_WRITEFUNCTION, fetch_body);
    SET(CURLOPT_WRITEDATA, s);
    SET(CURLOPT_HEADERFUNCTION, fetch_header);
    SET(CURLOPT_HEADERDATA, s);
    SET(CURLOPT_XFERINFOFUNCTION, fetch_progress);
    SET(CURLOPT_XFERINFODATA, s);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_ERRORBUFFER, s->error);

    SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
    SET(CURLOPT_CA_CACHE_TIMEOUT, CA_SECONDS);

    if (f->ca != NULL) {
        SET(CURLOPT_CAINFO, f->ca);
    }
    if (f->ca != NULL || fetch_has_file()) {
        SET(CURLOPT_CAPATH, NULL);
    }
    if (f->form != NULL) {
        SET(CURLOPT_POSTFIELDS, f->form);
    }
    if (f->user != NULL) {
        SET(CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
        SET(CURLOPT_USERNAME, f->user);
        SET(CURLOPT_PASSWORD, f->password != NULL ? f->password : "");
    }
    if (f->bearer != NULL) {
        SET(CURLOPT_HTTPAUTH, (long) CURLAUTH_BEARER);
        SET(CURLOPT_XOAUTH2_BEARER, f->bearer);
    }

#undef SET

    return rc == CURLE_OK ? 0 : -1;
}


/* Whoever has not got the request can't have done what it asks for. */
static amld_fetch_rc_t
fetch_broken(CURL *curl, amld_fetch_rc_t otherwise)
{
    curl_off_t until_sent = 0;

    return curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &until_sent) ==
                       CURLE_OK &&
                   until_sent == 0
               ? AMLD_FETCH_UNREACHABLE
               : otherwise;
}


static amld_fetch_rc_t
fetch_rc(CURLcode rc, fetch_state_t *s, CURL *curl)
{
    long status = s->fetched->status;

    if (s->failed) {
        return AMLD_FETCH_FAILED;
    }
    if (s->large) {
        return AMLD_FETCH_LARGE;
    }

    switch (rc) {
    case CURLE_OK:
        /* a page that says what is wrong may be of any type */
        return status / 100 != 2 || fetch_is_json(curl, s) ? AMLD_FETCH_OK
                                                           : AMLD_FETCH_TYPE;
    case CURLE_ABORTED_BY_CALLBACK:
        return AMLD_FETCH_ENDED;
    case CURLE_URL_MALFORMAT:
        return AMLD_FETCH_REFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return AMLD_FETCH_UNREACHABLE;
    case CURLE_OPERATION_TIMEDOUT:
        return fetch_broken(curl, AMLD_FETCH_TIMEOUT);
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return AMLD_FETCH_TLS;
    case CURLE_FILESIZE_EXCEEDED:
        return AMLD_FETCH_LARGE;
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9: no head */
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return fetch_broken(curl, AMLD_FETCH_CUT);
    default:
        return AMLD_FETCH_FAILED;
    }
}


/* Tokens come this way. */
static void
fetch_forget(amld_fetched_t *fetched)
{
    if (fetched->body != NULL) {
        OPENSSL_cleanse(fetched->body, fetched->n);
        free(fetched->body);
    }
    fetched->body = NULL;
    fetched->n = 0;
}


amld_fetch_rc_t
amld_fetch(const amld_fetch_t *fetch, amld_fetched_t *fetched)
{
    fetch_state_t s = {.fetch = fetch, .fetched = fetched};
    struct curl_slist *headers = NULL;
    amld_fetch_rc_t answer = AMLD_FETCH_FAILED;
    CURLcode rc;
    CURL *curl;

    memset(fetched, 0, sizeof(*fetched));
    fetched->max_age = -1;
    fetched->retry_after = -1;

    if (strncmp(fetch->url, "https://", 8) != 0) {
        return AMLD_FETCH_REFUSED;
    }

    curl = fetch_take();
    headers = curl_slist_append(NULL, "Accept: application/json");

    if (curl != NULL && headers != NULL &&
        fetch_options(curl, fetch, &s) == 0 &&
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK) {
        rc = curl_easy_perform(curl);
        (void) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE,
                                 &fetched->status);
        answer = fetch_rc(rc, &s, curl);
    }

    if (answer == AMLD_FETCH_OK && fetched->body == NULL) {
        fetched->body = strdup("");
        answer = fetched->body != NULL ? answer : AMLD_FETCH_FAILED;

    } else if (answer != AMLD_FETCH_OK) {
        fetch_forget(fetched);
        (void) snprintf(fetched->detail, sizeof(fetched->detail), "%.*s",
                        (int) sizeof(fetched->detail) - 1, s.error);
    }

    curl_slist_free_all(headers);
    fetch_give(curl);

    return answer;
}


void
amld_fetched_clear(amld_fetched_t *fetched)
{
    fetch_forget(fetched);
    memset(fetched, 0, sizeof(*fetched));
}


char *
amld_fetch_form(char *form, const char *name, const char *value)
{
    char *escaped, *grown = NULL;

    escaped = curl_easy_escape(NULL, value, 0);

    if (escaped != NULL &&
        asprintf(&grown, "%s%s%s=%s", form != NULL ? form : "",
                 form != NULL ? "&" : "", name, escaped) < 0) {
        grown = NULL;
    }

    if (form != NULL) {
        OPENSSL_cleanse(form, strlen(form));
        free(form);
    }
    curl_free(escaped);

    return grown;
}


char *
amld_fetch_url(const char *endpoint, const char *const (*fields)[2], size_t n)
{
    char *form = NULL, *url;
    size_t i;

    for (i = 0; i < n && (i == 0 || form != NULL); i++) {
        form = amld_fetch_form(form, fields[i][0], fields[i][1]);
    }

    if (form == NULL ||
        asprintf(&url, "%s%s%s", endpoint,
                 strchr(endpoint, '?') != NULL ? "&" : "?", form) < 0) {
        url = NULL;
    }
    free(form);

    return url;
}
