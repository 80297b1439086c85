/*
 * Lines of the audit log, to a file or to syslog.
 */

#include "auth/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define FILE_SCHEME "file:"
#define SYSLOG_SCHEME "syslog:"
#define FIELD_MAX 1024  /* bytes */
#define COMPLAIN 60     /* seconds between complaints */
#define SYSLOG_HEAD 128 /* bytes before the line */

struct amld_audit {
    pthread_mutex_t mutex;
    char *path;   /* of the file; NULL for syslog, and where it is off */
    char *socket; /* of syslog, or NULL */
    int facility;
    int fd;             /* -1 when it is not open */
    int cut;            /* the last line was written in part */
    int64_t complained; /* when the log last said that lines are lost */
    unsigned long lost;
};

static const struct {
    const char *name;
    int facility;
} audit_facilities[] = {
    {"auth", LOG_AUTH},     {"authpriv", LOG_AUTHPRIV}, {"daemon", LOG_DAEMON},
    {"user", LOG_USER},     {"local0", LOG_LOCAL0},     {"local1", LOG_LOCAL1},
    {"local2", LOG_LOCAL2}, {"local3", LOG_LOCAL3},     {"local4", LOG_LOCAL4},
    {"local5", LOG_LOCAL5}, {"local6", LOG_LOCAL6},     {"local7", LOG_LOCAL7},
};


/* ---- where to ---- */

static int
facility_of(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof(audit_facilities) / sizeof(audit_facilities[0]);
         i++) {
        if (strcmp(audit_facilities[i].name, name) == 0) {
            return audit_facilities[i].facility;
        }
    }

    return -1;
}


const char *
amld_audit_spec_fault(const char *spec)
{
    if (*spec == '\0') {
        return NULL;
    }

    if (strncmp(spec, FILE_SCHEME, strlen(FILE_SCHEME)) == 0) {
        return spec[strlen(FILE_SCHEME)] == '/'
                   ? NULL
                   : "is no file with its whole path";
    }

    if (strncmp(spec, SYSLOG_SCHEME, strlen(SYSLOG_SCHEME)) == 0) {
        return facility_of(spec + strlen(SYSLOG_SCHEME)) >= 0
                   ? NULL
                   : "is no facility of syslog: auth, authpriv, daemon, user "
                     "or "
                     "local0 to local7";
    }

    return "is neither file:/path nor syslog:facility";
}


/* Under the mutex; 0, or -1 (errno). */
static int
audit_connect(amld_audit_t *a)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (a->path != NULL) {
        /* not to wait for a reader, should it be a pipe */
        a->fd = open(a->path,
                     O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY |
                         O_NONBLOCK,
                     0640);
        return a->fd >= 0 ? 0 : -1;
    }

    if (strlen(a->socket) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, a->socket);

    a->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->fd >= 0 && connect(a->fd, (const struct sockaddr *) &address,
                              sizeof(address)) != 0) {
        close(a->fd);
        a->fd = -1;
    }

    return a->fd >= 0 ? 0 : -1;
}


amld_audit_t *
amld_audit_open(const char *spec, const char *socket)
{
    amld_audit_t *a = calloc(1, sizeof(*a));

    if (a == NULL) {
        amld_log(AMLD_LOG_ERROR, "audit: no memory");
        return NULL;
    }
    pthread_mutex_init(&a->mutex, NULL);
    a->fd = -1;

    if (*spec == '\0') {
        return a;
    }

    if (strncmp(spec, FILE_SCHEME, strlen(FILE_SCHEME)) == 0) {
        a->path = strdup(spec + strlen(FILE_SCHEME));
    } else {
        a->facility = facility_of(spec + strlen(SYSLOG_SCHEME));
        a->socket = strdup(socket);
    }

    if ((a->path == NULL && a->socket == NULL) || audit_connect(a) != 0) {
        amld_log(AMLD_LOG_ERROR, "audit %s: %s",
                 a->path != NULL ? a->path : socket, strerror(errno));
        amld_audit_close(a);
        return NULL;
    }

    return a;
}


