/*
 * One's own sign-ins, and others': who sees and ends what, and from where.
 */

#include "t/unit/person.h"

#include "auth/label.h"
#include "auth/session_api.h"

#define FIREFOX                                                                \
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

const amld_http_route_t *const http_tables[] = {amld_session_routes, NULL};

static const aml_principal_id_t alice = {{0xa1}}, bob = {{0xb0}};


static json_t *
list_of(const answer_t *a)
{
    json_t *json = json_loadb(a->body, a->body_len, 0, NULL), *list;

    assert_int_equal(a->status, 200);
    list = json_incref(json_object_get(json, "value"));
    assert_true(json_is_array(list));
    json_decref(json);

    return list;
}


static const char *
member(const json_t *list, size_t i, const char *name)
{
    const char *text =
        json_string_value(json_object_get(json_array_get(list, i), name));

    return text != NULL ? text : "";
}


static int
is_there(server_t *s, const person_t *p)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc, session;
    amld_sign_in_t sign_in;
    aml_session_t found;
    json_t *json;

    assert_int_equal(aml_registry_read(s->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    rc = amld_sign_in_get(txn, &p->sign_in, &sign_in, &json);
    json_decref(json);
    session = amld_session_get(txn, p->hash, &found);
    aml_registry_end(txn);
    assert_int_equal(rc, session);

    return rc == AML_REGISTRY_OK;
}


static void
listed(void **state)
{
    server_t *s = *state;
    person_t one, other, bobs;
    json_t *list;
    answer_t a;

    person_sign_in(s, &one, &alice, "password", FIREFOX, 100);
    person_sign_in(s, &other, &alice, "device", "aml on box", 50);
    person_sign_in(s, &bobs, &bob, "oidc", "curl/8", 0);

    a = person_ask(s, &one, "GET", "/auth/sessions", NULL, NULL);
    list = list_of(&a);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(member(list, 0, "id"), other.uuid);
    assert_string_equal(member(list, 0, "client"), "aml on box");
    assert_string_equal(member(list, 0, "method"), "device");
    assert_string_equal(member(list, 1, "id"), one.uuid);
    assert_string_equal(member(list, 1, "client"), "Firefox on Linux");
    assert_string_equal(member(list, 1, "address"), "192.0.2.7");
    assert_string_equal(member(list, 1, "userAgent"), FIREFOX);
    assert_int_equal(strlen(member(list, 1, "created")), 20);
    assert_int_equal(strlen(member(list, 1, "expires")), 20);
    /* it is in use, whatever is written down */
    assert_string_equal(member(list, 0, "lastSeen"),
                        member(list, 0, "created"));
    assert_string_not_equal(member(list, 1, "lastSeen"),
                            member(list, 1, "created"));
    assert_true(
        json_is_false(json_object_get(json_array_get(list, 0), "current")));
    assert_true(
        json_is_true(json_object_get(json_array_get(list, 1), "current")));
    json_decref(list);

    a = person_ask(s, &one, "GET", "/auth/sessions", NULL, from_studio_page());
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "Firefox on Linux"));
    assert_non_null(strstr(a.body, "aml on box"));
    assert_non_null(strstr(a.body, "this one"));
    assert_non_null(strstr(a.body, "Alice &lt;b&gt;"));
    assert_null(strstr(a.body, bobs.uuid));
    assert_non_null(strstr(a.headers, "frame-ancestors 'none'"));
}


static void
ending(void **state)
{
    server_t *s = *state;
    person_t one, other, third, bobs;
    char target[128], v[1024];
    answer_t a;

    person_sign_in(s, &one, &alice, "password", FIREFOX, 0);
    person_sign_in(s, &other, &alice, "password", FIREFOX, 0);
    person_sign_in(s, &third, &alice, "password", FIREFOX, 0);
    person_sign_in(s, &bobs, &bob, "password", FIREFOX, 0);

    /* another's is as none */
    snprintf(target, sizeof(target), "/auth/sessions/%s", bobs.uuid);
    a = person_ask(s, &one, "DELETE", target, NULL, from_studio());
    assert_int_equal(a.status, 404);
    assert_true(is_there(s, &bobs));
    a = person_ask(s, &one, "DELETE", "/auth/sessions/x", NULL, from_studio());
    assert_int_equal(a.status, 404);

    snprintf(target, sizeof(target), "/auth/sessions/%s", other.uuid);
    a = person_ask(s, &one, "DELETE", target, NULL, from_studio());
    assert_int_equal(a.status, 204);
    assert_false(is_there(s, &other));
    a = person_ask(s, &one, "DELETE", target, NULL, from_studio());
    assert_int_equal(a.status, 404);

    a = person_ask(s, &one, "DELETE", "/auth/sessions", NULL, from_studio());
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\"ended\":1"));
    assert_false(is_there(s, &third));
    assert_true(is_there(s, &one));
    assert_true(is_there(s, &bobs));

    /* the page's forms */
    person_sign_in(s, &other, &alice, "password", FIREFOX, 0);
    snprintf(target, sizeof(target), "end=%s", bobs.uuid);
    a = person_ask(s, &one, "POST", "/auth/sessions", target,
                   from_studio_page());
    assert_int_equal(a.status, 303);
    assert_true(is_there(s, &bobs));
    a = person_ask(s, &one, "POST", "/auth/sessions", "others=1",
                   from_studio_page());
    assert_int_equal(a.status, 303);
    assert_true(header_of(&a, "Location", v));
    assert_string_equal(v, "/auth/sessions");
    assert_false(is_there(s, &other));
    assert_true(is_there(s, &one));

    /* one's own: that is signing out */
    snprintf(target, sizeof(target), "end=%s", one.uuid);
    a = person_ask(s, &one, "POST", "/auth/sessions", target,
                   from_studio_page());
    assert_int_equal(a.status, 303);
    assert_true(header_of(&a, "Location", v));
    assert_string_equal(v, "/auth/signed-out");
    assert_non_null(strstr(a.headers, "__Host-aml=; Max-Age=0;"));
    assert_false(is_there(s, &one));
    assert_true(is_there(s, &bobs));
}


