/*
 * Requests to the gateway, by libcurl.
 */

#include "cli/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/cli.h"
#include "cli/text.h"

#define CONNECT_SECONDS 20L
#define SILENCE_SECONDS 60L

typedef struct {
    CURL *curl;
    const cli_request_t *request;
    cli_answer_t *answer;
    size_t size;
    int large;
    int failed;
} http_state_t;


static size_t
http_body(char *data, size_t one, size_t n, void *context)
{
    http_state_t *s = context;
    cli_answer_t *a = s->answer;
    long status = 0;
    size_t size;
    char *grown;

    n *= one;
    (void) curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);

    if (s->request->data != NULL && status >= 200 && status < 300) {
        if (s->request->data(s->request->context, data, n) != 0) {
            a->stopped = 1;
            return 0;
        }
        return n;
    }

    if (n > CLI_ANSWER_MOST - a->n) {
        s->large = 1;
        return 0;
    }
    if (a->n + n + 1 > s->size) {
        size = (a->n + n + 1) * 2;
        grown = realloc(a->body, size);
        if (grown == NULL) {
            s->failed = 1;
            return 0;
        }
        a->body = grown;
        s->size = size;
    }
    memcpy(a->body + a->n, data, n);
    a->n += n;
    a->body[a->n] = '\0';

    return n;
}


/* The value of a header line, if it is of this name. */
static int
http_value(const char *line, const char *name, char *value, size_t size)
{
    size_t n = strlen(name);

    if (strncasecmp(line, name, n) != 0 || line[n] != ':') {
        return 0;
    }
    line += n + 1;
    line += strspn(line, " \t");
    snprintf(value, size, "%.*s", (int) strcspn(line, "\r\n"), line);

    return 1;
}


static size_t
http_header(char *data, size_t one, size_t n, void *context)
{
    http_state_t *s = context;
    char line[512], number[16];

    n *= one;
    if (n >= sizeof(line)) {
        return n;
    }
    memcpy(line, data, n);
    line[n] = '\0';

    (void) http_value(line, "Content-Type", s->answer->type,
                      sizeof(s->answer->type));
    (void) http_value(line, "X-AML-Reason", s->answer->reason,
                      sizeof(s->answer->reason));
    (void) http_value(line, "Content-Range", s->answer->range,
                      sizeof(s->answer->range));
    if (http_value(line, "Retry-After", number, sizeof(number)) &&
        strspn(number, "0123456789") == strlen(number) && strlen(number) > 0 &&
        strlen(number) < 6) {
        s->answer->retry_after = strtol(number, NULL, 10);
    }

    return n;
}


void
cli_http_common(CURL *curl, const char *ca)
{
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    if (ca != NULL) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    curl_easy_setopt(curl, CURLOPT_PROXYAUTH, (long) CURLAUTH_ANY);
    curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "aml/" CLI_VERSION);
    curl_easy_setopt(curl, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
}


void
cli_http_reason(CURL *curl, CURLcode rc, const char *detail, const char *url,
                char *error, size_t size)
{
    long proxy = 0;
    const char *host = strstr(url, "://");
    int n;

    host = host != NULL ? host + 3 : url;
    n = (int) strcspn(host, "/?#");
    (void) curl_easy_getinfo(curl, CURLINFO_HTTP_CONNECTCODE, &proxy);

    if (proxy == 407 || proxy == 401) {
        snprintf(error, size,
                 "the proxy wants a name and a password: "
                 "HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT");
    } else if (proxy >= 300) {
        snprintf(error, size, "the proxy does not lead to %.*s: it says %ld", n,
                 host, proxy);
    } else if (rc == CURLE_PEER_FAILED_VERIFICATION) {
        snprintf(error, size,
                 "%.*s: its certificate is not trusted (%s); for an authority "
                 "of your own: aml login --ca FILE",
                 n, host, detail);
    } else if (rc == CURLE_SSL_CACERT_BADFILE) {
        snprintf(error, size, "the file of --ca can't be read: %s", detail);
    } else if (rc == CURLE_COULDNT_RESOLVE_PROXY) {
        snprintf(error, size, "the proxy of HTTPS_PROXY is not known: %s",
                 detail);
    } else {
        snprintf(error, size, "%.*s: %s", n, host,
                 detail[0] != '\0' ? detail : curl_easy_strerror(rc));
    }
}


static struct curl_slist *
http_add(struct curl_slist *list, const char *name, const char *value)
{
    struct curl_slist *longer;
    char *line;

    if (value == NULL) {
        return list;
    }
    line = cli_format("%s: %s", name, value);
    longer = line != NULL ? curl_slist_append(list, line) : NULL;
    if (line != NULL) {
        explicit_bzero(line, strlen(line));
    }
    free(line);

    return longer != NULL ? longer : list;
}


static void
http_set_up(http_state_t *s, const cli_request_t *r)
{
    CURL *curl = s->curl;

    curl_easy_reset(curl);
    cli_http_common(curl, r->ca);
    curl_easy_setopt(curl, CURLOPT_URL, r->url);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, http_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, http_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, s);

    if (r->timeout >= 0) {
        curl_easy_setopt(curl, CURLOPT_TIMEOUT,
                         r->timeout > 0 ? r->timeout : 60L);
    } else {
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, SILENCE_SECONDS);
    }

    if (r->body != NULL) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, r->body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long) r->body_n);
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, r->method);
    if (r->user != NULL) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
        curl_easy_setopt(curl, CURLOPT_USERNAME, r->user);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, r->password);
    }
}


