/*
 * Pages: whatever is put in is text; what is asked for is understood or not
 * followed.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "auth/assets.h"
#include "auth/pages.h"
#include "auth/sign_in.h"
#include "computes/http/http_internal.h"

#define EVIL "\"><script>alert('x')</script>&amp;\x01%s%n"
#define EVIL_ESCAPED                                                           \
    "&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;amp;"       \
    "\xef\xbf\xbd%s%n"


static amld_config_t *
settings(void)
{
    static char studio[] = "https://aml.localhost:8443",
                host[] = "aml.localhost", apps[] = "instances.aml.localhost",
                port[] = ":8443";
    static amld_config_t c;

    c.studio = studio;
    c.studio_host = host;
    c.apps = apps;
    c.apps_port = port;
    c.local_sign_in = 1;

    return &c;
}


static const char *
header(const amld_response_t *r, const char *name)
{
    size_t i;

    for (i = 0; i < r->header_count; i++) {
        if (strcmp(r->header[i].name, name) == 0) {
            return r->header[i].value;
        }
    }

    return NULL;
}


/* Nothing of EVIL is left as markup, and the policy is strict. */
static void
safe(amld_response_t *r, unsigned status)
{
    const char *policy = header(r, "Content-Security-Policy");

    assert_false(r->failed);
    assert_int_equal(r->status, status);
    assert_non_null(strstr(r->body, EVIL_ESCAPED));
    assert_null(strstr(r->body, "<script>"));
    assert_null(strstr(r->body, "('x')"));
    assert_null(strstr(r->body, "\x01"));
    assert_null(strstr(r->body, "style="));

    assert_non_null(policy);
    assert_ptr_equal(strstr(policy, "default-src 'none'"), policy);
    assert_null(strstr(policy, "unsafe"));
    assert_non_null(strstr(policy, "frame-ancestors 'none'"));
    assert_non_null(strstr(policy, "base-uri 'none'"));
    assert_non_null(strstr(policy, "form-action 'self' "
                                   "https://aml.localhost:8443 "
                                   "https://*.instances.aml.localhost:8443;"));
    assert_string_equal(header(r, "X-Frame-Options"), "DENY");
    assert_string_equal(header(r, "Referrer-Policy"), "same-origin");

    amld_http_response_clear(r);
}


static void
escaping(void **state)
{
    static const char *const table[][2] = {
        {"", ""},
        {"plain", "plain"},
        {"<", "&lt;"},
        {"a&b", "a&amp;b"},
        {"'\"", "&#39;&quot;"},
        {"&lt;", "&amp;lt;"},
        {"\xc3\xa9\t\n", "\xc3\xa9\t\n"},
        {"\x7f\x1b[0m", "\xef\xbf\xbd\xef\xbf\xbd[0m"},
        {EVIL, EVIL_ESCAPED},
    };
    amld_html_t html = {0};
    char want[256];
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        amld_html(&html, "[%s|100%%]", table[i][0]);
        snprintf(want, sizeof(want), "[%s|100%%]", table[i][1]);
        assert_string_equal(html.text, want);
        amld_html_free(&html);
    }

    for (i = 0; i < 5000; i++) {
        amld_html(&html, "%s", "<");
    }
    assert_int_equal(html.n, 5000 * 4);
    assert_false(html.failed);
    amld_html_free(&html);

    amld_html(&html, "%d", "no such thing");
    assert_true(html.failed);
    amld_html_free(&html);
}


