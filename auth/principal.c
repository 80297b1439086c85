#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#include "auth/hex.h"
#include "auth/principal.h"

#define SPACE_MAX 2048


static void
uuid_mark(aml_principal_id_t *id, unsigned version)
{
    id->b[6] = (uint8_t) ((id->b[6] & 0x0f) | version << 4);
    id->b[8] = (uint8_t) ((id->b[8] & 0x3f) | 0x80);
}


int
aml_principal_derive(aml_str_t space, aml_str_t subject, aml_principal_id_t *id)
{
    int ok;
    uint8_t hash[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx;

    /* a NUL in the space would let two pairs have the same text */
    if (space.n == 0 || subject.n == 0 ||
        memchr(space.p, '\0', space.n) != NULL) {
        return -1;
    }

    ctx = EVP_MD_CTX_new();
    if (ctx == NULL) {
        return -1;
    }

    ok = EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) &&
         EVP_DigestUpdate(ctx, space.p, space.n) &&
         EVP_DigestUpdate(ctx, "", 1) &&
         EVP_DigestUpdate(ctx, subject.p, subject.n) &&
         EVP_DigestFinal_ex(ctx, hash, NULL);

    EVP_MD_CTX_free(ctx);

    if (!ok) {
        return -1;
    }

    memcpy(id->b, hash, sizeof(id->b));
    uuid_mark(id, 8);

    return 0;
}


int
aml_group_derive(aml_group_kind_t kind, aml_str_t space, aml_str_t value,
                 aml_principal_id_t *id)
{
    aml_str_t suffix;
    char room[SPACE_MAX];

    suffix = kind == AML_GROUP ? aml_str("#group") : aml_str("#role");

    if (space.n == 0 || space.n > sizeof(room) - suffix.n) {
        return -1;
    }

    memcpy(room, space.p, space.n);
    memcpy(room + space.n, suffix.p, suffix.n);

    return aml_principal_derive((aml_str_t){room, space.n + suffix.n}, value,
                                id);
}


void
aml_uuid_format(const aml_principal_id_t *id, char *text)
{
    char hex[2 * sizeof(id->b)];

    aml_hex_encode(hex, id->b, sizeof(id->b));

    memcpy(text, hex, 8);
    memcpy(text + 9, hex + 8, 4);
    memcpy(text + 14, hex + 12, 4);
    memcpy(text + 19, hex + 16, 4);
    memcpy(text + 24, hex + 20, 12);

    text[8] = text[13] = text[18] = text[23] = '-';
    text[AML_UUID_TEXT] = '\0';
}


static int
hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }

    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}


int
aml_uuid_parse(aml_str_t text, aml_principal_id_t *id)
{
    int high, low;
    size_t i;
    const char *p = text.p;
    aml_principal_id_t parsed;

    if (text.n != AML_UUID_TEXT) {
        return -1;
    }

    for (i = 0; i < sizeof(parsed.b); i++) {
        if ((i == 4 || i == 6 || i == 8 || i == 10) && *p++ != '-') {
            return -1;
        }

        high = hex_value(*p++);
        low = hex_value(*p++);
        if (high < 0 || low < 0) {
            return -1;
        }

        parsed.b[i] = (uint8_t) (high << 4 | low);
    }

    *id = parsed;
    return 0;
}


int
aml_uuid_random(aml_principal_id_t *id)
{
    if (RAND_bytes(id->b, sizeof(id->b)) != 1) {
        return -1;
    }

    uuid_mark(id, 4);

    return 0;
}
