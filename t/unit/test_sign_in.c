/*
 * Signing in and out over the control socket, as a browser and a program do.
 */

#include "t/unit/http_client.h"

#include <time.h>

#include "auth/accounts.h"
#include "auth/cookie.h"
#include "auth/local_issuer.h"
#include "auth/sessions.h"
#include "auth/sign_in.h"

const amld_http_route_t *const http_tables[] = {amld_sign_in_routes, NULL};
const amld_http_route_t *const http_slow_tables[] = {amld_password_routes,
                                                     NULL};

static const char host_studio[] = "Host: " STUDIO;
static const char origin_studio[] = "Origin: https://" STUDIO;
static const char host_instance[] = "Host: " INSTANCE;
static const char origin_instance[] = "Origin: https://" INSTANCE;


/* The value of the cookie `name` that the answer sets. */
static int
set_cookie(const answer_t *a, const char *name, char value[128])
{
    char text[128];
    const char *p;

    snprintf(text, sizeof(text), "Set-Cookie: %s=", name);
    p = strstr(a->headers, text);
    if (p == NULL) {
        return 0;
    }
    p += strlen(text);
    snprintf(value, 128, "%.*s", (int) strcspn(p, ";\r"), p);
    assert_non_null(strstr(p, "; Path=/; Secure; HttpOnly; SameSite=Lax"));

    return 1;
}


static void
session_header(const char *secret, char text[96])
{
    char hex[AMLD_HASH_HEX_SIZE];
    uint8_t hash[32];

    assert_int_equal(amld_secret_hash(secret, hash), 0);
    amld_hash_format(hash, hex);
    snprintf(text, 96, "X-AML-Session: %s", hex);
}


static void
account(server_t *s, amld_account_t *a)
{
    assert_int_equal(amld_account_add(s->scratch->registry, "Alice",
                                      "open sesame", (int64_t) time(NULL), a),
                     AMLD_ACCOUNT_OK);
}


static answer_t
submit(server_t *s, const char *origin, const char *host, const char *fields)
{
    const char *const headers[] = {origin, host, NULL};

    return ask(s, "POST", "/auth/sign-in", headers, fields,
               (long) strlen(fields));
}

#define FIELDS "name=alice&password=open+sesame"


static void
sign_in_form(void **state)
{
    server_t *s = *state;
    amld_account_t alice;
    char v[1024], cookie[128];
    answer_t a, b;

    account(s, &alice);

    a = submit(s, origin_studio, host_studio, FIELDS "&to=/lab?a%3D1%26b");
    assert_int_equal(a.status, 303);
    assert_true(header_of(&a, "Location", v));
    assert_string_equal(v, "/lab?a=1&b");
    assert_true(set_cookie(&a, AML_COOKIE_SESSION, cookie));
    assert_int_equal(strlen(cookie), 43);

    a = submit(s, origin_studio, host_studio, FIELDS "&to=//evil.org");
    assert_true(header_of(&a, "Location", v));
    assert_string_equal(v, "/");

    /* unknown and wrong are told apart by nothing */
    a = submit(s, origin_studio, host_studio, "name=alice&password=wrong");
    b = submit(s, origin_studio, host_studio, "name=nobod&password=wrong");
    assert_int_equal(a.status, 403);
    assert_int_equal(b.status, 403);
    assert_int_equal(a.body_len, b.body_len);
    assert_false(set_cookie(&a, AML_COOKIE_SESSION, cookie));
    assert_int_equal(submit(s, origin_studio, host_studio, "").status, 403);
    assert_int_equal(
        submit(s, origin_studio, host_studio, "name=%22%3E%3Cscript%3E").status,
        403);

    /* from elsewhere, or nobody says from where */
    assert_int_equal(scratch_count(s->scratch, "session/"), 2);
    a = submit(s, origin_instance, host_studio, FIELDS);
    assert_int_equal(a.status, 403);
    assert_true(header_of(&a, "X-AML-Reason", v));
    assert_string_equal(v, "cross_origin");
    assert_int_equal(submit(s, "Origin: null", host_studio, FIELDS).status,
                     403);
    assert_int_equal(submit(s, "X-Y: z", host_studio, FIELDS).status, 403);
    assert_int_equal(
        submit(s, "Sec-Fetch-Site: same-site", host_studio, FIELDS).status,
        403);
    assert_int_equal(submit(s, origin_instance, host_instance, FIELDS).status,
                     404);
    assert_int_equal(scratch_count(s->scratch, "session/"), 2);

    assert_int_equal(
        submit(s, "Sec-Fetch-Site: same-origin", host_studio, FIELDS).status,
        303);
}


