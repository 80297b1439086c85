/*
 * Who uses what: the receiver's thread and the writer's.
 */

#include "computes/automatic/activity.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "auth/activity.h"
#include "auth/audit.h"
#include "auth/key_keeper.h"
#include "auth/sessions.h"
#include "auth/sign_ins.h"
#include "computes/automatic/usage.h"
#include "computes/http/listener.h"
#include "computes/instances/on_demand.h"

#define ACTIVITY_LEAST 1024        /* places of the table, a power of two */
#define ACTIVITY_MOST (1u << 21)   /* 100 MB */
#define ACTIVITY_KEPT 600          /* seconds in memory after a use */
#define ACTIVITY_CHUNK 256         /* uses a transaction */
#define ACTIVITY_SWEPT 1024        /* keys that a round looks at */
#define ACTIVITY_SETTLE 60         /* seconds until all workers are heard */
#define ACTIVITY_KEY "token-seen/" /* and 64 hex digits */
#define ACTIVITY_KEY_SIZE (sizeof(ACTIVITY_KEY) + 64)

typedef enum {
    ACTIVITY_NONE = 0, /* a free place */
    ACTIVITY_SESSION,
    ACTIVITY_PERSONAL,
    ACTIVITY_SIGN_IN /* a UUID and zeros */
} activity_kind_t;

typedef struct {
    uint8_t key[32];
    int64_t when;
    int64_t written; /* the `when` that the registry has been told of */
    activity_kind_t kind;
    unsigned first : 1; /* of a copy: it was never written before */
} use_t;

struct amld_activity {
    amld_t *amld;
    amld_listener_t listener;
    int wake; /* eventfd: the receiver ends */
    int64_t since;
    pthread_t receiver, writer;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t condition;
    int ends;
    use_t *uses; /* open addressing, a power of two */
    size_t size;
    size_t count;
    int64_t complained; /* when a stranger was last logged */

    char from[AML_REGISTRY_KEY_MAX + 1]; /* the writer's: where it sweeps */
};


/* ---- the table, under the mutex ---- */

/* Keys are hashes or UUIDs made of them: none can be chosen. */
static size_t
place_of(const amld_activity_t *a, activity_kind_t kind, const uint8_t key[32])
{
    uint64_t h;
    size_t i;

    memcpy(&h, key, sizeof(h));

    for (i = (size_t) h & (a->size - 1); a->uses[i].kind != ACTIVITY_NONE;
         i = (i + 1) & (a->size - 1)) {
        if (a->uses[i].kind == kind &&
            memcmp(a->uses[i].key, key, sizeof(a->uses[i].key)) == 0) {
            break;
        }
    }

    return i;
}


/* Into a table of `size` places, without what is old and written down. */
static int
rebuild(amld_activity_t *a, size_t size, int64_t now)
{
    use_t *old = a->uses, *u;
    size_t i, n = a->size;

    a->uses = calloc(size, sizeof(*a->uses));
    if (a->uses == NULL) {
        a->uses = old;
        return -1;
    }

    a->size = size;
    a->count = 0;

    for (i = 0; i < n; i++) {
        u = &old[i];
        if (u->kind != ACTIVITY_NONE &&
            (u->when > u->written || u->when > now - ACTIVITY_KEPT)) {
            a->uses[place_of(a, u->kind, u->key)] = *u;
            a->count++;
        }
    }
    free(old);

    return 0;
}


static void
note(amld_activity_t *a, activity_kind_t kind, const uint8_t key[32],
     int64_t when, int64_t now)
{
    use_t *u = &a->uses[place_of(a, kind, key)];

    if (u->kind == ACTIVITY_NONE) {
        if (2 * (a->count + 1) > a->size) {
            /* what can't be remembered is told of again in half a minute */
            if (a->size >= ACTIVITY_MOST || rebuild(a, 2 * a->size, now) != 0) {
                return;
            }
            u = &a->uses[place_of(a, kind, key)];
        }

        memcpy(u->key, key, sizeof(u->key));
        u->kind = kind;
        u->when = 0;
        u->written = 0;
        a->count++;
    }

    if (when > u->when) {
        u->when = when;
    }
}


/* ---- the receiver ---- */

