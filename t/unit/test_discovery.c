/*
 * What providers say of themselves: what is taken, and what is not believed.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/discovery.h"

#define ISS "https://id.example.org/realm"
#define HEAD "\"issuer\":\"" ISS "\",\"jwks_uri\":\"https://id.example.org/k\""


/* A copy that is exactly as long as it says, for the sanitizer. */
static const char *
parse_any(const char *text, const char *issuer, const char *any,
          amld_discovery_t *d)
{
    size_t n = strlen(text);
    char *copy = malloc(n + (n == 0));
    const char *wrong;

    assert_non_null(copy);
    memcpy(copy, text, n);
    wrong = amld_discovery_parse(copy, n, issuer, any, d);
    free(copy);

    return wrong;
}


static const char *
parse(const char *text, amld_discovery_t *d)
{
    return parse_any(text, ISS, NULL, d);
}


static void
whole(void **state)
{
    static const char text[] =
        "{" HEAD ","
        "\"authorization_endpoint\":\"https://id.example.org/auth?x=y\","
        "\"token_endpoint\":\"https://id.example.org:8443/token\","
        "\"userinfo_endpoint\":\"https://id.example.org/me\","
        "\"end_session_endpoint\":\"https://id.example.org/out\","
        "\"code_challenge_methods_supported\":[\"plain\",\"S256\"],"
        "\"token_endpoint_auth_methods_supported\":[\"client_secret_post\"],"
        "\"authorization_response_iss_parameter_supported\":true,"
        "\"something_else\":{\"a\":[]}}";
    amld_discovery_t d, copy;

    (void) state;

    assert_null(parse(text, &d));
    assert_int_equal(amld_discovery_copy(&copy, &d), 0);
    amld_discovery_clear(&d);

    assert_string_equal(copy.issuer, ISS);
    assert_string_equal(copy.jwks_uri, "https://id.example.org/k");
    assert_string_equal(copy.authorization_endpoint,
                        "https://id.example.org/auth?x=y");
    assert_string_equal(copy.token_endpoint,
                        "https://id.example.org:8443/token");
    assert_string_equal(copy.userinfo_endpoint, "https://id.example.org/me");
    assert_string_equal(copy.end_session_endpoint,
                        "https://id.example.org/out");
    assert_false(copy.no_s256);
    assert_true(copy.iss_parameter);
    assert_false(copy.basic);
    amld_discovery_clear(&copy);
    amld_discovery_clear(&copy);
}


static void
little(void **state)
{
    amld_discovery_t d;

    (void) state;

    assert_null(parse("{" HEAD "}", &d));
    assert_null(d.authorization_endpoint);
    assert_null(d.token_endpoint);
    assert_null(d.userinfo_endpoint);
    assert_null(d.end_session_endpoint);
    assert_false(d.no_s256);
    assert_false(d.iss_parameter);
    assert_true(d.basic); /* the default of Discovery section 3 */
    amld_discovery_clear(&d);

    /* of a wrong type is as if it were not there */
    assert_null(parse("{" HEAD ",\"token_endpoint\":[\"https://a.b/\"],"
                      "\"code_challenge_methods_supported\":\"S256\","
                      "\"authorization_response_iss_parameter_supported\":"
                      "\"true\"}",
                      &d));
    assert_null(d.token_endpoint);
    assert_false(d.no_s256);
    assert_false(d.iss_parameter);
    amld_discovery_clear(&d);

    assert_null(parse(
        "{" HEAD ",\"code_challenge_methods_supported\":[\"plain\"]}", &d));
    assert_true(d.no_s256);
    amld_discovery_clear(&d);
}


static void
issuers(void **state)
{
    static const char *const others[] = {
        "https://id.example.org/realm/", "https://id.example.org/Realm",
        "https://ID.example.org/realm",  "https://id.example.org:443/realm",
        "http://id.example.org/realm",   "https://id.example.org/realm ",
        "https://id.example.org",        "",
        "https://evil.example.org/realm"};
    amld_discovery_t d;
    char text[256];
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        snprintf(text, sizeof(text),
                 "{\"issuer\":\"%s\",\"jwks_uri\":\"https://a.b/\"}",
                 others[i]);
        if (parse(text, &d) == NULL) {
            fail_msg("taken: %s", others[i]);
        }
        assert_null(d.jwks_uri);
        amld_discovery_clear(&d);
    }

    assert_non_null(parse("{\"jwks_uri\":\"https://a.b/\"}", &d));
    amld_discovery_clear(&d);
    assert_non_null(
        parse("{\"issuer\":[\"" ISS "\"],\"jwks_uri\":\"https://a.b/\"}", &d));
    amld_discovery_clear(&d);
}