int
cli_http(CURL *curl, const cli_request_t *r, cli_answer_t *answer)
{
    http_state_t s = {curl, r, answer, 0, 0, 0};
    char detail[CURL_ERROR_SIZE] = "", *bearer = NULL;
    struct curl_slist *headers = NULL, *h;
    curl_off_t begun = 0;
    CURLcode rc;

    memset(answer, 0, sizeof(*answer));
    answer->retry_after = -1;

    http_set_up(&s, r);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);

    headers = http_add(headers, "Accept",
                       r->accept != NULL ? r->accept : "application/json");
    headers =
        http_add(headers, "Content-Type", r->body != NULL ? r->type : NULL);
    headers = http_add(headers, "Range", r->range);
    headers = http_add(headers, "If-Match", r->if_match);
    headers = http_add(headers, "Expect", r->body != NULL ? "" : NULL);
    if (r->bearer != NULL) {
        bearer = cli_format("Bearer %s", r->bearer);
        headers = http_add(headers, "Authorization", bearer);
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);

    rc = curl_easy_perform(curl);
    (void) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
    (void) curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &begun);
    answer->sent = begun > 0;

    if (s.large) {
        snprintf(answer->error, sizeof(answer->error),
                 "the answer is too large");
    } else if (s.failed || (r->bearer != NULL && bearer == NULL)) {
        snprintf(answer->error, sizeof(answer->error), "no memory");
    } else if (rc != CURLE_OK && !answer->stopped) {
        cli_http_reason(curl, rc, detail, r->url, answer->error,
                        sizeof(answer->error));
    }

    /* nothing of it stays behind in the handle */
    curl_easy_reset(curl);
    for (h = headers; h != NULL; h = h->next) {
        explicit_bzero(h->data, strlen(h->data));
    }
    curl_slist_free_all(headers);
    if (bearer != NULL) {
        explicit_bzero(bearer, strlen(bearer));
    }
    free(bearer);

    if (answer->body == NULL) {
        answer->body = strdup("");
        if (answer->body == NULL) {
            snprintf(answer->error, sizeof(answer->error), "no memory");
        }
    }

    return answer->error[0] != '\0' ? -1 : 0;
}


void
cli_answer_clear(cli_answer_t *answer)
{
    if (answer->body != NULL) {
        explicit_bzero(answer->body, answer->n);
    }
    free(answer->body);
    memset(answer, 0, sizeof(*answer));
}


/* ---- addresses ---- */

static CURLU *
http_parse(const char *text, unsigned flags)
{
    CURLU *url = curl_url();

    if (url != NULL && curl_url_set(url, CURLUPART_URL, text, flags) != 0) {
        curl_url_cleanup(url);
        url = NULL;
    }

    return url;
}


/* As it is where it is there; NULL where it is not. */
static char *
http_part(CURLU *url, CURLUPart part, unsigned flags)
{
    char *text = NULL;

    return url != NULL && curl_url_get(url, part, &text, flags) == CURLUE_OK
               ? text
               : NULL;
}


static char *
http_origin_of(CURLU *url)
{
    char *scheme = http_part(url, CURLUPART_SCHEME, 0);
    char *host = http_part(url, CURLUPART_HOST, 0);
    char *port = http_part(url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT);
    char *user = http_part(url, CURLUPART_USER, 0);
    char *origin = NULL, *p;

    if (scheme != NULL && strcasecmp(scheme, "https") == 0 && host != NULL &&
        user == NULL) {
        origin = cli_format("https://%s%s%s", host, port ? ":" : "",
                            port ? port : "");
        for (p = origin; p != NULL && *p != '\0'; p++) {
            if (*p >= 'A' && *p <= 'Z') {
                *p = (char) (*p + ('a' - 'A'));
            }
        }
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);

    return origin;
}


char *
cli_http_origin(const char *text)
{
    char *whole, *path, *query, *origin = NULL;
    CURLU *url;

    whole = cli_format("%s%s", strstr(text, "://") ? "" : "https://", text);
    if (whole == NULL) {
        return NULL;
    }
    url = http_parse(whole, 0);
    path = http_part(url, CURLUPART_PATH, 0);
    query = http_part(url, CURLUPART_QUERY, 0);

    if (url != NULL && path != NULL && strcmp(path, "/") == 0 &&
        query == NULL) {
        origin = http_origin_of(url);
    }
    curl_free(path);
    curl_free(query);
    curl_url_cleanup(url);
    free(whole);

    return origin;
}


const char *
cli_http_below(const char *origin, const char *url)
{
    CURLU *parsed = http_parse(url, 0);
    char *of = http_origin_of(parsed);
    const char *path = NULL, *p;

    curl_url_cleanup(parsed);
    if (of != NULL && strcmp(of, origin) == 0) {
        p = strstr(url, "://");
        p = p != NULL ? strchr(p + 3, '/') : NULL;
        path = p;
    }
    free(of);

    return path;
}
