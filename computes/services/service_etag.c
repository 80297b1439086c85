#include "computes/services/service_etag.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "computes/services/service.h"

#define ETAG_BYTES 16 /* of the hash */
#define ETAG_BLANK " \t"

static int etag_is(const char *one, size_t n, const char *etag);


int
amld_services_etag(const json_t *doc, char etag[AMLD_ETAG_SIZE])
{
    char *text;
    size_t i;
    const json_t *list;
    unsigned char hash[SHA256_DIGEST_LENGTH];

    etag[0] = '\0';

    list = amld_services(doc);
    text = list != NULL ? json_dumps(list, JSON_COMPACT | JSON_SORT_KEYS)
                        : strdup("[]");
    if (text == NULL) {
        return -1;
    }

    SHA256((const unsigned char *) text, strlen(text), hash);
    free(text);

    etag[0] = '"';
    for (i = 0; i < ETAG_BYTES; i++) {
        snprintf(etag + 1 + 2 * i, 3, "%02x", hash[i]);
    }
    memcpy(etag + 1 + 2 * ETAG_BYTES, "\"", 2);

    return 0;
}


int
amld_etag_matches(const char *if_match, const char *etag)
{
    size_t n;

    if (etag[0] == '\0') {
        return 0;
    }

    for (;;) {
        if_match += strspn(if_match, ETAG_BLANK);
        n = strcspn(if_match, ",");
        if (etag_is(if_match, n, etag)) {
            return 1;
        }
        if (if_match[n] == '\0') {
            return 0;
        }
        if_match += n + 1;
    }
}


static int
etag_is(const char *one, size_t n, const char *etag)
{
    size_t size;

    while (n > 0 && strchr(ETAG_BLANK, one[n - 1]) != NULL) {
        n--;
    }
    if (n == 1 && *one == '*') {
        return 1;
    }
    if (n > 2 && strncmp(one, "W/", 2) == 0) {
        one += 2;
        n -= 2;
    }

    size = strlen(etag);

    return (n == size && memcmp(one, etag, n) == 0) ||
           (n == size - 2 && memcmp(one, etag + 1, n) == 0);
}