static void
hear_one(amld_activity_t *a, const aml_activity_t *record, int64_t now)
{
    static const uint8_t none[16];
    int64_t when = now - record->age;
    uint8_t key[32] = {0};
    uint32_t asked;

    if (record->name.n != 0 && a->amld->usage != NULL &&
        (record->requests > record->polls || record->in != 0 ||
         record->out != 0)) {
        amld_use_t use = {.when = when,
                          .port = record->port,
                          .frames = record->in != 0 || record->out != 0};

        amld_usage_note(a->amld->usage, record->name, &use);
    }

    /* what an application says by itself is no use of the credential; what its
     * page asks by itself is none of a sign-in, which has a person */
    asked = record->requests;
    if (record->kind != AML_ACTIVITY_PERSONAL) {
        asked -= record->polls < asked ? record->polls : asked;
    }
    if (asked == 0 && record->in == 0) {
        return;
    }

    switch (record->kind) {

    case AML_ACTIVITY_SESSION:
        note(a, ACTIVITY_SESSION, record->credential, when, now);
        break;

    case AML_ACTIVITY_PERSONAL:
        note(a, ACTIVITY_PERSONAL, record->credential, when, now);
        break;

    case AML_ACTIVITY_TOKEN:
        if (memcmp(record->credential + 16, none, sizeof(none)) != 0) {
            memcpy(key, record->credential + 16, 16);
            note(a, ACTIVITY_SIGN_IN, key, when, now);
        }
        break;
    }
}


static void
missing_key(amld_activity_t *a, aml_str_t iss)
{
    amld_log(AMLD_LOG_DEBUG,
             "keys: a token of %.*s names a key that is not "
             "known",
             (int) iss.n, iss.p);

    if (a->amld->keys != NULL) {
        amld_key_keeper_unknown_kid(a->amld->keys, iss);
    }
}


/* What has failed is not begun again by a program that goes on asking. */
static void
wanted(amld_activity_t *a, const aml_wanted_t *w)
{
    aml_registry_rc_t rc;

    rc = amld_on_demand_ask(a->amld, w->name, w->port, &w->principal, 0);
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_DEBUG, "%.*s: port %u is not started: %s",
                 (int) w->name.n, w->name.p, w->port,
                 aml_registry_strerror(rc));
    }
}


static void
hear(amld_activity_t *a, const uint8_t *datagram, size_t n)
{
    aml_activity_t list[AML_ACTIVITY_RECORDS];
    int64_t now = (int64_t) time(NULL);
    unsigned i, count;
    aml_wanted_t w;
    aml_str_t iss;

    if (aml_wanted_decode((aml_str_t){(const char *) datagram, n}, &w) ==
        AML_RECORD_OK) {
        wanted(a, &w);
        return;
    }

    if (aml_missing_key_decode((aml_str_t){(const char *) datagram, n}, &iss) ==
        AML_RECORD_OK) {
        missing_key(a, iss);
        return;
    }

    if (aml_activity_decode((aml_str_t){(const char *) datagram, n}, list,
                            &count) != AML_RECORD_OK) {
        amld_log(AMLD_LOG_DEBUG, "activity: %zu bytes that mean nothing", n);
        return;
    }

    pthread_mutex_lock(&a->mutex);
    for (i = 0; i < count; i++) {
        hear_one(a, &list[i], now);
    }
    pthread_mutex_unlock(&a->mutex);
}


static void
stranger(amld_activity_t *a, const struct ucred *who)
{
    int64_t now = (int64_t) time(NULL);

    if (now - a->complained >= 60) {
        a->complained = now;
        amld_log(AMLD_LOG_WARN,
                 "activity: process %ld of user %ld is not the gateway",
                 (long) who->pid, (long) who->uid);
    }
}


/* The next datagram; 0, or -1 when there is none now. */
static int
receive(amld_activity_t *a)
{
    uint8_t datagram[AML_ACTIVITY_MAX];
    union {
        char room[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {datagram, sizeof(datagram)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    struct ucred who = {.uid = (uid_t) -1};
    struct cmsghdr *c;
    ssize_t n;

    n = recvmsg(a->listener.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0) {
        return errno == EINTR ? 0 : -1;
    }

    for (c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
            memcpy(&who, CMSG_DATA(c), sizeof(who));
        }
    }

    if (!amld_is_gateway(a->amld->config, who.uid)) {
        stranger(a, &who);
    } else if (!(msg.msg_flags & MSG_TRUNC)) {
        hear(a, datagram, (size_t) n);
    }

    return 0;
}


static void *
receiver_run(void *data)
{
    amld_activity_t *a = data;
    struct pollfd fds[] = {{.fd = a->listener.fd, .events = POLLIN},
                           {.fd = a->wake, .events = POLLIN}};

    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            amld_log(AMLD_LOG_ERROR, "activity: poll: %s", strerror(errno));
            return NULL;
        }

        while (receive(a) == 0) {
        }

        if (fds[1].revents != 0) {
            return NULL;
        }
    }
}