/* From the instance to the studio and back, as a browser goes. */
static void
handoff(void **state)
{
    const char *const at[] = {host_instance, NULL};
    server_t *s = *state;
    char v[1024], browser[128], cookie[128], studio_session[96], line[160],
        principal[64], hand[1024], target[1024], lab_session[128], lab_line[96];
    const char *const signed_in[] = {host_studio, principal,
                                     "X-AML-Credential: session",
                                     studio_session, NULL};
    const char *const back[] = {host_instance, line, NULL};
    const char *const in_lab[] = {
        host_instance, principal,       "X-AML-Credential: session",
        lab_line,      origin_instance, NULL};
    const char *const elsewhere[] = {"Host: lab2.instances.aml.localhost:8443",
                                     line, NULL};
    const char *const anonymous[] = {host_studio, NULL};
    amld_account_t alice;
    answer_t a;

    account(s, &alice);
    strcpy(principal, "X-AML-Principal: ");
    aml_uuid_format(&alice.principal, principal + strlen(principal));

    a = submit(s, origin_studio, host_studio, FIELDS);
    assert_true(set_cookie(&a, AML_COOKIE_SESSION, cookie));
    session_header(cookie, studio_session);

    /* instance: a cookie for the browser, then off to the studio */
    a = get(s, "/.aml/sign-in?to=/lab", at);
    assert_int_equal(a.status, 302);
    assert_true(set_cookie(&a, AML_COOKIE_BROWSER, browser));
    assert_true(header_of(&a, "Location", v));
    assert_ptr_equal(
        strstr(v, "https://" STUDIO "/auth/handoff?host=" INSTANCE "&browser="),
        v);
    snprintf(target, sizeof(target), "%s", v + strlen("https://" STUDIO));

    /* with the cookie there already it is kept */
    snprintf(line, sizeof(line), "Cookie: " AML_COOKIE_BROWSER "=%s", browser);
    a = get(s, "/.aml/sign-in?to=/lab", back);
    assert_false(set_cookie(&a, AML_COOKIE_BROWSER, v));

    /* not signed in: the form, and then here again */
    a = get(s, target, anonymous);
    assert_int_equal(a.status, 302);
    assert_true(header_of(&a, "Location", v));
    assert_ptr_equal(strstr(v, "/auth/sign-in?to=/auth/handoff?host%3D"), v);

    /* signed in: a code, which is for this browser; without its cookie there is
     * nothing, and then it is spent */
    snprintf(hand, sizeof(hand), "%s", target);
    a = get(s, hand, signed_in);
    assert_int_equal(a.status, 302);
    assert_true(header_of(&a, "Location", v));
    assert_ptr_equal(strstr(v, "https://" INSTANCE "/.aml/session?code="), v);
    snprintf(target, sizeof(target), "%s", v + strlen("https://" INSTANCE));
    a = get(s, target, at);
    assert_int_equal(a.status, 403);
    assert_false(set_cookie(&a, AML_COOKIE_SESSION, v));
    assert_int_equal(get(s, target, back).status, 302);

    a = get(s, hand, signed_in);
    assert_true(header_of(&a, "Location", v));
    snprintf(target, sizeof(target), "%s", v + strlen("https://" INSTANCE));
    a = get(s, target, back);
    assert_int_equal(a.status, 303);
    assert_true(header_of(&a, "Location", v));
    assert_string_equal(v, "/lab");
    assert_true(set_cookie(&a, AML_COOKIE_SESSION, lab_session));
    session_header(lab_session, lab_line);
    assert_int_equal(scratch_count(s->scratch, "session/"), 2);

    /* and good once: then it is tried again, once */
    a = get(s, target, back);
    assert_int_equal(a.status, 302);
    assert_true(header_of(&a, "Location", v));
    assert_string_equal(v, "/.aml/sign-in?again=1&to=/lab");
    strcat(target, "&again=1");
    assert_int_equal(get(s, target, back).status, 403);

    /* also at another instance */
    assert_int_equal(get(s, target, elsewhere).status, 403);

    /* signing out on the instance ends it everywhere */
    a = ask(s, "POST", "/.aml/sign-out", in_lab, "", 0);
    assert_int_equal(a.status, 303);
    assert_true(header_of(&a, "Location", v));
    assert_string_equal(v, "https://" STUDIO "/auth/signed-out");
    assert_non_null(strstr(a.headers, "__Host-aml=; Max-Age=0;"));
    assert_int_equal(scratch_count(s->scratch, "session/"), 0);
    assert_int_equal(scratch_count(s->scratch, "sign-in/"), 0);

    /* the page afterwards stays where it is */
    a = get(s, "/auth/signed-out", anonymous);
    assert_int_equal(a.status, 200);

    /* a session that has ended gets no code */
    snprintf(target, sizeof(target),
             "/auth/handoff?host=" INSTANCE "&browser=%064d&to=/", 0);
    a = get(s, target, signed_in);
    assert_int_equal(a.status, 302);
    assert_int_equal(scratch_count(s->scratch, "code/"), 0);
}