/* From another origin, by another kind of credential, by nobody. */
static void
attacks(void **state)
{
    static const char *const by_none[] = {STUDIO_HOST, NULL};
    static const char *const page_by_none[] = {STUDIO_HOST, A_PAGE, NULL};
    static const char *const ways[][3] = {
        {"GET", "/auth/sessions", NULL},
        {"POST", "/auth/sessions", "others=1"},
        {"DELETE", "/auth/sessions", NULL},
        {"DELETE", "/auth/sessions/%s", NULL},
        {"DELETE", "/auth/principals/%s/sessions", NULL}};
    server_t *s = *state;
    person_t one, other, by;
    char target[128], v[1024];
    answer_t a;
    size_t i;

    person_sign_in(s, &one, &alice, "password", FIREFOX, 0);
    person_sign_in(s, &other, &alice, "password", FIREFOX, 0);

    for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        snprintf(target, sizeof(target), ways[i][1], other.uuid);

        a = person_ask(s, &one, ways[i][0], target, ways[i][2],
                       from_instance());
        assert_int_equal(a.status, 403);
        assert_string_equal(reason_of(&a), "cross_origin");

        /* nobody says from where */
        if (strcmp(ways[i][0], "GET") != 0) {
            a = person_ask(s, &one, ways[i][0], target, ways[i][2], NULL);
            assert_int_equal(a.status, 403);
        }

        by = one;
        person_by(&by, "personal-token");
        a = person_ask(s, &by, ways[i][0], target, ways[i][2], from_studio());
        assert_int_equal(a.status, 403);
        assert_string_equal(reason_of(&a), "token_scope");

        a = ask(s, ways[i][0], target, by_none, ways[i][2],
                ways[i][2] != NULL ? (long) strlen(ways[i][2]) : 0);
        assert_int_equal(a.status, 401);
        assert_string_equal(reason_of(&a), "sign_in_required");
    }
    assert_true(is_there(s, &other));

    /* a person is sent to sign in */
    a = get(s, "/auth/sessions", page_by_none);
    assert_int_equal(a.status, 302);
    assert_true(header_of(&a, "Location", v));
    assert_string_equal(v, "/auth/sign-in?to=/auth/sessions");

    /* a token of the person needs no origin, and keeps its own sign-in */
    by = one;
    person_by(&by, "token");
    a = person_ask(s, &by, "DELETE", "/auth/sessions", NULL, NULL);
    assert_int_equal(a.status, 200);
    assert_false(is_there(s, &other));
    assert_true(is_there(s, &one));

    /* the wrong host */
    by.host = "Host: " INSTANCE;
    a = person_ask(s, &by, "GET", "/auth/sessions", NULL, NULL);
    assert_int_equal(a.status, 404);
}


/* By a token of no sign-in: what it has of groups is not in the registry. */
static void
groups(void **state)
{
    static const char *const unknown[] = {"X-AML-Groups: unknown", NULL};
    server_t *s = *state;
    char target[160], id[AML_UUID_TEXT + 1];
    person_t p;
    answer_t a;

    person_sign_in(s, &p, &bob, "password", FIREFOX, 0);
    person_by(&p, "token");
    snprintf(p.headers[4], sizeof(p.headers[4]), "X-Unused-Too: x");

    aml_uuid_format(&alice, id);
    snprintf(target, sizeof(target), "/auth/principals/%s/sessions", id);
    a = person_ask(s, &p, "GET", target, NULL, NULL);
    assert_int_equal(a.status, 403);
    assert_string_equal(reason_of(&a), "action_denied");
    a = person_ask(s, &p, "GET", target, NULL, unknown);
    assert_int_equal(a.status, 403);
    assert_string_equal(reason_of(&a), "groups_unknown");
}