/* ---- the writer ---- */

static size_t
seen_key(char key[ACTIVITY_KEY_SIZE], const uint8_t hash[32])
{
    memcpy(key, ACTIVITY_KEY, sizeof(ACTIVITY_KEY) - 1);
    amld_hash_format(hash, key + sizeof(ACTIVITY_KEY) - 1);

    return ACTIVITY_KEY_SIZE - 1;
}


/* As it is written; 0 when there is none. */
static int64_t
seen_read(aml_registry_txn_t *txn, const uint8_t hash[32])
{
    char key[ACTIVITY_KEY_SIZE];
    aml_str_t value;
    int64_t when = 0;
    json_t *json;

    if (aml_registry_get(txn, key, seen_key(key, hash), &value) ==
        AML_REGISTRY_OK) {
        json = json_loadb(value.p, value.n, 0, NULL);
        when = json_integer_value(json_object_get(json, "seen"));
        json_decref(json);
    }

    return when;
}


static aml_registry_rc_t
write_personal(aml_registry_txn_t *txn, use_t *u)
{
    char key[AML_REGISTRY_KEY_MAX + 1], text[64];
    aml_registry_rc_t rc;
    aml_str_t value;
    int64_t seen;
    int n;

    rc = aml_registry_get(txn, key, aml_key_token(key, u->key), &value);
    seen = seen_read(txn, u->key);
    if (rc != AML_REGISTRY_OK || seen >= u->when) {
        return rc;
    }
    u->first = seen == 0;

    n = snprintf(text, sizeof(text), "{\"seen\":%lld}", (long long) u->when);

    return aml_registry_put(txn, key, seen_key(key, u->key), text, (size_t) n);
}


/* What has ended meanwhile is no fault. */
static aml_registry_rc_t
write_use(aml_registry_txn_t *txn, use_t *u)
{
    aml_principal_id_t sign_in;
    aml_registry_rc_t rc;
    aml_session_t s;

    switch (u->kind) {

    case ACTIVITY_SESSION:
        rc = amld_session_get(txn, u->key, &s);
        if (rc == AML_REGISTRY_OK) {
            sign_in = s.sign_in;
            rc = amld_sign_in_seen(txn, &sign_in, u->when);
        }
        break;

    case ACTIVITY_PERSONAL:
        rc = write_personal(txn, u);
        break;

    default:
        memcpy(&sign_in, u->key, sizeof(sign_in));
        rc = amld_sign_in_seen(txn, &sign_in, u->when);
    }

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


/* A token's first use is a line of the audit log: whoever has it, has it now.
 */
static void
audit_first(amld_activity_t *a, const use_t *u)
{
    char key[AML_REGISTRY_KEY_MAX + 1], label[256] = "";
    aml_personal_token_t token;
    aml_registry_txn_t *txn;
    aml_str_t value;

    if (aml_registry_read(a->amld->registry, &txn) != AML_REGISTRY_OK) {
        return;
    }

    if (aml_registry_get(txn, key, aml_key_token(key, u->key), &value) ==
            AML_REGISTRY_OK &&
        aml_personal_token_decode(value, &token) == AML_RECORD_OK) {
        (void) snprintf(label, sizeof(label), "%.*s",
                        (int) (token.label.n < 200 ? token.label.n : 200),
                        token.label.p);
        amld_audit(a->amld->audit,
                   &(amld_audit_event_t){.event = "token-first-use",
                                         .principal = &token.principal,
                                         .method = "personal-token",
                                         .id = &token.id,
                                         .target = label});
    }
    aml_registry_end(txn);
}


static aml_registry_rc_t
write_chunk(amld_activity_t *a, use_t *uses, size_t n)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    size_t i;

    rc = aml_registry_write(a->amld->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    for (i = 0; i < n && rc == AML_REGISTRY_OK; i++) {
        rc = write_use(txn, &uses[i]);
    }

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    rc = aml_registry_commit(txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    pthread_mutex_lock(&a->mutex);
    for (i = 0; i < n; i++) {
        use_t *u = &a->uses[place_of(a, uses[i].kind, uses[i].key)];

        if (u->kind != ACTIVITY_NONE) {
            u->written = uses[i].when;
        }
    }
    pthread_mutex_unlock(&a->mutex);

    for (i = 0; i < n; i++) {
        if (uses[i].first) {
            audit_first(a, &uses[i]);
        }
    }

    return AML_REGISTRY_OK;
}


/* A copy of what the registry has not been told of; NULL when there is none,
 * or no memory. */
static use_t *
unwritten(amld_activity_t *a, size_t *n)
{
    use_t *copy = NULL;
    size_t i;

    *n = 0;

    pthread_mutex_lock(&a->mutex);
    if (a->count > 0) {
        copy = malloc(a->count * sizeof(*copy));
    }
    for (i = 0; copy != NULL && i < a->size; i++) {
        if (a->uses[i].kind != ACTIVITY_NONE &&
            a->uses[i].when > a->uses[i].written) {
            copy[(*n)++] = a->uses[i];
        }
    }
    pthread_mutex_unlock(&a->mutex);

    return copy;
}


static void
write_all(amld_activity_t *a)
{
    use_t *uses;
    size_t i, n, k;
    aml_registry_rc_t rc = AML_REGISTRY_OK;

    uses = unwritten(a, &n);

    for (i = 0; i < n && rc == AML_REGISTRY_OK; i += k) {
        k = n - i < ACTIVITY_CHUNK ? n - i : ACTIVITY_CHUNK;
        rc = write_chunk(a, uses + i, k);
    }
    free(uses);

    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "activity: %s", aml_registry_strerror(rc));
    }
}