static void
every_page(void **state)
{
    amld_t d = {.config = settings()};
    amld_page_instance_t i = {.name = EVIL,
                              .id = EVIL,
                              .host = "lab.instances.aml.localhost:8443",
                              .state = AML_INSTANCE_RUNNING};
    amld_response_t r;

    (void) state;
    memset(&r, 0, sizeof(r));

    amld_page_sign_in(&d, &r, 403, EVIL, EVIL, "", NULL);
    safe(&r, 403);
    amld_page_sign_in(&d, &r, 200, NULL, "/", EVIL, NULL);
    safe(&r, 200);
    amld_page_sign_in(&d, &r, 200, NULL, "/", "", EVIL);
    safe(&r, 200);
    amld_page_message(&d, &r, AMLD_SITE_INSTANCE, 404, NULL, EVIL, "", NULL,
                      NULL);
    safe(&r, 404);
    amld_page_message(&d, &r, AMLD_SITE_STUDIO, 404, EVIL, "", EVIL, "/", "ok");
    safe(&r, 404);
    amld_page_message(&d, &r, AMLD_SITE_STUDIO, 404, NULL, "", "", EVIL, EVIL);
    safe(&r, 404);
    amld_page_studio(&d, &r, EVIL, NULL, 0);
    safe(&r, 200);
    amld_page_studio(&d, &r, "alice", &i, 1);
    safe(&r, 200);

    amld_page_sign_in(&d, &r, 200, NULL, "/lab", "", NULL);
    assert_non_null(strstr(r.body, "<label>Name"));
    assert_non_null(strstr(r.body, "<label>Password"));
    assert_non_null(strstr(r.body, "name=\"to\" value=\"/lab\""));
    assert_null(strstr(r.body, "role=\"alert\""));

    r.request = "0a1b";
    amld_page_message(&d, &r, AMLD_SITE_STUDIO, 404, "host_unknown", "", "",
                      NULL, NULL);
    assert_non_null(strstr(r.body, "Reason: <code>host_unknown</code><br>"
                                   "Request: <code>0a1b</code>"));
    amld_http_response_clear(&r);
}


static void
assets(void **state)
{
    aml_str_t style = amld_asset_style(), studio = amld_asset_studio();

    (void) state;

    assert_true(style.n > 100 && studio.n > 100);
    assert_non_null(strstr(style.p, "prefers-color-scheme: dark"));
    assert_int_equal(style.p[style.n], '\0');
    assert_int_equal(studio.p[studio.n], '\0');
    assert_memory_equal(studio.p, "'use strict';", 13);
}


static void
local_paths(void **state)
{
    static const char *const bad[] = {
        "",         "lab",          "//evil.org",       "/\\evil.org",
        "\\\\evil", "https://e",    "/\t/evil",         "/a\r\nX: y",
        "/a b",     "/caf\xc3\xa9", "javascript:alert", "/x\\y",
        " /",       "/\x7f",
    };
    static const char *const good[] = {"/", "/lab/tree/a%20b.ipynb?x=1&y=%2F",
                                       "/a//b", "/#top", "/x?to=//evil.org"};
    char longest[2050];
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_string_equal(amld_sign_in_local(bad[i]), "/");
    }
    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_string_equal(amld_sign_in_local(good[i]), good[i]);
    }
    assert_string_equal(amld_sign_in_local(NULL), "/");

    memset(longest, '/', sizeof(longest));
    longest[1] = 'a';
    longest[2049] = '\0';
    assert_string_equal(amld_sign_in_local(longest), "/");
    longest[2048] = '\0';
    assert_string_equal(amld_sign_in_local(longest), longest);
}


/* On the way through the studio, however often it is encoded. */
static void
packing(void **state)
{
    char to[AMLD_TO_MAX + 2], packed[AMLD_TO_PACKED_SIZE], again[8192],
        handoff[4098], room[AMLD_TO_MAX + 1];
    size_t n;

    (void) state;

    for (n = 1; n <= AMLD_TO_MAX; n++) {
        memset(to, '%', n);
        to[0] = '/';
        to[n] = '\0';
        assert_int_equal(amld_sign_in_pack(packed, to), 0);
        assert_string_equal(amld_sign_in_unpack(packed, room), to);
    }

    snprintf(handoff, sizeof(handoff), "/auth/handoff?host=h&back=%s", packed);
    assert_string_equal(amld_sign_in_local(handoff), handoff);
    assert_int_equal(amld_sign_in_encode(again, sizeof(again), handoff), 0);
    assert_true(strlen(again) < strlen(handoff) + 16);

    to[n] = '\0';
    to[n - 1] = 'x';
    assert_int_equal(amld_sign_in_pack(packed, to), -1);

    memset(handoff + 14, 'a', 4097 - 14);
    handoff[4097] = '\0';
    assert_string_equal(amld_sign_in_local(handoff), "/");
    handoff[4096] = '\0';
    assert_string_equal(amld_sign_in_local(handoff), handoff);

    /* what is none, or leads elsewhere: "L2EAYg" has a NUL in it */
    assert_string_equal(amld_sign_in_unpack("", room), "/");
    assert_string_equal(amld_sign_in_unpack("L2E=", room), "/");
    assert_string_equal(amld_sign_in_unpack("L2EAYg", room), "/");
    assert_string_equal(amld_sign_in_unpack("Ly9ldmls", room), "/");
    assert_string_equal(amld_sign_in_unpack(handoff + 14, room), "/");
}


