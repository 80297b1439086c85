#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <sys/stat.h>

#include "auth/key.h"
#include "registry/dump.h"
#include "registry/records.h"
#include "t/unit/scratch.h"

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define UUID "01234567-89ab-cdef-abcd-ef0123456789"
#define TOKEN "c2VjcmV0LXZhbHVlLXRoYXQtbm9ib2R5LW1heS1zZWU"


static void
put(scratch_t *s, const char *key, const void *value, size_t n)
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_put(txn, key, strlen(key), value, n),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static void
put_text(scratch_t *s, const char *key, const char *value)
{
    put(s, key, value, strlen(value));
}


static char *
dump(scratch_t *s, int json)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    assert_non_null(out);
    assert_int_equal(amld_registry_dump(s->registry, out, json),
                     AML_REGISTRY_OK);
    assert_int_equal(fclose(out), 0);

    return text;
}


/* The value under a key of the JSON form; borrowed. */
static json_t *
value_of(json_t *all, const char *key)
{
    size_t i;
    json_t *record;

    json_array_foreach(json_object_get(all, "records"), i, record)
    {
        if (strcmp(json_string_value(json_object_get(record, "key")), key) ==
            0) {
            return json_object_get(record, "value");
        }
    }
    fail_msg("no %s", key);

    return NULL;
}


static json_t *
dump_json(scratch_t *s)
{
    char *text = dump(s, 1);
    json_t *all =
        json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

    assert_non_null(all);
    free(text);

    return all;
}


static void
equal(json_t *value, const char *member, const char *want)
{
    char *text = json_dumps(json_object_get(value, member),
                            JSON_COMPACT | JSON_ENCODE_ANY);

    assert_non_null(text);
    assert_string_equal(text, want);
    free(text);
}


static void
fill(scratch_t *s)
{
    char key[AML_REGISTRY_KEY_MAX + 1], buf[1024];
    aml_principal_id_t id;
    aml_assignment_t a;
    uint8_t hash[32];
    size_t i;

    assert_int_equal(aml_uuid_parse(aml_str(UUID), &id), 0);
    for (i = 0; i < 32; i++) {
        hash[i] = (uint8_t) ("\x01\x23\x45\x67\x89\xab\xcd\xef"[i % 8]);
    }

    aml_session_t session = {.created = 1790000000,
                             .expires = 1790003600,
                             .principal = id,
                             .sign_in = id,
                             .host = aml_str("first-lab.apps")};
    aml_key_session(key, hash);
    put(s, key, buf, aml_session_encode(&session, buf, sizeof(buf)));

    aml_principal_t principal = {.not_before = 0,
                                 .flags = AML_PRINCIPAL_DISABLED,
                                 .name = aml_str("Zo\xc3\xab"),
                                 .issuer = aml_str("urn:aml:local"),
                                 .assignment_count = 1};
    a.role = id;
    a.scope = aml_str("/subscriptions/s");
    aml_key_principal(key, &id);
    put(s, key, buf, aml_principal_encode(&principal, &a, buf, sizeof(buf)));

    aml_route_t route = {.state = AML_INSTANCE_RUNNING,
                         .port = 8888,
                         .generation = UINT64_MAX,
                         .creator = id,
                         .name = aml_str("First-Lab"),
                         .address = aml_str("unix:/run/aml/8888.sock")};
    aml_key_route(key, aml_str("first-lab"), 8888);
    put(s, key, buf, aml_route_encode(&route, buf, sizeof(buf)));

    aml_public_key_t rsa = {.kty = AML_KTY_RSA,
                            .alg = AML_ALG_RS256,
                            .expires = 1790003600,
                            .a = {buf + 600, 256},
                            .b = aml_str("\1\0\1")};
    memset(buf + 600, 0x55, 256);
    aml_key_key(key, aml_str("https://aml.localhost:8443"), aml_str("k/1"));
    put(s, key, buf, aml_public_key_encode(&rsa, buf, 600));

    aml_issuer_t issuer = {.algs = 1u << AML_ALG_RS256 | 1u << AML_ALG_EDDSA,
                           .leeway = 60,
                           .identity = AML_IDENTITY_ENTRA,
                           .space = aml_str("urn:aml:local"),
                           .audience_count = 1,
                           .audiences = {aml_str("aud")}};
    aml_key_issuer(key, aml_str("https://aml.localhost:8443"));
    put(s, key, buf, aml_issuer_encode(&issuer, buf, sizeof(buf)));
}