/* ---- uses of tokens that are no more ---- */

typedef struct {
    aml_registry_txn_t *txn;
    size_t seen;
    size_t count;
    uint8_t orphans[ACTIVITY_SWEPT][32];
    char *from;
} sweep_t;


static int
sweep_each(void *data, aml_str_t key, aml_str_t value)
{
    sweep_t *s = data;
    char hex[AMLD_HASH_HEX_SIZE], token[AML_REGISTRY_KEY_MAX + 1];
    uint8_t hash[32];

    (void) value;

    if (s->seen++ == ACTIVITY_SWEPT) {
        memcpy(s->from, key.p, key.n);
        s->from[key.n] = '\0';
        return 1;
    }

    key.p += sizeof(ACTIVITY_KEY) - 1;
    key.n -= sizeof(ACTIVITY_KEY) - 1;
    if (key.n != sizeof(hex) - 1) {
        return 0;
    }
    memcpy(hex, key.p, key.n);
    hex[key.n] = '\0';

    if (amld_hash_parse(hex, hash) == 0 &&
        aml_registry_get(s->txn, token, aml_key_token(token, hash), &value) ==
            AML_REGISTRY_NOTFOUND) {
        memcpy(s->orphans[s->count++], hash, sizeof(hash));
    }

    return 0;
}


static void
sweep(amld_activity_t *a)
{
    char key[ACTIVITY_KEY_SIZE];
    aml_str_t from = aml_str_of(a->from);
    aml_registry_rc_t rc;
    sweep_t *s;
    size_t i;

    s = calloc(1, sizeof(*s));
    if (s == NULL ||
        aml_registry_write(a->amld->registry, &s->txn) != AML_REGISTRY_OK) {
        free(s);
        return;
    }

    s->from = key;
    key[0] = '\0';
    rc = aml_registry_each(s->txn, aml_str(ACTIVITY_KEY), from, sweep_each, s);
    memcpy(a->from, key, strlen(key) + 1);

    for (i = 0; i < s->count && rc == AML_REGISTRY_OK; i++) {
        rc = aml_registry_del(s->txn, key, seen_key(key, s->orphans[i]));
    }

    if (s->count > 0 && rc == AML_REGISTRY_OK) {
        rc = aml_registry_commit(s->txn);
    } else {
        aml_registry_end(s->txn);
    }
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "activity: %s", aml_registry_strerror(rc));
    }
    free(s);
}


