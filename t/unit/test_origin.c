#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/origin.h"

#define HOST "lab.instances.example.org:8443"
#define OWN "https://" HOST
#define SIBLING "https://evil.instances.example.org:8443"


static aml_origin_t
make(const char *method, const char *host, const char *origin, const char *site,
     const char *mode, const char *dest, int websocket)
{
    return (aml_origin_t){aml_str_of(method), aml_str_of(host),
                          aml_str_of(origin), aml_str_of(site),
                          aml_str_of(mode),   aml_str_of(dest),
                          websocket,          0};
}


/* Frames may come from elsewhere, and nothing else may that could not. */
static void
embeddable(void **state)
{
    static const struct {
        int allowed;
        const char *method, *origin, *site, *mode, *dest;
        int websocket;
    } t[] = {
        {1, "GET", "", "same-site", "navigate", "iframe", 0},
        {1, "GET", "", "cross-site", "navigate", "iframe", 0},
        {1, "HEAD", "", "same-site", "navigate", "iframe", 0},
        {0, "POST", SIBLING, "same-site", "navigate", "iframe", 0},
        {0, "POST", "", "same-site", "navigate", "iframe", 0},
        {0, "GET", "", "same-site", "navigate", "embed", 0},
        {0, "GET", "", "same-site", "navigate", "object", 0},
        {0, "GET", "", "same-site", "cors", "iframe", 0},
        {0, "GET", "", "same-site", "no-cors", "iframe", 0},
        {0, "GET", SIBLING, "same-site", "cors", "empty", 0},
        {0, "GET", SIBLING, "same-site", "websocket", "iframe", 1},
        {0, "GET", "", "same-site", "navigate", "iframe", 1},
    };
    aml_origin_t o;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        o = make(t[i].method, HOST, t[i].origin, t[i].site, t[i].mode,
                 t[i].dest, t[i].websocket);
        assert_false(t[i].allowed && aml_origin_allowed(&o));
        o.embeddable = 1;
        assert_int_equal(aml_origin_allowed(&o), t[i].allowed);
    }
}


static void
allows(void **state)
{
    static const struct {
        int allowed;
        const char *method, *origin, *site, *mode, *dest;
        int websocket;
    } t[] = {
        /* reading: old clients and programs say nothing */
        {1, "GET", "", "", "", "", 0},
        {1, "HEAD", "", "", "", "", 0},
        {1, "OPTIONS", "", "", "", "", 0},
        {1, "GET", "", "same-origin", "cors", "empty", 0},
        {1, "GET", OWN, "same-origin", "cors", "empty", 0},
        {1, "GET", "", "none", "no-cors", "empty", 0},
        {0, "GET", "", "same-site", "cors", "empty", 0},
        {0, "GET", "", "cross-site", "no-cors", "image", 0},
        {0, "GET", "", "same-site", "no-cors", "script", 0},
        {0, "GET", SIBLING, "", "", "", 0},
        {0, "GET", SIBLING, "same-origin", "cors", "empty", 0},
        {0, "GET", "null", "", "", "", 0},
        {0, "OPTIONS", SIBLING, "same-site", "cors", "empty", 0},

        /* a link may lead here from anywhere, a frame may not */
        {1, "GET", "", "none", "navigate", "document", 0},
        {1, "GET", "", "same-site", "navigate", "document", 0},
        {1, "GET", "", "cross-site", "navigate", "document", 0},
        {1, "HEAD", "", "cross-site", "navigate", "document", 0},
        {0, "GET", "", "same-site", "navigate", "iframe", 0},
        {0, "GET", "", "cross-site", "navigate", "embed", 0},
        {0, "GET", "", "cross-site", "navigate", "", 0},
        {0, "GET", "", "cross-site", "", "document", 0},
        {0, "GET", "", "cross-site", "Navigate", "document", 0},
        {1, "GET", "", "same-origin", "navigate", "iframe", 0},
        {0, "OPTIONS", "", "cross-site", "navigate", "document", 0},

        /* changing: a form from elsewhere is a navigation too */
        {0, "POST", "", "", "", "", 0},
        {0, "DELETE", "", "", "", "", 0},
        {0, "BREW", "", "", "", "", 0},
        {0, "", "", "", "", "", 0},
        {0, "get", "", "", "", "", 0},
        {1, "POST", OWN, "", "", "", 0},
        {1, "POST", "", "same-origin", "", "", 0},
        {1, "PUT", OWN, "same-origin", "cors", "empty", 0},
        {1, "POST", OWN, "same-origin", "navigate", "document", 0},
        {0, "POST", "", "none", "navigate", "document", 0},
        {0, "POST", OWN, "none", "", "", 0},
        {0, "POST", OWN, "same-site", "", "", 0},
        {0, "POST", OWN, "cross-site", "navigate", "document", 0},
        {0, "POST", SIBLING, "same-origin", "", "", 0},
        {0, "POST", SIBLING, "", "", "", 0},
        {0, "POST", "null", "", "", "", 0},
        {0, "POST", "null", "same-origin", "", "", 0},
        {0, "PATCH", SIBLING, "same-site", "navigate", "document", 0},
        {0, "POST", OWN, "Same-Origin", "", "", 0},
        {0, "POST", OWN, "same-origin, same-origin", "", "", 0},
        {0, "POST", OWN, "same-origin ", "", "", 0},

        /* what only looks like the origin */
        {1, "POST", "https://LAB.instances.example.org:8443", "", "", "", 0},
        {0, "POST", "http://" HOST, "", "", "", 0},
        {0, "POST", "HTTPS://" HOST, "", "", "", 0},
        {0, "POST", "https://lab.instances.example.org", "", "", "", 0},
        {0, "POST", "https://lab.instances.example.org:443", "", "", "", 0},
        {0, "POST", OWN "/", "", "", "", 0},
        {0, "POST", OWN ".", "", "", "", 0},
        {0, "POST", OWN "3", "", "", "", 0},
        {0, "POST", OWN " https://x", "", "", "", 0},
        {0, "POST", "https://x@" HOST, "", "", "", 0},
        {0, "POST", "https://", "", "", "", 0},
        {0, "POST", HOST, "", "", "", 0},

        /* websockets: a GET that CORS does not hold back */
        {0, "GET", "", "", "", "", 1},
        {1, "GET", OWN, "", "", "", 1},
        {1, "GET", OWN, "same-origin", "websocket", "websocket", 1},
        {1, "GET", "", "same-origin", "", "", 1},
        {0, "GET", SIBLING, "", "", "", 1},
        {0, "GET", SIBLING, "same-site", "websocket", "websocket", 1},
        {0, "GET", "null", "cross-site", "websocket", "websocket", 1},
        {0, "GET", "", "cross-site", "navigate", "document", 1},
        {0, "GET", SIBLING, "", "navigate", "document", 1},
    };
    aml_origin_t o;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        o = make(t[i].method, HOST, t[i].origin, t[i].site, t[i].mode,
                 t[i].dest, t[i].websocket);
        if (aml_origin_allowed(&o) != t[i].allowed) {
            fail_msg("%s origin \"%s\" site \"%s\" mode \"%s\" dest \"%s\" "
                     "ws %d: %d",
                     t[i].method, t[i].origin, t[i].site, t[i].mode, t[i].dest,
                     t[i].websocket, !t[i].allowed);
        }
    }

    /* No host, no origin that could be its. */
    o = make("POST", "", "https://", "", "", "", 0);
    assert_int_equal(aml_origin_allowed(&o), 0);
}


