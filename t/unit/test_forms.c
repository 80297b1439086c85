/*
 * What values of a request look like: durations, base64, public keys of SSH.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "computes/instances/base64.h"
#include "computes/instances/ssh_key.h"
#include "computes/time/duration.h"
#include "t/unit/ssh_keys.h"


static void
durations(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds; /* -1: none */
    } cases[] = {
        {"PT30M", 1800},
        {"PT1H", 3600},
        {"P3D", 3 * 86400},
        {"P1DT12H", 129600},
        {"PT1H30M15S", 5415},
        {"PT90S", 90},
        {"pt30m", 1800},
        {"P1W", 604800},
        {"PT0M", 0},
        {"PT00015M", 900},
        {"P1WT1S", 604801},
        {"P366D", 31622400},
        {"", -1},
        {"P", -1},
        {"PT", -1},
        {"30M", -1},
        {"PT30", -1},
        {"P30M", -1},
        {"P1Y", -1},
        {"PT1.5H", -1},
        {"PT-5M", -1},
        {"PT30M ", -1},
        {" PT30M", -1},
        {"PTM", -1},
        {"PT5M5M", -1},
        {"PT5M1H", -1},
        {"P1DT", -1},
        {"PT1D", -1},
        {"P1H", -1},
        {"PTT5M", -1},
        {"P367D", -1},
        {"PT31622401S", -1},
        {"P1DT1H1D", -1},
        {"PT99999999999999999999M", -1},
        {"PT5M\n", -1},
    };
    size_t i;
    int64_t seconds;
    int rc;

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rc = amld_duration_read(cases[i].text, &seconds);
        if (rc != (cases[i].seconds < 0 ? -1 : 0) ||
            (rc == 0 && seconds != cases[i].seconds)) {
            fail_msg("\"%s\": %d, %lld", cases[i].text, rc,
                     (long long) seconds);
        }
    }
}


static void
base64(void **state)
{
    static const struct {
        const char *text, *bytes;
        int n; /* -1: none */
    } cases[] = {
        {"", "", 0},
        {"Zg==", "f", 1},
        {"Zm8=", "fo", 2},
        {"Zm9v", "foo", 3},
        {"Zm9vYg==", "foob", 4},
        {"AAAA", "\0\0\0", 3},
        {"+/+/", "\xfb\xff\xbf", 3},
        {"Zg", NULL, -1},
        {"Zg=", NULL, -1},
        {"Zh==", NULL, -1},
        {"Zm9=", NULL, -1},
        {"Zm=v", NULL, -1},
        {"=m9v", NULL, -1},
        {"Z===", NULL, -1},
        {"====", NULL, -1},
        {"Zg==Zg==", NULL, -1},
        {"Zm 9", NULL, -1},
        {"Zm9v\n", NULL, -1},
        {"-_-_", NULL, -1},
    };
    char out[32];
    size_t i, n;
    int rc;

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        n = 99;
        rc = amld_base64_decode(out, &n, cases[i].text, strlen(cases[i].text));
        if (rc != (cases[i].n < 0 ? -1 : 0) ||
            (rc == 0 &&
             (n != (size_t) cases[i].n || memcmp(out, cases[i].bytes, n) != 0 ||
              out[n] != '\0'))) {
            fail_msg("\"%s\": %d, %zu", cases[i].text, rc, n);
        }
    }
}


static void
ssh_keys(void **state)
{
    static const char *const good[] = {
        ED25519,
        P256,
        P384,
        P521,
        RSA,
        ED25519 " ann@host",
        ED25519 " a comment of words",
        ED25519 "\n",
        ED25519 " \r\n",
        "ssh-rsa  " RSA_BLOB " \xc3\xa4",
    };
    static const char *const bad[] = {
        "",
        "\n",
        "x",
        "ssh-ed25519",
        "ssh-ed25519 ",
        "ssh-ed25519 !!!!",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 " RSA_BLOB,
        "ssh-rsa " ED25519_BLOB,
        "ecdsa-sha2-nistp256 " P384_BLOB,
        "ssh-dss " RSA_BLOB,
        "ssh-ed25519\t" ED25519_BLOB,
        " " ED25519,
        ED25519_BLOB,
        "command=\"x\" " ED25519,
        "no-pty " ED25519,
        ED25519 "\n" ED25519,
        ED25519 "\rx",
        ED25519 " \x1b[31m",
        ED25519 "AAAA",
        SHORT_RSA,
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAH7pTQCPDCDaOpv6h2pWx+BFWYDJW"
         "mb5/3JKLDg/sSE=="),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5/////7pTQCPDCDaOpv6h2pWx+BFWYDJW",
        "ssh-rsa AAAAB3NzaC1yc2EAAAAAAAAAAA==",
        "ssh-rsa AAAAB3NzaC1yc2EAAAABAgAAAAEB",
    };
    char long_key[AMLD_SSH_KEY_MAX + 128], off[sizeof(P256)];
    const char *why;
    size_t i, n;

    (void) state;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        why = amld_ssh_key_fault(good[i], &n);
        if (why != NULL) {
            fail_msg("%s: %s", good[i], why);
        }
    }
    assert_null(amld_ssh_key_fault(ED25519 " x \r\n", &n));
    assert_int_equal(n, strlen(ED25519 " x"));

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why = amld_ssh_key_fault(bad[i], &n);
        if (why == NULL || why[0] == '\0') {
            fail_msg("%s: is good", bad[i]);
        }
    }

    /* beside its curve, by one bit of y */
    strcpy(off, P256);
    off[strlen(off) - 3] = off[strlen(off) - 3] == 'A' ? 'B' : 'A';
    assert_string_equal(amld_ssh_key_fault(off, &n),
                        "is no point of its curve");

    memset(long_key, 'x', sizeof(long_key));
    memcpy(long_key, ED25519 " ", strlen(ED25519 " "));
    long_key[AMLD_SSH_KEY_MAX] = '\0';
    assert_null(amld_ssh_key_fault(long_key, &n));
    long_key[AMLD_SSH_KEY_MAX] = 'x';
    long_key[AMLD_SSH_KEY_MAX + 1] = '\0';
    assert_string_equal(amld_ssh_key_fault(long_key, &n),
                        "is longer than a key can be");
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),
        cmocka_unit_test(base64),
        cmocka_unit_test(ssh_keys),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("forms", tests, NULL, NULL);
}