void
amld_audit_close(amld_audit_t *a)
{
    if (a == NULL) {
        return;
    }

    if (a->fd >= 0) {
        close(a->fd);
    }
    pthread_mutex_destroy(&a->mutex);
    free(a->path);
    free(a->socket);
    free(a);
}


void
amld_audit_reopen(amld_audit_t *a)
{
    int old;

    if (a == NULL || (a->path == NULL && a->socket == NULL)) {
        return;
    }

    pthread_mutex_lock(&a->mutex);

    old = a->fd;
    if (audit_connect(a) == 0) {
        a->cut = 0;
        if (old >= 0) {
            close(old);
        }
    } else {
        amld_log(AMLD_LOG_ERROR, "audit %s: %s: it goes on where it was",
                 a->path != NULL ? a->path : a->socket, strerror(errno));
        a->fd = old;
    }

    pthread_mutex_unlock(&a->mutex);
}


/* ---- writing, under the mutex ---- */

static void
audit_complain(amld_audit_t *a, int error)
{
    int64_t now = (int64_t) time(NULL);

    a->lost++;

    if (now - a->complained >= COMPLAIN) {
        a->complained = now;
        amld_log(AMLD_LOG_ERROR, "audit %s: %s: %lu lines are lost so far",
                 a->path != NULL ? a->path : a->socket, strerror(error),
                 a->lost);
    }
}


/* `line` has its end, and a byte before it for that of a line that was cut. */
static void
audit_file(amld_audit_t *a, char *line, size_t n)
{
    const char *from = a->cut ? line : line + 1;
    size_t size = a->cut ? n + 1 : n;
    ssize_t written;

    if (a->fd < 0 && audit_connect(a) != 0) {
        audit_complain(a, errno);
        return;
    }

    written = write(a->fd, from, size);

    if (written < 0) {
        audit_complain(a, errno);
    } else if ((size_t) written < size) {
        a->cut = written > 0 || a->cut;
        audit_complain(a, ENOSPC);
    } else {
        a->cut = 0;
    }
}


/* RFC 3164, as syslog(3) writes it, but without ever waiting. */
static void
audit_syslog(amld_audit_t *a, const char *line, size_t n)
{
    char head[SYSLOG_HEAD], stamp[32];
    time_t now = time(NULL);
    struct iovec parts[2];
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    struct tm tm;
    int i;

    if (localtime_r(&now, &tm) == NULL ||
        strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &tm) == 0) {
        stamp[0] = '\0';
    }

    parts[0].iov_base = head;
    parts[0].iov_len = (size_t) snprintf(
        head, sizeof(head), "<%d>%s amld[%ld]: ", a->facility | LOG_INFO, stamp,
        (long) getpid());
    parts[1].iov_base = (void *) line;
    parts[1].iov_len = n;

    /* it may have been started again since */
    for (i = 0; i < 2; i++) {
        if (a->fd < 0 && audit_connect(a) != 0) {
            break;
        }
        if (sendmsg(a->fd, &message, MSG_NOSIGNAL) >= 0) {
            return;
        }
        if (errno == EAGAIN || errno == EMSGSIZE) {
            break;
        }
        close(a->fd);
        a->fd = -1;
    }

    audit_complain(a, errno);
}


/* ---- lines ---- */

/* Cut to FIELD_MAX; what is no UTF-8 is no text, and each of its bytes '?'. */
static json_t *
field_of(const char *text)
{
    char copy[FIELD_MAX + 1];
    json_t *json;
    size_t i, n;

    text = text != NULL ? text : "";
    n = strnlen(text, FIELD_MAX + 1);
    if (n > FIELD_MAX) {
        n = FIELD_MAX;
        while (n > 0 && ((unsigned char) text[n] & 0xc0) == 0x80) {
            n--;
        }
    }

    json = json_stringn(text, n);
    if (json != NULL) {
        return json;
    }

    for (i = 0; i < n; i++) {
        copy[i] = (unsigned char) text[i] < 0x80 ? text[i] : '?';
    }

    return json_stringn(copy, n);
}


