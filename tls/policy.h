/*
 * The TLS policy: what a server that uses the module must at least demand.
 * TLS 1.2 or newer; in TLS 1.2 forward secrecy and authenticated encryption
 * only (RFC 9325 section 4.2); a certificate; no listening without TLS but for
 * a redirect.
 */

#ifndef AML_TLS_POLICY_H
#define AML_TLS_POLICY_H

#include <openssl/ssl.h>
#include <stddef.h>

typedef enum {
    AML_TLS_OK = 0,
    AML_TLS_PROTOCOL, /* SSLv3, TLS 1.0 or 1.1 is possible */
    AML_TLS_CIPHER,   /* a cipher without ECDHE/DHE or without AEAD */
    AML_TLS_NO_CERTIFICATE
} aml_tls_rc_t;

/*
 * Judges a context that is set up as the server will use it.  `what` (of
 * `size` bytes) is filled with the protocol or cipher that is at fault.
 */
aml_tls_rc_t aml_tls_check(SSL_CTX *ctx, char *what, size_t size);

/* What to write instead, static: "ssl_protocols TLSv1.2 TLSv1.3;". */
const char *aml_tls_advice(aml_tls_rc_t rc);

#endif /* AML_TLS_POLICY_H */