static void
encoding(void **state)
{
    amld_http_pairs_t pairs = {0};
    char dst[512], again[520];
    const char *text = "/lab?a=1&b=%2F#x+y \"'<>\xc3\xa9";

    (void) state;

    assert_int_equal(amld_sign_in_encode(dst, sizeof(dst), text), 0);
    assert_null(strpbrk(dst, "&#+ \"<>="));

    snprintf(again, sizeof(again), "to=%s", dst);
    assert_int_equal(amld_http_parse_pairs(&pairs, again, strlen(again)), 0);
    assert_string_equal(pairs.pair[0].value, text);
    amld_http_pairs_free(&pairs);

    assert_int_equal(amld_sign_in_encode(dst, 8, "/aaaaaaaa"), -1);
}


static void
instances(void **state)
{
    static const char *const bad[] = {
        "",
        "aml.localhost:8443",
        "instances.aml.localhost:8443",
        "lab1.instances.aml.localhost",
        "lab1.instances.aml.localhost:443",
        "lab1.instances.aml.localhost:8443:8443",
        "lab1.instances.aml.localhost:8443@evil.org",
        "lab1.evil.org:8443",
        "a.lab1.instances.aml.localhost:8443",
        "lab1-8888.instances.aml.localhost:8443",
        "lab1-99999.instances.aml.localhost:8443",
        "1lab.instances.aml.localhost:8443",
        "lab1.instances.aml.localhost:8443/x",
    };
    const amld_config_t *c = settings();
    char authority[AMLD_AUTHORITY_SIZE], host[AMLD_AUTHORITY_SIZE];
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(amld_sign_in_instance(c, bad[i], authority, host), -1);
    }

    assert_int_equal(amld_sign_in_instance(c,
                                           "Lab1.Instances.aml.localhost:8443",
                                           authority, host),
                     0);
    assert_string_equal(authority, "lab1.instances.aml.localhost:8443");
    assert_string_equal(host, "lab1.instances.aml.localhost");

    assert_int_equal(
        amld_sign_in_instance(c, "lab1-8787.instances.aml.localhost:8443",
                              authority, host),
        0);
    assert_string_equal(host, "lab1-8787.instances.aml.localhost");
}


static void
basic(void **state)
{
    static const char *const bad[] = {
        NULL,
        "",
        "Basic",
        "Basic ",
        "Bearer YWxpY2U6eA==",
        "Basic YWxpY2U=",      /* no colon */
        "Basic YWxpY2U6eA=",   /* cut */
        "Basic YWxpY2U6eA",    /* without padding */
        "Basic YWxp=2U6eA==",  /* padding in the middle */
        "Basic YWxpY2U6eA===", /* too much of it */
        "Basic ====",
        "Basic YWxp Y2U6eA==",
        "Basic YWxpY2U6AHg=", /* a NUL */
        "Basic YWxpY2U6_-==",
    };
    const char *name, *password;
    char room[64], header_text[128];
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(
            amld_sign_in_basic(bad[i], room, sizeof(room), &name, &password),
            -1);
    }

    assert_int_equal(amld_sign_in_basic("bAsIc YWxpY2U6b3BlbjpzZXNhbWU=", room,
                                        sizeof(room), &name, &password),
                     0);
    assert_string_equal(name, "alice");
    assert_string_equal(password, "open:sesame");

    /* longer than there is room for */
    memset(header_text, 'Y', sizeof(header_text));
    memcpy(header_text, "Basic ", 6);
    header_text[6 + 96] = '\0';
    assert_int_equal(
        amld_sign_in_basic(header_text, room, sizeof(room), &name, &password),
        -1);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escaping),  cmocka_unit_test(every_page),
        cmocka_unit_test(assets),    cmocka_unit_test(local_paths),
        cmocka_unit_test(packing),   cmocka_unit_test(encoding),
        cmocka_unit_test(instances), cmocka_unit_test(basic),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
