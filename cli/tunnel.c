/*
 * The beginning of a tunnel: TLS, by a proxy or not, and the handshake.
 */

#include "cli/tunnel.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/text.h"
#include "upstreams/host.h"

#define HEAD_MOST 16384
#define BODY_MOST 65536
#define ANSWER_MS 60000
#define RETRY_SECONDS 120 /* that an application may take to start */
#define SSH_PORT 22


static long long
tunnel_now(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (long long) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


/* Until the socket is ready; -1 when the time is over. */
static int
tunnel_wait(const cli_tunnel_t *t, short events, long long until)
{
    struct pollfd fd = {.fd = t->socket, .events = events};
    long long left = until - tunnel_now();

    return left > 0 && (poll(&fd, 1, (int) left) > 0 || errno == EINTR) ? 0
                                                                        : -1;
}


static int
tunnel_send(cli_tunnel_t *t, const char *text, size_t n, long long until)
{
    CURLcode rc;
    size_t sent;

    while (n > 0) {
        sent = 0;
        rc = curl_easy_send(t->curl, text, n, &sent);
        if (rc == CURLE_AGAIN) {
            if (tunnel_wait(t, POLLOUT, until) != 0) {
                return -1;
            }
        } else if (rc != CURLE_OK) {
            return -1;
        }
        text += sent;
        n -= sent;
    }

    return 0;
}


/* More of what comes, behind the `*n` bytes that are there; 0, or -1. */
static int
tunnel_receive(cli_tunnel_t *t, char *buffer, size_t size, size_t *n,
               long long until)
{
    CURLcode rc;
    size_t got;

    for (;;) {
        got = 0;
        rc = curl_easy_recv(t->curl, buffer + *n, size - *n, &got);
        if (rc == CURLE_OK && got > 0) {
            *n += got;
            return 0;
        }
        if (rc != CURLE_AGAIN || tunnel_wait(t, POLLIN, until) != 0) {
            return -1;
        }
    }
}


/* The head of the answer and what came with it; its length, or 0. */
static size_t
tunnel_head(cli_tunnel_t *t, char *buffer, size_t *n, long long until)
{
    const char *end;

    for (*n = 0; *n < HEAD_MOST;) {
        if (tunnel_receive(t, buffer, HEAD_MOST, n, until) != 0) {
            return 0;
        }
        end = memmem(buffer, *n, "\r\n\r\n", 4);
        if (end != NULL) {
            return (size_t) (end - buffer) + 4;
        }
    }

    return 0;
}


/* Says what a refusal means, by its body where that comes. */
static int
tunnel_refused(cli_t *cli, cli_tunnel_t *t, const cli_ws_answer_t *head,
               const char *body, size_t n, long long until)
{
    cli_answer_t answer = {.status = head->status};
    size_t want = head->length < 0           ? 0
                  : head->length < BODY_MOST ? (size_t) head->length
                                             : BODY_MOST;
    int rc;

    answer.body = calloc(1, BODY_MOST + 1);
    if (answer.body == NULL) {
        return cli_fail(CLI_EXIT_FAILED, "no memory");
    }
    memcpy(answer.body, body, n < want ? n : want);
    answer.n = n < want ? n : want;
    while (answer.n < want &&
           tunnel_receive(t, answer.body, want, &answer.n, until) == 0) {
    }
    memcpy(answer.reason, head->reason, sizeof(answer.reason));

    rc = cli_refused(cli, &answer);
    cli_answer_clear(&answer);

    return rc;
}


static char *
tunnel_request(const cli_t *cli, const char *origin, const char *key)
{
    return cli_format("GET " CLI_TUNNEL_PATH " HTTP/1.1\r\n"
                      "Host: %s\r\n"
                      "Upgrade: websocket\r\n"
                      "Connection: Upgrade\r\n"
                      "Sec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Key: %s\r\n"
                      "User-Agent: aml/" CLI_VERSION "\r\n"
                      "Accept: application/json\r\n"
                      "Authorization: Bearer %s\r\n\r\n",
                      origin + strlen("https://"), key, cli->token);
}


static int
tunnel_connect(cli_t *cli, const char *origin, cli_tunnel_t *t)
{
    char detail[CURL_ERROR_SIZE] = "", error[512];
    CURLcode rc;

    t->curl = curl_easy_init();
    if (t->curl == NULL) {
        return cli_fail(CLI_EXIT_FAILED, "no memory");
    }
    cli_http_common(t->curl, cli->ca);
    curl_easy_setopt(t->curl, CURLOPT_URL, origin);
    curl_easy_setopt(t->curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(t->curl, CURLOPT_HTTP_VERSION,
                     (long) CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(t->curl, CURLOPT_ERRORBUFFER, detail);

    rc = curl_easy_perform(t->curl);
    if (rc != CURLE_OK ||
        curl_easy_getinfo(t->curl, CURLINFO_ACTIVESOCKET, &t->socket) !=
            CURLE_OK ||
        t->socket == CURL_SOCKET_BAD) {
        cli_http_reason(t->curl, rc, detail, origin, error, sizeof(error));
        return cli_fail(CLI_EXIT_UNREACHABLE, "%s", error);
    }
    curl_easy_setopt(t->curl, CURLOPT_ERRORBUFFER, NULL);

    return 0;
}


/* One attempt; -1 where it is to be tried again after `*pause` seconds. */
static int
tunnel_try(cli_t *cli, const char *origin, cli_tunnel_t *t, int last,
           long *pause)
{
    char key[CLI_WS_KEY], buffer[HEAD_MOST], *request;
    long long until = tunnel_now() + ANSWER_MS;
    cli_ws_answer_t answer;
    size_t n = 0, head = 0;
    int rc;

    rc = tunnel_connect(cli, origin, t);
    if (rc != 0) {
        return rc;
    }
    if (cli_ws_key(key) != 0 ||
        (request = tunnel_request(cli, origin, key)) == NULL) {
        return cli_fail(CLI_EXIT_FAILED, "no memory, or no random bytes");
    }
    if (tunnel_send(t, request, strlen(request), until) == 0) {
        head = tunnel_head(t, buffer, &n, until);
    }
    explicit_bzero(request, strlen(request));
    free(request);

    if (head == 0 || cli_ws_answer(buffer, head, key, &answer) != 0) {
        return cli_fail(CLI_EXIT_UNREACHABLE,
                        "%s does not answer as a gateway does",
                        origin + strlen("https://"));
    }
    if (answer.status == 503 && answer.retry_after >= 0 && !last) {
        *pause = answer.retry_after;
        return -1;
    }
    if (answer.status != 101) {
        return tunnel_refused(cli, t, &answer, buffer + head, n - head, until);
    }
    if (answer.wrong != NULL) {
        return cli_fail(CLI_EXIT_UNREACHABLE, "%s: %s",
                        origin + strlen("https://"), answer.wrong);
    }

    memcpy(t->early, buffer + head, n - head);
    t->early_n = n - head;

    return 0;
}


int
cli_tunnel_open(cli_t *cli, const char *name, unsigned port, cli_tunnel_t *t)
{
    struct timespec wait = {1, 0};
    long long until = tunnel_now() + RETRY_SECONDS * 1000LL;
    long pause = 1;
    char *origin;
    int rc, told = 0;

    memset(t, 0, sizeof(*t));
    rc = cli_token(cli);
    origin = rc == 0 ? cli_app_origin(cli, name, port, &rc) : NULL;
    if (origin == NULL) {
        return rc;
    }

    while ((rc = tunnel_try(cli, origin, t, tunnel_now() > until, &pause)) ==
           -1) {
        cli_tunnel_close(t);
        if (!told) {
            cli_note("aml: %s is not ready yet, waiting", name);
            told = 1;
        }
        wait.tv_sec = pause > 0 && pause < 10 ? pause : 1;
        (void) nanosleep(&wait, NULL);
    }
    free(origin);
    if (rc != 0) {
        cli_tunnel_close(t);
    }

    return rc;
}


void
cli_tunnel_close(cli_tunnel_t *t)
{
    curl_easy_cleanup(t->curl);
    memset(t, 0, sizeof(*t));
}


int
cli_tunnel(cli_t *cli)
{
    const char *text = cli->args.argc > 1 ? cli->args.argv[1] : NULL;
    unsigned long port = SSH_PORT;
    cli_tunnel_t *t;
    char *end;
    int rc;

    if (text != NULL) {
        port = strtoul(text, &end, 10);
        if (text[0] < '1' || text[0] > '9' || *end != '\0' || port > 65535) {
            return cli_fail(CLI_EXIT_USAGE, "\"%s\" is no port", text);
        }
    }
    t = malloc(sizeof(*t));
    if (t == NULL) {
        return cli_fail(CLI_EXIT_FAILED, "no memory");
    }
    rc = cli_tunnel_open(cli, cli->args.argv[0], (unsigned) port, t);
    if (rc == 0) {
        rc = cli_tunnel_relay(t, STDIN_FILENO, STDOUT_FILENO);
        cli_tunnel_close(t);
    }
    free(t);

    return rc;
}