static void
administrator(void **state)
{
    server_t *s = *state;
    char target[160], id[AML_UUID_TEXT + 1];
    person_t admin, one, other;
    json_t *list;
    answer_t a;

    person_sign_in(s, &admin, &bob, "password", FIREFOX, 0);
    person_sign_in(s, &one, &alice, "password", FIREFOX, 0);
    person_sign_in(s, &other, &alice, "password", FIREFOX, 0);

    aml_uuid_format(&alice, id);
    snprintf(target, sizeof(target), "/auth/principals/%s/sessions", id);
    a = person_ask(s, &admin, "GET", target, NULL, from_studio());
    assert_int_equal(a.status, 403);
    assert_string_equal(reason_of(&a), "action_denied");
    a = person_ask(s, &admin, "DELETE", target, NULL, from_studio());
    assert_int_equal(a.status, 403);
    assert_true(is_there(s, &one));

    role_at_root(s, &bob, "Reader");
    a = person_ask(s, &admin, "GET", target, NULL, from_studio());
    list = list_of(&a);
    assert_int_equal(json_array_size(list), 2);
    json_decref(list);
    a = person_ask(s, &admin, "DELETE", target, NULL, from_studio());
    assert_int_equal(a.status, 403);

    role_at_root(s, &bob, "Owner");
    snprintf(target, sizeof(target), "/auth/principals/%s/sessions/%s", id,
             admin.uuid);
    a = person_ask(s, &admin, "DELETE", target, NULL, from_studio());
    assert_int_equal(a.status, 404);
    snprintf(target, sizeof(target), "/auth/principals/%s/sessions/%s", id,
             one.uuid);
    a = person_ask(s, &admin, "DELETE", target, NULL, from_studio());
    assert_int_equal(a.status, 204);
    assert_false(is_there(s, &one));
    assert_true(is_there(s, &other));
    snprintf(target, sizeof(target), "/auth/principals/%s/sessions", id);
    a = person_ask(s, &admin, "DELETE", target, NULL, from_studio());
    assert_int_equal(a.status, 200);
    assert_false(is_there(s, &other));
    assert_true(is_there(s, &admin));

    a = person_ask(s, &admin, "DELETE", "/auth/principals/x/sessions", NULL,
                   from_studio());
    assert_int_equal(a.status, 400);
}


static void
labels(void **state)
{
    static const char *const agents[][2] = {
        {FIREFOX, "Firefox on Linux"},
        {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, "
         "like Gecko) Chrome/120.0.0.0 Safari/537.36 Edg/120.0.0.0",
         "Edge on Windows"},
        {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, "
         "like Gecko) Chrome/120.0.0.0 Safari/537.36",
         "Chrome on Windows"},
        {"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) "
         "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 "
         "Safari/604.1",
         "Safari on iPhone"},
        {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) "
         "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1",
         "Safari on macOS"},
        {"Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/120.0 "
         "Mobile Safari/537.36",
         "Chrome on Android"},
        {"Mozilla/5.0", "a browser"},
        {"curl/7.88.1", "curl"},
        {"aml on box", "aml on box"},
        {"python-requests/2.31 x", "python-requests"},
        {"", "an unknown client"},
        {"\xc3\xa9/1", "an unknown client"},
        {"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee",
         "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd"}};
    char text[AMLD_LABEL_SIZE];
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(agents) / sizeof(agents[0]); i++) {
        amld_label_agent(agents[i][0], text);
        assert_string_equal(text, agents[i][1]);
    }

    amld_label_time(1795000000, text);
    assert_string_equal(text, "2026-11-18T11:06:40Z");
}


/* Nothing is called idle whose use nobody can have heard of. */
static void
idle(void **state)
{
    const int64_t hour = 3600, start = 1795000000;

    (void) state;

    assert_int_equal(amld_sign_ins_idle(0, start, start + 1000 * hour), 0);
    assert_int_equal(amld_sign_ins_idle(hour, start, start), 0);
    assert_int_equal(amld_sign_ins_idle(hour, start, start + hour), 0);
    assert_int_equal(amld_sign_ins_idle(hour, start, start + hour + 119), 0);
    assert_int_equal(amld_sign_ins_idle(hour, start, start + hour + 120),
                     hour + 120);

    /* short ones too: 2 minutes at least */
    assert_int_equal(amld_sign_ins_idle(5, start, start + 124), 0);
    assert_int_equal(amld_sign_ins_idle(5, start, start + 125), 125);

    /* a clock that was set back */
    assert_int_equal(amld_sign_ins_idle(5, start, start - 1000), 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(listed, setup, teardown),
        cmocka_unit_test_setup_teardown(ending, setup, teardown),
        cmocka_unit_test_setup_teardown(attacks, setup, teardown),
        cmocka_unit_test_setup_teardown(groups, setup, teardown),
        cmocka_unit_test_setup_teardown(administrator, setup, teardown),
        cmocka_unit_test(labels),
        cmocka_unit_test(idle),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    curl_global_init(CURL_GLOBAL_DEFAULT);

    return cmocka_run_group_tests_name("session_api", tests, NULL, NULL);
}
