#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "upstreams/host.h"

#define APPS "instances.example.org"
#define LONGEST "abcdefghijklmnopqrstuvwx" /* 24 characters */


static void
parses(void **state)
{
    static const struct {
        const char *label, *name;
        unsigned port;
    } t[] = {
        {"first-lab", "first-lab", 8888},
        {"First-LAB", "first-lab", 8888},
        {"abc", "abc", 8888},
        {"a1-b2c3", "a1-b2c3", 8888},
        {"a--b", "a--b", 8888},
        {"a-1-b", "a-1-b", 8888},
        {"lab1", "lab1", 8888},
        {"lab-8787", "lab", 8787},
        {"first-lab-22", "first-lab", 22},
        {"lab-1", "lab", 1},
        {"lab-65535", "lab", 65535},
        {"lab-8887", "lab", 8887},
        {"lab1-80", "lab1", 80},
        {LONGEST, LONGEST, 8888},
        {LONGEST "-65535", LONGEST, 65535},
    };
    char host[128];
    aml_host_t h;
    size_t i;
    int dot;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        for (dot = 0; dot < 2; dot++) {
            snprintf(host, sizeof(host), "%s." APPS "%s", t[i].label,
                     dot ? "." : "");
            if (aml_host_parse(aml_str_of(host), aml_str(APPS), &h) != 0) {
                fail_msg("%s: refused", host);
            }
            if (!aml_str_eq((aml_str_t){h.name, h.name_len},
                            aml_str_of(t[i].name)) ||
                h.port != t[i].port) {
                fail_msg("%s: %.*s port %u", host, (int) h.name_len, h.name,
                         h.port);
            }
        }
    }

    assert_int_equal(
        aml_host_parse(aml_str("LAB.Instances.Example.ORG"), aml_str(APPS), &h),
        0);
}


static void
refuses(void **state)
{
    static const char *const hosts[] = {
        "",
        ".",
        "..",
        APPS,
        "." APPS,
        ".." APPS,
        "lab." APPS "..",
        "lab.." APPS,
        "lab.x." APPS,
        "lab" APPS,
        "labx" APPS,
        "lab.example.org",
        "lab." APPS ".evil.org",
        "lab.xinstances.example.org",
        "lab." APPS ":8443",
        "127.0.0.1",
        "[::1]",

        /* names */
        "ab." APPS,
        "1ab." APPS,
        "-ab." APPS,
        "abc-." APPS,
        "ab--." APPS,
        "a_b." APPS,
        "a b." APPS,
        "a%62c." APPS,
        "a/b." APPS,
        "l\xc3\xa4"
        "b." APPS,
        "xn--." APPS,
        "\x01lab." APPS,
        LONGEST "y." APPS,
        LONGEST "y-22." APPS,

        /* ports */
        "lab-8888." APPS,
        "lab-0." APPS,
        "lab-00." APPS,
        "lab-022." APPS,
        "lab-08888." APPS,
        "lab-65536." APPS,
        "lab-70000." APPS,
        "lab-99999." APPS,
        "lab-100000." APPS,
        "lab-4294967318." APPS,
        "lab-18446744073709551638." APPS,
        "lab--22." APPS,
        "lab-22-22." APPS,
        "lab-22-." APPS,
        "ab-22." APPS,
        "-22." APPS,
        "22." APPS,
        "lab-+22." APPS,
        "lab- 22." APPS,
    };
    aml_host_t h;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        if (aml_host_parse(aml_str_of(hosts[i]), aml_str(APPS), &h) != -1) {
            fail_msg("%s: %.*s port %u", hosts[i], (int) h.name_len, h.name,
                     h.port);
        }
    }

    assert_int_equal(aml_host_parse((aml_str_t){NULL, 0}, aml_str(APPS), &h),
                     -1);
    assert_int_equal(aml_host_parse(aml_str("lab."), aml_str(""), &h), -1);
    assert_int_equal(
        aml_host_parse((aml_str_t){"la\0." APPS, sizeof("la\0." APPS) - 1},
                       aml_str(APPS), &h),
        -1);
}


static void
names(void **state)
{
    static const struct {
        const char *name;
        aml_name_rc_t rc;
    } t[] = {
        {"abc", AML_NAME_OK},
        {"A1b", AML_NAME_OK},
        {"a-1-b", AML_NAME_OK},
        {LONGEST, AML_NAME_OK},
        {"", AML_NAME_LENGTH},
        {"ab", AML_NAME_LENGTH},
        {LONGEST "y", AML_NAME_LENGTH},
        {"1ab", AML_NAME_START},
        {"-ab", AML_NAME_START},
        {"\xc3\xa4"
         "b",
         AML_NAME_START},
        {"a_b", AML_NAME_CHARACTER},
        {"a.b", AML_NAME_CHARACTER},
        {"ab\n", AML_NAME_CHARACTER},
        {"ab-", AML_NAME_DASH},
        {"a-1", AML_NAME_DASH},
        {"ab-c-22", AML_NAME_DASH},
        {"a-b-", AML_NAME_DASH},
        {"a--1", AML_NAME_DASH},
    };
    size_t i, k;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        if (aml_instance_name_check(aml_str_of(t[i].name)) != t[i].rc) {
            fail_msg("\"%s\"", t[i].name);
        }
    }

    for (i = AML_NAME_OK; i <= AML_NAME_DASH; i++) {
        for (k = AML_NAME_OK; k < i; k++) {
            assert_string_not_equal(aml_instance_name_rule((aml_name_rc_t) i),
                                    aml_instance_name_rule((aml_name_rc_t) k));
        }
    }
    assert_non_null(aml_instance_name_rule((aml_name_rc_t) 99));
}


/* Every name with every port leads back to itself, and to nothing else. */
static void
is_unambiguous(void **state)
{
    static const char alphabet[] = "aZ1-";
    static const unsigned ports[] = {1, 22, 8787, 8888, 65535};
    char name[8], host[64];
    aml_host_t h;
    unsigned n, i, k, code;

    (void) state;

    for (n = 3; n <= 6; n++) {
        for (code = 0; code < 1u << (2 * n); code++) {
            for (i = 0; i < n; i++) {
                name[i] = alphabet[(code >> (2 * i)) & 3];
            }
            name[n] = '\0';
            if (aml_instance_name_check(aml_str_of(name)) != AML_NAME_OK) {
                continue;
            }
            for (k = 0; k < sizeof(ports) / sizeof(ports[0]); k++) {
                if (ports[k] == AML_PORT_DEFAULT) {
                    snprintf(host, sizeof(host), "%s." APPS, name);
                } else {
                    snprintf(host, sizeof(host), "%s-%u." APPS, name, ports[k]);
                }
                assert_int_equal(
                    aml_host_parse(aml_str_of(host), aml_str(APPS), &h), 0);
                assert_int_equal(h.port, ports[k]);
                assert_true(aml_str_caseeq((aml_str_t){h.name, h.name_len},
                                           aml_str_of(name)));
            }
        }
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),
        cmocka_unit_test(refuses),
        cmocka_unit_test(names),
        cmocka_unit_test(is_unambiguous),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
