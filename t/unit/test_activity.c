/*
 * amld's side of activity: who is heard, what is remembered, what the registry
 * is told.
 */

#include "t/unit/scratch.h"

#include <errno.h>
#include <jansson.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "auth/activity.h"
#include "auth/sessions.h"
#include "auth/sign_ins.h"
#include "computes/automatic/activity.h"

#define EXPIRES INT64_C(4000000000)

static const aml_principal_id_t alice = {{0xa1}};

typedef struct {
    scratch_t *scratch;
    amld_config_t config;
    amld_t amld;
    char socket[96];
    uid_t uid;
    int64_t start;
} place_t;


static int
setup(void **state)
{
    place_t *p = calloc(1, sizeof(*p));
    void *scratch;

    assert_non_null(p);
    assert_int_equal(scratch_setup(&scratch), 0);
    p->scratch = scratch;
    snprintf(p->socket, sizeof(p->socket), "%s/run/activity.sock",
             p->scratch->dir);
    assert_int_equal(chmod(p->scratch->dir, 0755), 0);
    p->uid = getuid();
    p->config.activity = p->socket;
    p->config.gateway_uids = &p->uid;
    p->config.gateway_uid_count = 1;
    p->amld.config = &p->config;
    p->amld.registry = p->scratch->registry;
    p->start = (int64_t) time(NULL);
    amld_log_level(AMLD_LOG_ERROR);
    *state = p;

    return 0;
}


static int
teardown(void **state)
{
    place_t *p = *state;
    void *scratch = p->scratch;
    struct stat st;

    assert_int_equal(stat(p->socket, &st), -1);
    scratch_teardown(&scratch);
    free(p);

    return 0;
}


/* ---- what workers say ---- */

static int
connected(const place_t *p)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", p->socket);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *) &addr, sizeof(addr)), 0);

    return fd;
}


static void
say(const place_t *p, const aml_activity_t *list, unsigned n)
{
    aml_activity_batch_t batch = {.n = 0};
    int fd = connected(p);
    unsigned i;

    for (i = 0; i < n; i++) {
        assert_int_equal(aml_activity_add(&batch, &list[i]), 0);
    }
    assert_int_equal(send(fd, batch.bytes, batch.n, 0), batch.n);
    close(fd);
}


static aml_activity_t
use_of(aml_activity_kind_t kind, const uint8_t *credential, size_t n)
{
    aml_activity_t a = {.kind = kind, .requests = 1};

    memcpy(a.credential, credential, n);

    return a;
}


/* What is on its way arrives before what is sent behind it. */
static void
settle(const place_t *p, amld_activity_t *activity)
{
    static uint8_t mark[32];
    aml_activity_t a;
    int i;

    mark[31] = 0xee;
    mark[1]++;
    a = use_of(AML_ACTIVITY_PERSONAL, mark, sizeof(mark));
    say(p, &a, 1);
    for (i = 0; i < 1000 && amld_activity_seen(activity, NULL, mark) == 0;
         i++) {
        usleep(5000);
    }
    assert_int_not_equal(amld_activity_seen(activity, NULL, mark), 0);
}


/* ---- what there is ---- */

