/*
 * Mints RS256 tokens that differ from each other, one a line.
 *
 *   mint_tokens --key KEY.pem --issuer ISS --audience AUD --subject SUB
 *               [--count N] [--lifetime SECONDS]
 *
 * The claims are those of the tokens that amld issues; `jti` is what differs.
 */

#include <getopt.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/base64url.h"
#include "auth/key.h"
#include "registry/records.h"

#define MINT_TEXT 2048

typedef struct {
    EVP_PKEY *key;
    EVP_MD_CTX *md;
    char kid[44];
    const char *issuer;
    const char *audience;
    const char *subject;
    long long lifetime;
} mint_t;


static void
mint_die(const char *what)
{
    fprintf(stderr, "mint_tokens: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}


static void
mint_read_key(mint_t *m, const char *file)
{
    FILE *f;
    static char room[AML_RECORD_MAX];
    aml_public_key_t public;

    f = fopen(file, "r");
    m->key = f != NULL ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
    if (m->key == NULL) {
        mint_die("the key cannot be read");
    }
    fclose(f);

    if (aml_public_key_of(m->key, &public, room, sizeof(room)) != AML_KEY_OK ||
        public.kty != AML_KTY_RSA || aml_key_thumbprint(&public, m->kid) != 0) {
        mint_die("the key is not an RSA key that can be used");
    }
}


static void
mint_token(mint_t *m, unsigned long number)
{
    int n;
    char text[MINT_TEXT], token[2 * MINT_TEXT];
    size_t len, siglen;
    long long now;
    unsigned char sig[AML_RSA_BITS_MAX / 8];

    n = snprintf(text, sizeof(text),
                 "{\"typ\":\"at+jwt\",\"alg\":\"RS256\",\"kid\":\"%s\"}",
                 m->kid);
    len = aml_base64url_encode(token, text, (size_t) n);
    token[len++] = '.';

    now = (long long) time(NULL);
    n = snprintf(text, sizeof(text),
                 "{\"iss\":\"%s\",\"aud\":\"%s\",\"sub\":\"%s\","
                 "\"preferred_username\":\"bench\",\"iat\":%lld,\"nbf\":%lld,"
                 "\"exp\":%lld,\"jti\":\"%016lx-%08lx\"}",
                 m->issuer, m->audience, m->subject, now, now,
                 now + m->lifetime, (unsigned long) now, number);
    if (n < 0 || (size_t) n >= sizeof(text)) {
        mint_die("the claims are too long");
    }
    len += aml_base64url_encode(token + len, text, (size_t) n);

    siglen = sizeof(sig);
    if (EVP_DigestSignInit(m->md, NULL, EVP_sha256(), NULL, m->key) != 1 ||
        EVP_DigestSign(m->md, sig, &siglen, (unsigned char *) token, len) !=
            1) {
        mint_die("signing failed");
    }
    token[len++] = '.';
    len += aml_base64url_encode(token + len, sig, siglen);
    token[len++] = '\n';

    if (fwrite(token, 1, len, stdout) != len) {
        mint_die("writing failed");
    }
}


int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"key", required_argument, NULL, 'k'},
        {"issuer", required_argument, NULL, 'i'},
        {"audience", required_argument, NULL, 'a'},
        {"subject", required_argument, NULL, 's'},
        {"count", required_argument, NULL, 'n'},
        {"lifetime", required_argument, NULL, 'l'},
        {NULL, 0, NULL, 0}};

    int o;
    mint_t m = {.lifetime = 86400};
    const char *file = NULL;
    unsigned long i, count = 1;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 'k':
            file = optarg;
            break;
        case 'i':
            m.issuer = optarg;
            break;
        case 'a':
            m.audience = optarg;
            break;
        case 's':
            m.subject = optarg;
            break;
        case 'n':
            count = strtoul(optarg, NULL, 10);
            break;
        case 'l':
            m.lifetime = atoll(optarg);
            break;
        default:
            return 2;
        }
    }
    if (file == NULL || m.issuer == NULL || m.audience == NULL ||
        m.subject == NULL) {
        mint_die("--key, --issuer, --audience and --subject are needed");
    }

    mint_read_key(&m, file);
    m.md = EVP_MD_CTX_new();
    if (m.md == NULL) {
        mint_die("no memory");
    }
    for (i = 0; i < count; i++) {
        mint_token(&m, i);
    }
    if (fflush(stdout) != 0) {
        mint_die("writing failed");
    }

    EVP_MD_CTX_free(m.md);
    EVP_PKEY_free(m.key);

    return 0;
}
