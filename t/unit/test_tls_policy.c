#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "auth/str.h"
#include "tls/policy.h"

#define SNIPPET "tls/aml-tls.conf" /* tests run at the root */
#define GOOD "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305"

#define OLD (SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1)


static void
add_certificate(SSL_CTX *ctx)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();

    assert_non_null(key);
    assert_non_null(cert);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    assert_int_not_equal(X509_sign(cert, key, EVP_sha256()), 0);
    assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
    X509_free(cert);
    EVP_PKEY_free(key);
}


static void
judges(void **state)
{
    /* nginx: bounds 0 and options; others: bounds */
    static const struct {
        aml_tls_rc_t rc;
        const char *what;
        int min, max;
        uint64_t options;
        const char *ciphers;
    } t[] = {
        {AML_TLS_OK, "", 0, 0, OLD, GOOD},
        {AML_TLS_OK, "", TLS1_2_VERSION, 0, 0, GOOD},
        {AML_TLS_OK, "", TLS1_2_VERSION, TLS1_2_VERSION, 0, GOOD},
        {AML_TLS_OK, "", TLS1_2_VERSION, TLS1_3_VERSION, OLD, GOOD},
        {AML_TLS_OK, "", TLS1_1_VERSION, 0, SSL_OP_NO_TLSv1_1, GOOD},
        {AML_TLS_PROTOCOL, "TLSv1", 0, 0, 0, GOOD},
        {AML_TLS_PROTOCOL, "TLSv1", 0, 0, SSL_OP_NO_SSLv3, GOOD},
        {AML_TLS_PROTOCOL, "TLSv1", 0, 0, OLD & ~SSL_OP_NO_TLSv1, GOOD},
        {AML_TLS_PROTOCOL, "TLSv1.1", 0, 0, OLD & ~SSL_OP_NO_TLSv1_1, GOOD},
        {AML_TLS_PROTOCOL, "TLSv1", TLS1_VERSION, 0, 0, GOOD},
        {AML_TLS_PROTOCOL, "TLSv1.1", TLS1_1_VERSION, 0, 0, GOOD},
        {AML_TLS_PROTOCOL, "TLSv1", TLS1_VERSION, TLS1_VERSION, 0, GOOD},
        {AML_TLS_PROTOCOL, "TLSv1.1", TLS1_VERSION, 0, SSL_OP_NO_TLSv1, GOOD},

        /* A level that forbids TLS 1.0 today is no excuse for saying it. */
        {AML_TLS_PROTOCOL, "TLSv1", 0, 0, 0, GOOD ":@SECLEVEL=2"},
        {AML_TLS_PROTOCOL, "TLSv1", 0, 0, 0, GOOD ":@SECLEVEL=0"},

        {AML_TLS_OK, "", TLS1_2_VERSION, 0, 0, "DHE-RSA-AES128-GCM-SHA256"},
        {AML_TLS_OK, "", TLS1_2_VERSION, 0, 0, "ECDHE-ECDSA-AES128-CCM"},
        {AML_TLS_CIPHER, "ECDHE-RSA-AES128-SHA", TLS1_2_VERSION, 0, 0,
         GOOD ":ECDHE-RSA-AES128-SHA"},
        {AML_TLS_CIPHER, "ECDHE-RSA-AES256-SHA384", TLS1_2_VERSION, 0, 0,
         "ECDHE-RSA-AES256-SHA384:" GOOD},
        {AML_TLS_CIPHER, "AES128-GCM-SHA256", TLS1_2_VERSION, 0, 0,
         GOOD ":AES128-GCM-SHA256"},
        {AML_TLS_CIPHER, "AES256-SHA", TLS1_2_VERSION, 0, 0, "AES256-SHA"},
        {AML_TLS_CIPHER, "ADH-AES128-GCM-SHA256", TLS1_2_VERSION, 0, 0,
         GOOD ":ADH-AES128-GCM-SHA256:@SECLEVEL=0"},
        {AML_TLS_CIPHER, "DHE-DSS-AES128-GCM-SHA256", TLS1_2_VERSION, 0, 0,
         GOOD ":DHE-DSS-AES128-GCM-SHA256"},
        {AML_TLS_CIPHER, "ECDHE-PSK-CHACHA20-POLY1305", TLS1_2_VERSION, 0, 0,
         GOOD ":ECDHE-PSK-CHACHA20-POLY1305"},
        {AML_TLS_CIPHER, "PSK-AES128-GCM-SHA256", TLS1_2_VERSION, 0, 0,
         GOOD ":PSK-AES128-GCM-SHA256"},
        {AML_TLS_CIPHER, "ECDHE-ECDSA-NULL-SHA", TLS1_2_VERSION, 0, 0,
         GOOD ":ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"},
        {AML_TLS_CIPHER, NULL, TLS1_2_VERSION, 0, 0, "HIGH:!aNULL:!MD5"},
        {AML_TLS_CIPHER, NULL, TLS1_2_VERSION, 0, 0, "DEFAULT"},

        /* What TLS 1.3 alone never uses does no harm. */
        {AML_TLS_OK, "", TLS1_3_VERSION, 0, 0, "HIGH:!aNULL:!MD5"},
        {AML_TLS_OK, "", 0, 0, OLD | SSL_OP_NO_TLSv1_2, "AES128-SHA"},
    };
    char what[64];
    SSL_CTX *ctx;
    size_t i;
    aml_tls_rc_t rc;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        ctx = SSL_CTX_new(TLS_server_method());
        assert_non_null(ctx);
        assert_int_equal(SSL_CTX_set_min_proto_version(ctx, t[i].min), 1);
        assert_int_equal(SSL_CTX_set_max_proto_version(ctx, t[i].max), 1);
        SSL_CTX_clear_options(ctx, OLD | SSL_OP_NO_TLSv1_2);
        SSL_CTX_set_options(ctx, t[i].options);
        assert_int_equal(SSL_CTX_set_cipher_list(ctx, t[i].ciphers), 1);
        add_certificate(ctx);

        rc = aml_tls_check(ctx, what, sizeof(what));
        if (rc != t[i].rc ||
            (t[i].what != NULL && strcmp(what, t[i].what) != 0)) {
            fail_msg("row %zu, %s: %d \"%s\"", i, t[i].ciphers, rc, what);
        }
        if (rc != AML_TLS_OK) {
            assert_true(what[0] != '\0');
        }
        SSL_CTX_free(ctx);
    }
}


