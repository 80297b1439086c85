/*
 * Personal access tokens over the control socket: what may be asked for, by
 * whom, and from where.
 */

#include "t/unit/person.h"

#include "auth/personal_tokens.h"
#include "auth/token_api.h"

const amld_http_route_t *const http_tables[] = {amld_token_routes, NULL};

static const aml_principal_id_t alice = {{0xa1}}, bob = {{0xb0}};


static void
instance(server_t *s, const char *name, const aml_principal_id_t *creator)
{
    aml_route_t route = {.state = AML_INSTANCE_RUNNING,
                         .creator = *creator,
                         .name = aml_str_of(name)};
    char key[AML_REGISTRY_KEY_MAX + 1], buf[512];
    aml_registry_txn_t *txn;
    size_t n = aml_route_encode(&route, buf, sizeof(buf));

    assert_true(n > 0);
    assert_int_equal(aml_registry_write(s->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_put(txn, key,
                                      aml_key_route(key, aml_str_of(name), 0),
                                      buf, n),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static answer_t
make(server_t *s, const person_t *p, const char *json)
{
    static const char *const more[] = {STUDIO_ORIGIN,
                                       "Content-Type: application/json", NULL};

    return person_ask(s, p, "POST", "/auth/tokens", json, more);
}


static size_t
tokens(server_t *s)
{
    return scratch_count(s->scratch, "token/");
}


static void
json(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"name\":\"x\"}",
        "{\"name\":\"\",\"instances\":\"all\"}",
        "{\"name\":\"  \",\"instances\":\"all\"}",
        "{\"name\":7,\"instances\":\"all\"}",
        "{\"name\":\"a\\u0007\",\"instances\":\"all\"}",
        "{\"name\":\"x\",\"instance\":\"all\"}",
        "{\"name\":\"x\",\"instances\":\"All\"}",
        "{\"name\":\"x\",\"instances\":[7]}",
        "{\"name\":\"x\",\"instances\":[\"\"]}",
        "{\"name\":\"x\",\"instances\":[\"theirs\"]}",
        "{\"name\":\"x\",\"instances\":[\"lab1\",\"nowhere\"]}",
        "{\"name\":\"x\",\"instances\":[\"lab1/0\"]}",
        "{\"name\":\"x\",\"instances\":\"none\"}",
        "{\"name\":\"x\",\"instances\":[]}",
        "{\"name\":\"x\",\"actions\":\"*\"}",
        "{\"name\":\"x\",\"actions\":[\"\"]}",
        "{\"name\":\"x\",\"actions\":[\"a b\"]}",
        "{\"name\":\"x\",\"actions\":[\"\xc3\xa9\"]}",
        "{\"name\":\"x\",\"actions\":[\"a\\u0000\"]}",
        "{\"name\":\"x\",\"instances\":\"all\",\"expiresInDays\":0}",
        "{\"name\":\"x\",\"instances\":\"all\",\"expiresInDays\":-1}",
        "{\"name\":\"x\",\"instances\":\"all\",\"expiresInDays\":91}",
        "{\"name\":\"x\",\"instances\":\"all\",\"expiresInDays\":\"7\"}",
        "{\"name\":\"x\",\"instances\":\"all\",\"expiresInDays\":1.5}",
        "{\"name\":\"x\",\"name\":\"y\",\"instances\":\"all\"}",
        ("{\"name\":\"x\",\"actions\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
         "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]"
         "}")};
    server_t *s = *state;
    char w[256], id[256], target[320];
    person_t p, bobs;
    answer_t a;
    size_t i;

    person_sign_in(s, &p, &alice, "password", "x", 0);
    person_sign_in(s, &bobs, &bob, "password", "x", 0);
    instance(s, "lab1", &alice);
    instance(s, "theirs", &bob);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        a = make(s, &p, bad[i]);
        if (a.status != 400) {
            print_message("%s\n", bad[i]);
        }
        assert_int_equal(a.status, 400);
        assert_null(strstr(a.body, "amlp_"));
    }
    assert_int_equal(tokens(s), 0);

    a = make(s, &p,
             "{\"name\":\" nightly \",\"instances\":[\"Lab1\"],"
             "\"actions\":[\"A/*/read\"],\"expiresInDays\":90}");
    assert_int_equal(a.status, 201);
    assert_int_equal(strlen(said(&a, "token", w)), AML_TOKEN_CHARS);
    assert_string_equal(said(&a, "name", w), "nightly");
    assert_non_null(strstr(a.body, "\"instances\":[\"lab1\"]"));
    assert_non_null(strstr(a.body, "\"actions\":[\"A/*/read\"]"));
    said(&a, "id", id);
    assert_int_equal(strlen(id), AML_UUID_TEXT);

    a = make(s, &p, "{\"name\":\"y\",\"instances\":\"all\"}");
    assert_int_equal(a.status, 201);
    a = make(s, &p, "{\"name\":\"z\",\"actions\":[\"*\"]}");
    assert_int_equal(a.status, 201);
    assert_non_null(strstr(a.body, "\"instances\":\"none\""));
    assert_int_equal(tokens(s), 3);

    /* listed without what they are */
    a = person_ask(s, &p, "GET", "/auth/tokens", NULL, NULL);
    assert_int_equal(a.status, 200);
    assert_null(strstr(a.body, "amlp_"));
    assert_non_null(strstr(a.body, "nightly"));
    assert_non_null(strstr(a.body, "\"lastUsed\":null"));
    a = person_ask(s, &bobs, "GET", "/auth/tokens", NULL, NULL);
    assert_string_equal(a.body, "{\"value\":[]}");

    /* another's is as none */
    snprintf(target, sizeof(target), "/auth/tokens/%s", id);
    a = person_ask(s, &bobs, "DELETE", target, NULL, from_studio());
    assert_int_equal(a.status, 404);
    assert_int_equal(tokens(s), 3);
    a = person_ask(s, &p, "DELETE", target, NULL, from_studio());
    assert_int_equal(a.status, 204);
    a = person_ask(s, &p, "DELETE", target, NULL, from_studio());
    assert_int_equal(a.status, 404);
    assert_int_equal(
        person_ask(s, &p, "DELETE", "/auth/tokens/x", NULL, from_studio())
            .status,
        404);
    assert_int_equal(tokens(s), 2);
}


static void
form(void **state)
{
    static const char *const bad[] = {
        "name=x&days=7",
        "name=x&days=7&reach=none",
        "name=x&days=7&reach=every",
        "name=x&days=7&reach=some",
        "name=x&days=7&reach=some&instance.theirs=1",
        "name=x&days=7&reach=some&instance.nowhere=1",
        "name=x&days=91&reach=all",
        "name=x&days=-1&reach=all",
        "name=x&days=999999999999&reach=all",
        "name=x&reach=all",
        "days=7&reach=all",
        "name=x&days=7&reach=none&actions=a+%22b%22",
    };
    server_t *s = *state;
    person_t p;
    answer_t a;
    char v[1024], body[128];
    const char *id;
    size_t i;

    person_sign_in(s, &p, &alice, "password", "x", 0);
    instance(s, "lab1", &alice);
    instance(s, "theirs", &bob);

    a = person_ask(s, &p, "GET", "/auth/tokens", NULL, from_studio_page());
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "instance.lab1"));
    assert_null(strstr(a.body, "theirs"));

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        a = person_ask(s, &p, "POST", "/auth/tokens", bad[i],
                       from_studio_page());
        if (a.status != 400) {
            print_message("%s\n", bad[i]);
        }
        assert_int_equal(a.status, 400);
        assert_non_null(strstr(a.body, "role=\"alert\""));
        assert_null(strstr(a.body, "amlp_"));
    }
    assert_int_equal(tokens(s), 0);

    /* what was typed stays, as text */
    a = person_ask(s, &p, "POST", "/auth/tokens",
                   "name=%22%3E%3Cscript%3E&days=7&reach=none&do.see=1"
                   "&actions=%3C%2Ftextarea%3E",
                   from_studio_page());
    assert_int_equal(a.status, 400);
    assert_null(strstr(a.body, "<script>"));
    assert_non_null(strstr(a.body, "&lt;script&gt;"));
    assert_non_null(strstr(a.body, "&lt;/textarea&gt;"));
    assert_non_null(strstr(a.body, "name=\"do.see\" value=\"1\" checked"));

    a = person_ask(s, &p, "POST", "/auth/tokens",
                   "name=one&days=7&reach=some&instance.lab1=1&do.run=1"
                   "&actions=A%2Fread%0D%0AB%2Fread",
                   from_studio_page());
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "amlp_"));
    assert_non_null(strstr(a.body, "lab1"));
    assert_non_null(strstr(a.body, "computes/start/action"));
    assert_non_null(strstr(a.body, "A/read, B/read"));
    assert_int_equal(tokens(s), 1);
    assert_true(header_of(&a, "Cache-Control", v));
    assert_string_equal(v, "no-store");

    id = strstr(a.body, "data-token=\"");
    assert_non_null(id);
    snprintf(body, sizeof(body), "revoke=%.36s", id + 12);

    /* by a page elsewhere, and by nobody's */
    a = person_ask(s, &p, "POST", "/auth/tokens", body, from_instance());
    assert_int_equal(a.status, 403);
    a = person_ask(s, &p, "POST", "/auth/tokens", "name=x&days=7&reach=all",
                   from_instance());
    assert_int_equal(a.status, 403);
    assert_int_equal(tokens(s), 1);

    a = person_ask(s, &p, "POST", "/auth/tokens", body, from_studio_page());
    assert_int_equal(a.status, 303);
    assert_int_equal(tokens(s), 0);
    a = person_ask(s, &p, "POST", "/auth/tokens", body, from_studio_page());
    assert_int_equal(a.status, 303);
}