static amld_sign_in_t
signed_in(place_t *p, uint8_t hash[32])
{
    char secret[AMLD_SECRET_SIZE];
    aml_registry_txn_t *txn;
    amld_sign_in_t s = {.principal = alice,
                        .name = "Alice",
                        .method = "password",
                        .issuer = "local",
                        .subject = "alice",
                        .sid = "",
                        .address = "192.0.2.1",
                        .agent = "Browser/1",
                        .created = 1000,
                        .expires = EXPIRES};

    assert_int_equal(aml_uuid_random(&s.id), 0);
    assert_int_equal(aml_registry_write(p->amld.registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_sign_in_begin(txn, &s), AML_REGISTRY_OK);
    assert_int_equal(
        amld_session_create(txn, &alice, &s.id, "h", 1000, EXPIRES, secret),
        AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(amld_secret_hash(secret, hash), 0);

    return s;
}


static int64_t
sign_in_seen(place_t *p, const aml_principal_id_t *id)
{
    aml_registry_txn_t *txn;
    amld_sign_in_t s;
    json_t *json;
    int64_t seen;

    assert_int_equal(aml_registry_read(p->amld.registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_sign_in_get(txn, id, &s, &json), AML_REGISTRY_OK);
    seen = s.seen;
    json_decref(json);
    aml_registry_end(txn);

    return seen;
}


static void
token_put(place_t *p, const uint8_t hash[32], int there)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    size_t n = aml_key_token(key, hash);
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(p->amld.registry, &txn),
                     AML_REGISTRY_OK);
    if (there) {
        assert_int_equal(aml_registry_put(txn, key, n, "x", 1),
                         AML_REGISTRY_OK);
    } else {
        assert_int_equal(aml_registry_del(txn, key, n), AML_REGISTRY_OK);
    }
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static int
count_each(void *data, aml_str_t key, aml_str_t value)
{
    (void) key;
    (void) value;
    (*(size_t *) data)++;

    return 0;
}


static size_t
count_of(place_t *p, const char *prefix)
{
    aml_registry_txn_t *txn;
    size_t n = 0;

    assert_int_equal(aml_registry_read(p->amld.registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(
        aml_registry_each(txn, aml_str_of(prefix), aml_str(""), count_each, &n),
        AML_REGISTRY_OK);
    aml_registry_end(txn);

    return n;
}


static int64_t
seen_in_registry(place_t *p, amld_activity_t *a, const uint8_t hash[32])
{
    aml_registry_txn_t *txn;
    int64_t seen;

    assert_int_equal(aml_registry_read(p->amld.registry, &txn),
                     AML_REGISTRY_OK);
    seen = amld_activity_seen(a, txn, hash);
    aml_registry_end(txn);

    return seen;
}


/* ---- tests ---- */

static void
test_uses(void **state)
{
    place_t *p = *state;
    amld_activity_t *activity = amld_activity_start(&p->amld);
    uint8_t session[32], other[32], token[32], both[32] = {0};
    amld_sign_in_t by_session = signed_in(p, session);
    amld_sign_in_t idle = signed_in(p, other);
    amld_sign_in_t by_token = signed_in(p, both);
    aml_activity_t list[6];
    int64_t seen;

    assert_non_null(activity);
    memset(token, 0x70, sizeof(token));
    token_put(p, token, 1);

    memcpy(both, &alice, 16);
    memcpy(both + 16, &by_token.id, 16);
    list[0] = use_of(AML_ACTIVITY_SESSION, session, 32);
    list[0].age = 10;
    list[0].name = aml_str("lab");
    list[0].port = 8888;
    list[1] = use_of(AML_ACTIVITY_PERSONAL, token, 32);
    list[2] = use_of(AML_ACTIVITY_TOKEN, both, 32);

    /* what the application says by itself is nobody's use */
    list[3] = use_of(AML_ACTIVITY_SESSION, other, 32);
    list[3].requests = 0;
    list[3].out = 1000;

    /* later than what comes behind it */
    list[4] = list[0];
    list[4].age = 100;

    /* a token that belongs to no sign-in */
    list[5] = use_of(AML_ACTIVITY_TOKEN, (const uint8_t *) &alice, 16);

    say(p, list, 6);
    settle(p, activity);

    seen = amld_activity_seen(activity, NULL, session);
    assert_true(seen >= p->start - 10 && seen <= (int64_t) time(NULL) - 10);
    seen = amld_activity_seen(activity, NULL, token);
    assert_true(seen >= p->start && seen <= (int64_t) time(NULL));
    assert_int_equal(amld_activity_seen(activity, NULL, other), 0);
    assert_true(amld_activity_since(activity) > p->start);

    /* a message on a websocket is */
    list[3].in = 1;
    say(p, &list[3], 1);
    list[3].in = 0;
    settle(p, activity);
    assert_true(amld_activity_seen(activity, NULL, other) >= p->start);

    /* nothing was written yet; the end does */
    assert_int_equal(sign_in_seen(p, &by_session.id), 1000);
    amld_activity_stop(activity);
    assert_true(sign_in_seen(p, &by_session.id) >= p->start - 10);
    assert_true(sign_in_seen(p, &by_session.id) < p->start);
    assert_true(sign_in_seen(p, &by_token.id) >= p->start);
    assert_true(sign_in_seen(p, &idle.id) >= p->start);
    assert_int_equal(count_of(p, "token-seen/"), 1);

    /* another amld knows of it */
    activity = amld_activity_start(&p->amld);
    assert_non_null(activity);
    assert_int_equal(amld_activity_seen(activity, NULL, token), 0);
    assert_true(seen_in_registry(p, activity, token) >= p->start);

    /* until there is no such token; its end is found by itself */
    token_put(p, token, 0);
    amld_activity_stop(activity);
    assert_int_equal(count_of(p, "token-seen/"), 0);
}


/* What an open page asks by itself keeps nobody signed in. */
static void
test_page(void **state)
{
    place_t *p = *state;
    amld_activity_t *activity = amld_activity_start(&p->amld);
    uint8_t left[32], used[32], token[32], both[32] = {0};
    amld_sign_in_t page = signed_in(p, left);
    amld_sign_in_t person = signed_in(p, used);
    amld_sign_in_t program = signed_in(p, both);
    aml_activity_t list[4];
    size_t i;

    assert_non_null(activity);
    memset(token, 0x71, sizeof(token));
    memcpy(both, &alice, 16);
    memcpy(both + 16, &program.id, 16);

    list[0] = use_of(AML_ACTIVITY_SESSION, left, 32);
    list[1] = use_of(AML_ACTIVITY_TOKEN, both, 32);
    list[2] = use_of(AML_ACTIVITY_PERSONAL, token, 32);
    list[3] = use_of(AML_ACTIVITY_SESSION, used, 32);
    for (i = 0; i < 4; i++) {
        list[i].requests = 6;
        list[i].polls = 6;
        list[i].out = 1;
    }
    list[3].polls = 5;

    say(p, list, 4);
    settle(p, activity);
    assert_int_equal(amld_activity_seen(activity, NULL, left), 0);
    assert_true(amld_activity_seen(activity, NULL, used) >= p->start);
    /* who has a token that was stolen is to be seen, whatever it asks for */
    assert_true(amld_activity_seen(activity, NULL, token) >= p->start);

    amld_activity_stop(activity);
    assert_int_equal(sign_in_seen(p, &page.id), 1000);
    assert_int_equal(sign_in_seen(p, &program.id), 1000);
    assert_true(sign_in_seen(p, &person.id) >= p->start);
}


/* A use of what has ended leaves nothing and harms nobody else's. */
static void
test_ended(void **state)
{
    place_t *p = *state;
    amld_activity_t *activity = amld_activity_start(&p->amld);
    uint8_t session[32], unknown[32];
    amld_sign_in_t s = signed_in(p, session);
    aml_activity_t list[4];

    assert_non_null(activity);
    memset(unknown, 0x99, sizeof(unknown));
    list[0] = use_of(AML_ACTIVITY_SESSION, unknown, 32);
    list[1] = use_of(AML_ACTIVITY_PERSONAL, unknown, 32);
    list[2] = use_of(AML_ACTIVITY_TOKEN, unknown, 32);
    list[3] = use_of(AML_ACTIVITY_SESSION, session, 32);
    say(p, list, 4);
    settle(p, activity);
    amld_activity_stop(activity);

    assert_int_equal(count_of(p, "token-seen/"), 0);
    assert_int_equal(count_of(p, "sign-in-of/"), 1);
    assert_true(sign_in_seen(p, &s.id) >= p->start);
}


/* More than a transaction, a table and a batch hold. */
static void
test_many(void **state)
{
    enum {
        MANY = 3000
    };
    place_t *p = *state;
    amld_activity_t *activity = amld_activity_start(&p->amld);
    aml_activity_t list[AML_ACTIVITY_RECORDS];
    uint8_t hash[32];
    unsigned i, k, missing = 0;

    assert_non_null(activity);
    for (i = 0; i < MANY; i++) {
        memset(hash, 0, sizeof(hash));
        memcpy(hash, &i, sizeof(i));
        token_put(p, hash, 1);
    }
    for (i = 0; i < MANY; i += AML_ACTIVITY_RECORDS) {
        for (k = 0; k < AML_ACTIVITY_RECORDS; k++) {
            unsigned number = i + k;

            memset(hash, 0, sizeof(hash));
            memcpy(hash, &number, sizeof(number));
            list[k] = use_of(AML_ACTIVITY_PERSONAL, hash, 32);
        }
        say(p, list, AML_ACTIVITY_RECORDS);
    }
    settle(p, activity);
    for (i = 0; i < MANY; i++) {
        memset(hash, 0, sizeof(hash));
        memcpy(hash, &i, sizeof(i));
        missing += amld_activity_seen(activity, NULL, hash) == 0;
    }
    assert_int_equal(missing, 0);
    amld_activity_stop(activity);
    assert_int_equal(count_of(p, "token-seen/"), MANY);
}


static void
test_bad(void **state)
{
    place_t *p = *state;
    amld_activity_t *activity = amld_activity_start(&p->amld);
    uint8_t hash[32];
    aml_activity_batch_t batch = {.n = 0};
    aml_activity_t a;
    char big[AML_ACTIVITY_MAX + 1];
    int fd;

    assert_non_null(activity);
    fd = connected(p);
    memset(hash, 0x33, sizeof(hash));
    a = use_of(AML_ACTIVITY_SESSION, hash, 32);
    assert_int_equal(aml_activity_add(&batch, &a), 0);

    assert_int_equal(send(fd, "", 0, 0), 0);
    assert_int_equal(send(fd, "nonsense", 8, 0), 8);
    assert_int_equal(send(fd, batch.bytes, batch.n - 1, 0), batch.n - 1);

    /* one whose beginning would be good, were the rest cut off */
    memset(big, 0, sizeof(big));
    memcpy(big, batch.bytes, batch.n);
    assert_int_equal(send(fd, big, sizeof(big), 0), sizeof(big));
    close(fd);

    settle(p, activity);
    assert_int_equal(amld_activity_seen(activity, NULL, hash), 0);
    amld_activity_stop(activity);
}


/* Who is not the gateway is not heard, whatever it says. */
static void
test_stranger(void **state)
{
    place_t *p = *state;
    uid_t other = getuid() + 1;
    amld_activity_t *activity;
    uint8_t hash[32];
    aml_activity_t a;
    int i;

    memset(hash, 0x44, sizeof(hash));
    a = use_of(AML_ACTIVITY_SESSION, hash, 32);

    p->config.gateway_uids = &other;
    activity = amld_activity_start(&p->amld);
    assert_non_null(activity);
    say(p, &a, 1);

    if (getuid() == 0) {
        /* another account's, behind it */
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
            uint8_t behind[32];

            if (setgid(other) != 0 || setuid(other) != 0) {
                _exit(1);
            }
            memset(behind, 0x45, sizeof(behind));
            a = use_of(AML_ACTIVITY_SESSION, behind, 32);
            say(p, &a, 1);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &i, 0), pid);
        assert_int_equal(i, 0);
        memset(hash, 0x45, sizeof(hash));
        for (i = 0; i < 1000 && amld_activity_seen(activity, NULL, hash) == 0;
             i++) {
            usleep(5000);
        }
        assert_int_not_equal(amld_activity_seen(activity, NULL, hash), 0);
        memset(hash, 0x44, sizeof(hash));
    }

    assert_int_equal(amld_activity_seen(activity, NULL, hash), 0);
    amld_activity_stop(activity);
}


static void
test_socket(void **state)
{
    place_t *p = *state;
    amld_activity_t *activity, *second;
    struct stat st;
    FILE *f;

    activity = amld_activity_start(&p->amld);
    assert_non_null(activity);
    assert_int_equal(stat(p->socket, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0666);

    /* one that is in use is left alone */
    amld_log_level((amld_log_level_t) -1);
    second = amld_activity_start(&p->amld);
    assert_null(second);
    assert_int_equal(stat(p->socket, &st), 0);
    amld_activity_stop(activity);
    assert_int_equal(stat(p->socket, &st), -1);

    /* so is what is no socket */
    f = fopen(p->socket, "w");
    assert_non_null(f);
    fclose(f);
    assert_null(amld_activity_start(&p->amld));
    assert_int_equal(stat(p->socket, &st), 0);
    unlink(p->socket);

    /* what a killed amld has left is replaced */
    if (fork() == 0) {
        (void) amld_activity_start(&p->amld);
        _exit(0);
    }
    wait(NULL);
    assert_int_equal(stat(p->socket, &st), 0);
    activity = amld_activity_start(&p->amld);
    assert_non_null(activity);
    amld_activity_stop(activity);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_uses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stranger, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket, setup, teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