static void
fill_secrets(scratch_t *s)
{
    put_text(s, "account/creator",
             "{\"uuid\":\"" UUID "\",\"name\":\"creator\",\"hash\":"
             "\"$y$j9T$SALTSALT$HASHHASHHASH\",\"created\":1790000000}");
    put_text(s, "account/other",
             "{\"name\":\"other\",\"elsewhere\":[{\"x\":\"$6$SALTSALT$H\"}],"
             "\"passwordHistory\":[\"HASHHASH\"]}");
    put_text(s, "account/broken", "$y$j9T$SALTSALT$HASHHASHHASH");
    put_text(s, "code/" HASH,
             "{\"host\":\"first-lab.apps\",\"browser\":\"" HASH
             "\",\"principal\":\"" UUID "\",\"expires\":1790000060,"
             "\"code\":\"" TOKEN "\"}");
    put_text(s, "sign-in/" UUID "/" HASH, ""); /* of earlier releases */
    put_text(s, "sign-in/" UUID "/lab-one.apps.example", HASH "00000001");
    put_text(s, "signing-key/local/kid1",
             "{\"kid\":\"kid1\",\"private\":\"-----BEGIN PRIVATE KEY-----\\n"
             "MIIBVQIBADANBgkqhkiG\",\"created\":1790000000,\"d\":\"MIIBVQ\"}");
    put_text(s, "signing-key/local/kid2",
             "-----BEGIN PRIVATE KEY-----\nMIIBVQIBADANBgkqhkiG");
    put_text(s, "compute/w/first-lab",
             "{\"name\":\"First-Lab\",\"properties\":{\"state\":\"Running\","
             "\"token\":\"" TOKEN "\",\"note\":\"Bearer " TOKEN "\"},"
             "\"requested\":{\"setupScripts\":{\"scripts\":{"
             "\"startupScript\":{\"scriptData\":\"b3Blbg==\","
             "\"scriptArguments\":\"--key t0p\",\"timeout\":\"PT1M\"}}}}}");
    put_text(s, "job/w/train",
             "{\"name\":\"train\",\"status\":\"Canceled\",\"command\":{"
             "\"pid\":4711},\"requested\":{\"command\":\"curl -u k3y\","
             "\"environmentVariables\":{\"KEY\":\"h1dden\"}}}");
    put_text(s, "operation/" UUID, "{\"status\":\"Succeeded\"}");
    put_text(s, "name/west/first-lab", "/subscriptions/s/first-lab");
    put_text(s, "novelty/" HASH, "MIIBVQIBADANBgkqhkiG");
    put_text(s, "nofamily", "MIIBVQIBADANBgkqhkiG");
}