static void
handoff_elsewhere(void **state)
{
    static const char *const bad[] = {
        "/auth/handoff",
        "/auth/handoff?host=evil.org&browser=%064d",
        "/auth/handoff?host=aml.localhost:8443&browser=%064d",
        "/auth/handoff?host=lab1.instances.aml.localhost:443&browser=%064d",
        "/auth/handoff?host=lab1.instances.aml.localhost@e&browser=%064d",
        "/auth/handoff?host=lab1.instances.aml.localhost:8443&browser=%063d",
        "/auth/handoff?host=lab1.instances.aml.localhost:8443",
    };
    const char *const studio[] = {host_studio, NULL};
    const char *const image[] = {host_studio, "Sec-Fetch-Site: same-site",
                                 "Sec-Fetch-Mode: no-cors",
                                 "Sec-Fetch-Dest: image", NULL};
    server_t *s = *state;
    char target[512];
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(target, sizeof(target), bad[i], 0);
        assert_int_equal(get(s, target, studio).status, 404);
    }

    /* a page of an instance can't fetch codes */
    snprintf(target, sizeof(target),
             "/auth/handoff?host=" INSTANCE "&browser=%064d", 0);
    assert_int_equal(get(s, target, image).status, 403);
    assert_int_equal(get(s, target, studio).status, 302);
}


static void
sign_in_replaces(void **state)
{
    server_t *s = *state;
    char cookie[128], again[128], line[96], principal[64];
    const char *const headers[] = {host_studio, origin_studio,
                                   principal,   "X-AML-Credential: session",
                                   line,        NULL};
    amld_account_t alice;
    answer_t a;

    account(s, &alice);
    strcpy(principal, "X-AML-Principal: ");
    aml_uuid_format(&alice.principal, principal + strlen(principal));
    a = submit(s, origin_studio, host_studio, FIELDS);
    assert_true(set_cookie(&a, AML_COOKIE_SESSION, cookie));
    session_header(cookie, line);

    assert_int_equal(get(s, "/auth/sign-in?to=/x", headers).status, 302);

    a = ask(s, "POST", "/auth/sign-in", headers, FIELDS, (long) strlen(FIELDS));
    assert_int_equal(a.status, 303);
    assert_int_equal(scratch_count(s->scratch, "session/"), 1);
    assert_true(set_cookie(&a, AML_COOKIE_SESSION, again));
    assert_string_not_equal(again, cookie);
}


static void
tokens(void **state)
{
    const char *const right[] = {
        host_studio, "Authorization: Basic QWxpY2U6b3BlbiBzZXNhbWU=", NULL};
    const char *const wrong[] = {
        host_studio, "Authorization: Basic QWxpY2U6b3BlbiBzZXNhbWU2", NULL};
    const char *const none[] = {host_studio, NULL};
    const char *const instance[] = {
        host_instance, "Authorization: Basic QWxpY2U6b3BlbiBzZXNhbWU=", NULL};
    server_t *s = *state;
    amld_account_t alice;
    char v[1024], w[256];
    answer_t a;

    account(s, &alice);
    assert_int_equal(amld_issuer_tend(s->scratch->registry, &s->config,
                                      (int64_t) time(NULL)),
                     0);

    a = ask(s, "POST", "/auth/token", right, "", 0);
    assert_int_equal(a.status, 200);
    assert_string_equal(said(&a, "token_type", w), "Bearer");
    assert_non_null(strstr(a.body, "\"expires_in\":600"));
    assert_non_null(strstr(a.body, "\"access_token\":\"ey"));

    a = ask(s, "POST", "/auth/token", wrong, "", 0);
    assert_int_equal(a.status, 401);
    assert_true(header_of(&a, "WWW-Authenticate", v));
    assert_ptr_equal(strstr(v, "Basic "), v);
    assert_int_equal(ask(s, "POST", "/auth/token", none, "", 0).status, 401);
    assert_int_equal(ask(s, "POST", "/auth/token", instance, "", 0).status,
                     404);
    assert_int_equal(get(s, "/auth/token", right).status, 405);
}


/* Enough wrong ones, and everybody waits, whether there is an account. */
static void
backoff(void **state)
{
    static const char *const names[] = {"alice", "nobod"};
    server_t *s = *state;
    amld_account_t alice;
    char v[1024], fields[64];
    answer_t a[2];
    size_t i, n;

    account(s, &alice);

    for (n = 0; n < 2; n++) {
        snprintf(fields, sizeof(fields), "name=%s&password=wrong", names[n]);
        for (i = 0; i < 5; i++) {
            a[n] = submit(s, origin_studio, host_studio, fields);
            assert_int_equal(a[n].status, 403);
        }
        a[n] = submit(s, origin_studio, host_studio, fields);
        assert_int_equal(a[n].status, 429);
        assert_true(header_of(&a[n], "Retry-After", v));
        assert_string_equal(v, "1");
        assert_true(header_of(&a[n], "X-AML-Reason", v));
        assert_string_equal(v, "try_later");
    }
    assert_int_equal(a[0].body_len, a[1].body_len);

    assert_int_equal(submit(s, origin_studio, host_studio, FIELDS).status, 429);
    assert_int_equal(scratch_count(s->scratch, "session/"), 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sign_in_form, setup, teardown),
        cmocka_unit_test_setup_teardown(handoff, setup, teardown),
        cmocka_unit_test_setup_teardown(handoff_elsewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(sign_in_replaces, setup, teardown),
        cmocka_unit_test_setup_teardown(tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(backoff, setup, teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    curl_global_init(CURL_GLOBAL_DEFAULT);

    return cmocka_run_group_tests_name("sign_in", tests, NULL, NULL);
}