#define ALL "{\"name\":\"y\",\"instances\":\"all\",\"actions\":[\"*\"]}"

/* A new token by session only: by no token, and by no session that ended. */
static void
by_whom(void **state)
{
    server_t *s = *state;
    aml_registry_txn_t *txn;
    person_t p, by;
    answer_t a;
    int i;

    person_sign_in(s, &p, &alice, "password", "x", 0);

    by = p;
    person_by(&by, "personal-token");
    a = make(s, &by, ALL);
    assert_int_equal(a.status, 403);
    assert_string_equal(reason_of(&a), "token_scope");
    a = person_ask(s, &by, "GET", "/auth/tokens", NULL, NULL);
    assert_int_equal(a.status, 403);

    by = p;
    person_by(&by, "token");
    a = make(s, &by, ALL);
    assert_int_equal(a.status, 401);
    a = person_ask(s, &by, "GET", "/auth/tokens", NULL, NULL);
    assert_int_equal(a.status, 200);
    assert_int_equal(tokens(s), 0);

    for (i = 0; i < AMLD_TOKENS_MOST; i++) {
        assert_int_equal(make(s, &p, ALL).status, 201);
    }
    a = make(s, &p, ALL);
    assert_int_equal(a.status, 409);
    assert_int_equal(tokens(s), AMLD_TOKENS_MOST);

    /* ended between the gateway's look and ours */
    assert_int_equal(aml_registry_write(s->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_sign_in_end(txn, &p.sign_in), AML_REGISTRY_OK);
    assert_int_equal(amld_personal_tokens_end_of(txn, &alice, NULL),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    a = make(s, &p, ALL);
    assert_int_equal(a.status, 401);
    assert_string_equal(reason_of(&a), "session_unknown");
    assert_int_equal(tokens(s), 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(json, setup, teardown),
        cmocka_unit_test_setup_teardown(form, setup, teardown),
        cmocka_unit_test_setup_teardown(by_whom, setup, teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    curl_global_init(CURL_GLOBAL_DEFAULT);

    return cmocka_run_group_tests_name("token_api", tests, NULL, NULL);
}