/* None of it in either form, by whatever way it got there. */
static void
test_secrets(void **state)
{
    static const char *const secrets[] = {"SALTSALT",
                                          "HASHHASH",
                                          "MIIBVQ",
                                          "BEGIN",
                                          TOKEN,
                                          "c2VjcmV0",
                                          "0123456789abcdef0123",
                                          "0123456789abc",
                                          "b3Blbg",
                                          "k3y",
                                          "h1dden",
                                          "t0p"};
    scratch_t *s = *state;
    size_t i;
    int json;
    char *text;

    fill(s);
    fill_secrets(s);

    for (json = 0; json < 2; json++) {
        text = dump(s, json);
        for (i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
            if (strstr(text, secrets[i]) != NULL) {
                fail_msg("%s is in\n%s", secrets[i], text);
            }
        }

        /* what people look for is */
        assert_non_null(strstr(text, "session/0123456789ab..."));
        assert_non_null(strstr(text, "code/0123456789ab..."));
        assert_non_null(strstr(text, "sign-in/" UUID "/0123456789ab..."));
        assert_non_null(strstr(text, "sign-in/" UUID "/lab-one.apps.example"));
        assert_non_null(strstr(text, "novelty/0123456789ab..."));
        assert_non_null(strstr(text, "account/creator"));
        assert_non_null(strstr(text, "signing-key/local/kid2"));
        assert_non_null(strstr(text, "1790000060"));
        assert_non_null(strstr(text, "Running"));
        assert_non_null(strstr(text, "Canceled"));
        assert_non_null(strstr(text, "4711"));
        assert_non_null(strstr(text, "/subscriptions/s/first-lab"));
        free(text);
    }
}


static void
test_decoded(void **state)
{
    scratch_t *s = *state;
    json_t *all, *v;

    fill(s);
    fill_secrets(s);
    all = dump_json(s);
    equal(all, "format", "1");

    v = value_of(all, "session/0123456789ab...");
    equal(v, "principal", "\"" UUID "\"");
    equal(v, "host", "\"first-lab.apps\"");
    equal(v, "created", "\"2026-09-21T14:13:20Z\"");
    equal(v, "expires", "\"2026-09-21T15:13:20Z\"");

    v = value_of(all, "principal/" UUID);
    equal(v, "name", "\"Zo\xc3\xab\"");
    equal(v, "disabled", "true");
    equal(v, "notBefore", "null");
    equal(v, "assignments",
          "[{\"role\":\"" UUID "\",\"scope\":\"/subscriptions/s\"}]");

    v = value_of(all, "route/first-lab/8888");
    equal(v, "state", "\"Running\"");
    equal(v, "name", "\"First-Lab\"");
    equal(v, "port", "8888");
    equal(v, "generation", "\"18446744073709551615\"");
    equal(v, "address", "\"unix:/run/aml/8888.sock\"");
    assert_null(json_object_get(v, "compute"));

    v = value_of(all, "key/https:%2F%2Faml.localhost:8443/k%2F1");
    equal(v, "issuer", "\"https://aml.localhost:8443\"");
    equal(v, "kid", "\"k/1\"");
    equal(v, "type", "\"RSA\"");
    equal(v, "bits", "2048");
    equal(v, "alg", "\"RS256\"");

    v = value_of(all, "issuer/https:%2F%2Faml.localhost:8443");
    equal(v, "issuer", "\"https://aml.localhost:8443\"");
    equal(v, "algorithms", "[\"RS256\",\"EdDSA\"]");
    equal(v, "audiences", "[\"aud\"]");
    equal(v, "identity", "\"tid+oid\"");
    equal(v, "leewaySeconds", "60");

    v = value_of(all, "account/creator");
    equal(v, "name", "\"creator\"");
    equal(v, "created", "1790000000");
    equal(v, "hash", "\"(not shown)\"");

    v = value_of(all, "code/0123456789ab...");
    equal(v, "host", "\"first-lab.apps\"");
    assert_null(json_object_get(v, "browser"));

    v = value_of(all, "signing-key/local/kid1");
    equal(v, "kid", "\"kid1\"");
    equal(v, "created", "1790000000");
    assert_int_equal(json_object_size(v), 2);

    assert_string_equal(json_string_value(value_of(all, "nofamily")),
                        "(not shown, 20 bytes)");
    json_decref(all);
}