/* Entra's metadata of all tenants has a template. */
static void
templates(void **state)
{
    static const char text[] =
        "{\"issuer\":\"https://e.example/{tenantid}/v2.0\","
        "\"jwks_uri\":\"https://e.example/k\"}";
    amld_discovery_t d;

    (void) state;

    assert_non_null(parse_any(text, "https://e.example/1/v2.0", NULL, &d));
    amld_discovery_clear(&d);
    assert_non_null(parse_any(text, "https://e.example/1/v2.0",
                              "https://other.example/{tenantid}/v2.0", &d));
    amld_discovery_clear(&d);
    assert_null(parse_any(text, "https://e.example/1/v2.0",
                          "https://e.example/{tenantid}/v2.0", &d));
    assert_string_equal(d.issuer, "https://e.example/1/v2.0");
    amld_discovery_clear(&d);
}


static void
addresses(void **state)
{
    static const char *const bad[] = {"http://a.b/",
                                      "HTTPS://a.b/",
                                      "https://",
                                      "https:///a",
                                      "https://?a",
                                      "https://#",
                                      "//a.b/",
                                      "/a",
                                      "javascript:alert(1)",
                                      "https://a.b/ c",
                                      "https://a.b/\\n",
                                      "https://a.b/\\u00e9",
                                      "https://user@a.b/",
                                      "https://u:p@a.b/",
                                      "https://a.b\\\\@c.d/",
                                      "https://a.b/\\u007f"};
    static const char *const good[] = {"https://a.b", "https://a.b/@c",
                                       "https://a.b?c=@d",
                                       "https://[::1]:8443/a"};
    amld_discovery_t d;
    char text[512], *longest;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        /* needed */
        snprintf(text, sizeof(text),
                 "{\"issuer\":\"" ISS "\",\"jwks_uri\":"
                 "\"%s\"}",
                 bad[i]);
        if (parse(text, &d) == NULL) {
            fail_msg("taken: %s", bad[i]);
        }
        amld_discovery_clear(&d);

        /* and not */
        snprintf(text, sizeof(text),
                 "{" HEAD ",\"end_session_endpoint\":\"%s\","
                 "\"authorization_endpoint\":\"%s\"}",
                 bad[i], bad[i]);
        assert_null(parse(text, &d));
        assert_null(d.end_session_endpoint);
        assert_null(d.authorization_endpoint);
        amld_discovery_clear(&d);
    }

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(text, sizeof(text),
                 "{\"issuer\":\"" ISS "\",\"jwks_uri\":"
                 "\"%s\"}",
                 good[i]);
        if (parse(text, &d) != NULL) {
            fail_msg("not taken: %s", good[i]);
        }
        assert_string_equal(d.jwks_uri, good[i]);
        amld_discovery_clear(&d);
    }

    longest = calloc(1, 4096);
    strcpy(longest, "{\"issuer\":\"" ISS "\",\"jwks_uri\":\"https://a.b/");
    memset(longest + strlen(longest), 'c', 2048);
    strcat(longest, "\"}");
    assert_non_null(parse(longest, &d));
    amld_discovery_clear(&d);
    free(longest);
}


static void
forms(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "{" HEAD "}x",
        "<html>",
        "null",
        "{" HEAD ",\"issuer\":\"" ISS "\"}",
        "{" HEAD ",\"x\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}",
        "{\"issuer\":\"" ISS "\"}",
        "{\"issuer\":\"" ISS "\",\"jwks_uri\":null}"};
    amld_discovery_t d;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (parse(bad[i], &d) == NULL) {
            fail_msg("taken: %s", bad[i]);
        }
        amld_discovery_clear(&d);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),     cmocka_unit_test(little),
        cmocka_unit_test(issuers),   cmocka_unit_test(templates),
        cmocka_unit_test(addresses), cmocka_unit_test(forms),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