static void
wants_a_certificate(void **state)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    char what[64] = "#", one[2] = "##";

    (void) state;

    assert_non_null(ctx);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    assert_int_equal(SSL_CTX_set_cipher_list(ctx, GOOD), 1);
    assert_int_equal(aml_tls_check(ctx, what, sizeof(what)),
                     AML_TLS_NO_CERTIFICATE);
    assert_string_equal(what, "");

    /* What is worse comes first, and `what` is cut, not overrun. */
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    assert_int_equal(aml_tls_check(ctx, one, 1), AML_TLS_PROTOCOL);
    assert_int_equal(one[0], '\0');
    assert_int_equal(one[1], '#');
    assert_int_equal(aml_tls_check(ctx, NULL, 0), AML_TLS_PROTOCOL);

    SSL_CTX_free(ctx);
}


/* The value of a directive of the snippet, without "name " and ";". */
static void
directive(const char *name, char *value, size_t size)
{
    FILE *file = fopen(SNIPPET, "r");
    char line[1024];
    size_t n = strlen(name);

    assert_non_null(file);
    value[0] = '\0';
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, n) == 0 && line[n] == ' ') {
            line[strcspn(line, ";")] = '\0';
            snprintf(value, size, "%s", line + n + 1);
        }
    }
    fclose(file);
    assert_true(value[0] != '\0');
}


static void
the_snippet_passes(void **state)
{
    char value[1024], what[64], advice[1200];
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    (void) state;

    assert_non_null(ctx);
    add_certificate(ctx);

    directive("ssl_protocols", value, sizeof(value));
    assert_string_equal(value, "TLSv1.2 TLSv1.3");
    SSL_CTX_set_min_proto_version(ctx, 0);
    SSL_CTX_set_options(ctx, OLD);

    directive("ssl_ciphers", value, sizeof(value));
    assert_int_equal(SSL_CTX_set_cipher_list(ctx, value), 1);
    assert_int_equal(aml_tls_check(ctx, what, sizeof(what)), AML_TLS_OK);

    /* Advice that is followed must help. */
    snprintf(advice, sizeof(advice), "ssl_ciphers %s;", value);
    assert_string_equal(aml_tls_advice(AML_TLS_CIPHER), advice);
    assert_string_equal(aml_tls_advice(AML_TLS_PROTOCOL),
                        "ssl_protocols TLSv1.2 TLSv1.3;");
    assert_non_null(
        strstr(aml_tls_advice(AML_TLS_NO_CERTIFICATE), "ssl_certificate "));
    assert_string_equal(aml_tls_advice(AML_TLS_OK), "");
    assert_non_null(aml_tls_advice((aml_tls_rc_t) 99));

    directive("ssl_session_tickets", value, sizeof(value));
    assert_string_equal(value, "off");

    SSL_CTX_free(ctx);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges),
        cmocka_unit_test(wants_a_certificate),
        cmocka_unit_test(the_snippet_passes),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