/* Whatever is in the way, the rest is printed. */
static void
test_damaged(void **state)
{
    scratch_t *s = *state;
    json_t *all;
    char *text;

    put(s, "session/short", "\1\0", 2);
    put(s, "route/a/1", "\2\0xx", 4);
    put(s, "key/k", "", 0);
    put(s, "principal/p", "\0", 1);
    put(s, "issuer/%zz%4", "\1", 1);
    put(s, "compute/c", "{\"a\":", 5);
    put(s, "compute/d", "\xff\xfe", 2);
    put(s, "job/j", "[[[[[[[[", 8);
    put(s, "role/", "null", 4);
    put(s, "/", "x", 1);
    put(s, "\xff\x01", "x", 1);
    put(s, "name/\x1b[2J", "\x1b]0;owned\x07", 10);
    put(s, "name/c1",
        "\xc2\x9b"
        "31m",
        5);
    put(s, "name/dollars", "a$ costs $5, not $$", 19);
    put(s, "name/nul", "\0$y$HASHHASH", 12);

    all = dump_json(s);
    assert_string_equal(json_string_value(value_of(all, "session/short")),
                        "(unreadable: wrong length)");
    assert_string_equal(json_string_value(value_of(all, "route/a/1")),
                        "(unreadable: unknown version)");
    json_decref(all);

    /* nothing that a terminal would act on */
    text = dump(s, 0);
    assert_null(strchr(text, '\x1b'));
    assert_null(strchr(text, '\x07'));
    assert_null(strstr(text, "\xc2\x9b"));
    assert_null(strstr(text, "HASHHASH"));
    assert_non_null(strstr(text, "a$ costs $5, not $$"));
    assert_non_null(strstr(text, "\\x1b]0;owned\\x07"));
    free(text);
}


/* More than one snapshot's worth, each key once and in order. */
static void
test_many(void **state)
{
    static const size_t counts[] = {1, 510, 511, 512, 513, 1023, 1024, 1500};
    scratch_t *s = *state;
    size_t i, n, done = 0;
    char key[32];
    const char *before, *now;
    json_t *all, *records;
    aml_registry_txn_t *txn;

    for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        assert_int_equal(aml_registry_write(s->registry, &txn),
                         AML_REGISTRY_OK);
        for (; done < counts[i]; done++) {
            n = (size_t) snprintf(key, sizeof(key), "compute/%05zu", done);
            assert_int_equal(aml_registry_put(txn, key, n, "{}", 2),
                             AML_REGISTRY_OK);
        }
        assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

        all = dump_json(s);
        records = json_object_get(all, "records");
        assert_int_equal(json_array_size(records), counts[i] + 1);

        before = "";
        for (n = 0; n < json_array_size(records); n++) {
            now = json_string_value(
                json_object_get(json_array_get(records, n), "key"));
            assert_true(strcmp(before, now) < 0);
            before = now;
        }
        json_decref(all);
    }
}


static void
test_long_key(void **state)
{
    char key[AML_REGISTRY_KEY_MAX + 1], *text;

    memset(key, 'k', sizeof(key));
    key[AML_REGISTRY_KEY_MAX] = '\0';
    put_text(*state, key, "x");
    memcpy(key, "compute/", 8);
    put_text(*state, key, "{}");
    memcpy(key, "issuer/", 7);
    put_text(*state, key, "x");

    text = dump(*state, 0);
    assert_non_null(strstr(text, "compute/kkk"));
    free(text);
    text = dump(*state, 1);
    free(text);
}


static void
test_no_room(void **state)
{
    FILE *full = fopen("/dev/full", "w");

    assert_non_null(full);
    assert_int_equal(
        amld_registry_dump(((scratch_t *) *state)->registry, full, 0),
        AML_REGISTRY_FAILED);
    assert_int_equal(errno, ENOSPC);
    fclose(full);
}


#define TEST(f)                                                                \
    cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_secrets), TEST(test_decoded),  TEST(test_damaged),
        TEST(test_many),    TEST(test_long_key), TEST(test_no_room),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