static void
pages(void **state)
{
    static const struct {
        int page;
        const char *method, *mode, *accept, *with;
        int websocket;
    } t[] = {
        {1, "GET", "navigate", "", "", 0},
        {1, "HEAD", "navigate", "text/html", "", 0},
        {0, "GET", "cors", "text/html", "", 0},
        {0, "GET", "no-cors", "text/html", "", 0},
        {0, "GET", "same-origin", "text/html", "", 0},
        {0, "POST", "navigate", "text/html", "", 0},
        {0, "OPTIONS", "", "text/html", "", 0},
        {0, "GET", "navigate", "text/html", "", 1},
        {0, "GET", "", "text/html", "", 1},
        {1, "GET", "", "text/html", "", 0},
        {1, "GET", "", "text/html,application/xhtml+xml,*/*;q=0.8", "", 0},
        {1, "GET", "", "application/xml , Text/HTML;q=0.9", "", 0},
        {1, "GET", "", "application/xml,\ttext/html ;q=0.9", "", 0},
        {0, "GET", "", "", "", 0},
        {0, "GET", "", "*/*", "", 0},
        {0, "GET", "", "text/*", "", 0},
        {0, "GET", "", "application/json", "", 0},
        {0, "GET", "", "text/htmlx", "", 0},
        {0, "GET", "", "xtext/html", "", 0},
        {0, "GET", "", "a/b;x=text/html", "", 0},
        {0, "GET", "", ",,;,", "", 0},
        {0, "GET", "", "text/html", "XMLHttpRequest", 0},
        {0, "GET", "", "text/html", "xmlhttprequest", 0},
        {1, "GET", "", "text/html", "com.example.webview", 0},
    };
    aml_origin_t o;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        o = make(t[i].method, HOST, "", "", t[i].mode, "", t[i].websocket);
        if (aml_origin_is_page(&o, aml_str_of(t[i].accept),
                               aml_str_of(t[i].with)) != t[i].page) {
            fail_msg("%s mode \"%s\" accept \"%s\" with \"%s\": %d",
                     t[i].method, t[i].mode, t[i].accept, t[i].with,
                     !t[i].page);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allows),
        cmocka_unit_test(embeddable),
        cmocka_unit_test(pages),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