static void
writer_once(amld_activity_t *a)
{
    int64_t now = (int64_t) time(NULL);
    size_t size;

    write_all(a);
    sweep(a);

    pthread_mutex_lock(&a->mutex);
    for (size = a->size; size > ACTIVITY_LEAST && 8 * a->count < size;) {
        size /= 2;
    }
    (void) rebuild(a, size, now);
    pthread_mutex_unlock(&a->mutex);
}


static void *
writer_run(void *data)
{
    amld_activity_t *a = data;
    struct timespec until;
    int rc;

    pthread_mutex_lock(&a->mutex);

    while (!a->ends) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += AMLD_ACTIVITY_SECONDS;

        rc = 0;
        while (!a->ends && rc != ETIMEDOUT) {
            rc = pthread_cond_timedwait(&a->condition, &a->mutex, &until);
        }

        if (!a->ends) {
            pthread_mutex_unlock(&a->mutex);
            writer_once(a);
            pthread_mutex_lock(&a->mutex);
        }
    }

    pthread_mutex_unlock(&a->mutex);
    writer_once(a);

    return NULL;
}


/* ---- start and end ---- */

static void
activity_free(amld_activity_t *a)
{
    if (a->listener.path != NULL) {
        amld_listener_remove(&a->listener);
        close(a->listener.fd);
    }
    if (a->wake >= 0) {
        close(a->wake);
    }
    pthread_cond_destroy(&a->condition);
    pthread_mutex_destroy(&a->mutex);
    free(a->uses);
    free(a);
}


static void
receiver_end(amld_activity_t *a)
{
    uint64_t one = 1;

    while (write(a->wake, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    pthread_join(a->receiver, NULL);
}


amld_activity_t *
amld_activity_start(amld_t *d)
{
    pthread_condattr_t attr;
    amld_activity_t *a;
    int rc;

    a = calloc(1, sizeof(*a));
    if (a == NULL) {
        amld_log(AMLD_LOG_ERROR, "activity: no memory");
        return NULL;
    }

    a->amld = d;
    a->since = (int64_t) time(NULL);
    a->size = ACTIVITY_LEAST;
    a->uses = calloc(a->size, sizeof(*a->uses));
    a->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    pthread_mutex_init(&a->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->condition, &attr);
    pthread_condattr_destroy(&attr);

    if (a->uses == NULL || a->wake < 0) {
        amld_log(AMLD_LOG_ERROR, "activity: %s", strerror(errno));
        activity_free(a);
        return NULL;
    }

    if (amld_listener_open(&a->listener, d->config, "activity",
                           d->config->activity, SOCK_DGRAM) != 0) {
        a->listener.path = NULL;
        activity_free(a);
        return NULL;
    }

    rc = pthread_create(&a->receiver, NULL, receiver_run, a);
    if (rc == 0) {
        rc = pthread_create(&a->writer, NULL, writer_run, a);
        if (rc != 0) {
            receiver_end(a);
        }
    }
    if (rc != 0) {
        amld_log(AMLD_LOG_ERROR, "activity: %s", strerror(rc));
        activity_free(a);
        return NULL;
    }

    return a;
}


void
amld_activity_stop(amld_activity_t *a)
{
    if (a == NULL) {
        return;
    }

    receiver_end(a);

    pthread_mutex_lock(&a->mutex);
    a->ends = 1;
    pthread_cond_signal(&a->condition);
    pthread_mutex_unlock(&a->mutex);
    pthread_join(a->writer, NULL);

    activity_free(a);
}


int64_t
amld_activity_since(const amld_activity_t *a)
{
    return a->since + ACTIVITY_SETTLE;
}


int64_t
amld_activity_seen(amld_activity_t *a, aml_registry_txn_t *txn,
                   const uint8_t hash[32])
{
    static const activity_kind_t kinds[] = {ACTIVITY_SESSION,
                                            ACTIVITY_PERSONAL};
    int64_t when = 0, written;
    const use_t *u;
    size_t i;

    pthread_mutex_lock(&a->mutex);
    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        u = &a->uses[place_of(a, kinds[i], hash)];
        if (u->kind != ACTIVITY_NONE && u->when > when) {
            when = u->when;
        }
    }
    pthread_mutex_unlock(&a->mutex);

    if (txn != NULL) {
        written = seen_read(txn, hash);
        when = written > when ? written : when;
    }

    return when;
}