static json_t *
uuid_of(const aml_principal_id_t *id)
{
    char text[AML_UUID_TEXT + 1] = "";

    if (id != NULL) {
        aml_uuid_format(id, text);
    }

    return json_string(text);
}


static json_t *
time_now(void)
{
    char text[64];
    struct timespec now;
    struct tm tm;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    (void) snprintf(text + n, sizeof(text) - n, ".%03ldZ",
                    now.tv_nsec / 1000000);

    return json_string(text);
}


/* "\n", the line, "\n", NUL: the caller frees.  `n` is without the first. */
static char *
line_of(const amld_audit_event_t *e, size_t *n)
{
    char *text, *line = NULL;
    json_t *json;
    size_t size;

    json = json_pack(
        "{s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
        "s:o}",
        "time", time_now(), "event", e->event, "decision",
        e->refused ? "refuse" : "allow", "reason",
        field_of(e->reason != NULL ? e->reason : "ok"), "principal",
        uuid_of(e->principal), "name", field_of(e->name), "method",
        field_of(e->method), "of", uuid_of(e->of), "id", uuid_of(e->id),
        "target", field_of(e->target), "action", field_of(e->action), "scope",
        field_of(e->scope), "client", field_of(e->client), "requestId",
        field_of(e->request));

    /* nothing in it that a terminal or a reader of lines could take for more
     * than text */
    text = json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(json);

    if (text != NULL) {
        size = strlen(text);
        line = malloc(size + 3);
        if (line != NULL) {
            line[0] = '\n';
            memcpy(line + 1, text, size);
            memcpy(line + 1 + size, "\n", 2);
            *n = size + 1;
        }
    }
    free(text);

    return line;
}


void
amld_audit(amld_audit_t *a, const amld_audit_event_t *e)
{
    char *line;
    size_t n;

    if (a == NULL || (a->path == NULL && a->socket == NULL)) {
        return;
    }

    line = line_of(e, &n);

    pthread_mutex_lock(&a->mutex);
    if (line == NULL) {
        audit_complain(a, ENOMEM);
    } else if (a->path != NULL) {
        audit_file(a, line, n);
    } else {
        audit_syslog(a, line + 1, n - 1);
    }
    pthread_mutex_unlock(&a->mutex);

    free(line);
}


void
amld_audit_request(amld_t *d, const amld_request_t *request,
                   const amld_audit_event_t *event)
{
    amld_audit_event_t e = *event;

    if (e.principal == NULL && request->identified) {
        e.principal = &request->principal;
        e.name = e.name != NULL ? e.name : request->name;
        e.method = e.method != NULL       ? e.method
                   : request->by_session  ? "session"
                   : request->by_personal ? "personal-token"
                                          : "token";
    }
    e.client = request->client;
    e.request = request->id;

    amld_audit(d->audit, &e);
    if (e.refused) {
        amld_request_audited(request);
    }
}


void
amld_audit_command(const char *spec, const amld_audit_event_t *event)
{
    amld_audit_event_t e = *event;
    struct passwd entry, *found = NULL;
    char room[4096], name[128];
    amld_audit_t *a;

    a = amld_audit_open(spec, AMLD_SYSLOG_SOCKET);
    if (a == NULL) {
        return;
    }

    (void) getpwuid_r(getuid(), &entry, room, sizeof(room), &found);
    (void) snprintf(name, sizeof(name), "%s",
                    found != NULL ? found->pw_name : "");
    e.name = name;
    e.method = "command";

    amld_audit(a, &e);
    amld_audit_close(a);
}
