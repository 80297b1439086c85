/*
 * What requests of signing in carry as text: where to go, which host, Basic
 * credentials.
 */

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "auth/base64url.h"
#include "auth/sign_in.h"
#include "upstreams/host.h"

#define HANDOFF "/auth/handoff?"
#define HANDOFF_MAX 4096 /* as this ends in an address of its own */


const char *
amld_sign_in_local(const char *to)
{
    size_t most = AMLD_TO_MAX;
    const char *p;

    if (to == NULL || to[0] != '/' || to[1] == '/' || to[1] == '\\') {
        return "/";
    }

    for (p = to; *p != '\0'; p++) {
        if ((unsigned char) *p <= 0x20 || (unsigned char) *p >= 0x7f ||
            *p == '\\') {
            return "/";
        }
    }

    if (strncmp(to, HANDOFF, sizeof(HANDOFF) - 1) == 0) {
        most = HANDOFF_MAX;
    }

    return (size_t) (p - to) <= most ? to : "/";
}


int
amld_sign_in_pack(char packed[AMLD_TO_PACKED_SIZE], const char *to)
{
    size_t n = strlen(to);

    if (n > AMLD_TO_MAX) {
        return -1;
    }
    packed[aml_base64url_encode(packed, to, n)] = '\0';

    return 0;
}


const char *
amld_sign_in_unpack(const char *packed, char to[AMLD_TO_MAX + 1])
{
    size_t len, n = strlen(packed);

    if (aml_base64url_room(n) > AMLD_TO_MAX ||
        aml_base64url_decode(to, &len, packed, n) != 0 ||
        memchr(to, '\0', len) != NULL) {
        return "/";
    }
    to[len] = '\0';

    return amld_sign_in_local(to);
}


int
amld_sign_in_encode(char *dst, size_t size, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz"
                                "0123456789-._~/:@!$'()*,;?";
    size_t n = 0;

    for (; *text != '\0'; text++) {
        if (size - n < 4) {
            return -1;
        }

        if (strchr(plain, *text) != NULL) {
            dst[n++] = *text;
        } else {
            n += (size_t) snprintf(dst + n, size - n, "%%%02X",
                                   (unsigned char) *text);
        }
    }

    dst[n] = '\0';

    return 0;
}


int
amld_sign_in_instance(const amld_config_t *config, const char *host,
                      char authority[AMLD_AUTHORITY_SIZE],
                      char name[AMLD_AUTHORITY_SIZE])
{
    const char *port;
    char suffix[8] = "";
    aml_host_t h;
    size_t n;

    port = strchr(host, ':');
    n = port != NULL ? (size_t) (port - host) : strlen(host);

    if (strcmp(port != NULL ? port : "", config->apps_port) != 0 ||
        aml_host_parse((aml_str_t){host, n}, aml_str_of(config->apps), &h) !=
            0) {
        return -1;
    }

    if (h.port != AML_PORT_DEFAULT) {
        (void) snprintf(suffix, sizeof(suffix), "-%u", h.port);
    }

    (void) snprintf(name, AMLD_AUTHORITY_SIZE, "%.*s%s.%s", (int) h.name_len,
                    h.name, suffix, config->apps);

    return snprintf(authority, AMLD_AUTHORITY_SIZE, "%s%s", name,
                    config->apps_port) < AMLD_AUTHORITY_SIZE
               ? 0
               : -1;
}


int
amld_sign_in_basic(const char *header, char *room, size_t size,
                   const char **name, const char **password)
{
    size_t n, pad = 0;
    char *colon;
    int len;

    if (header == NULL || strncasecmp(header, "Basic ", 6) != 0) {
        return -1;
    }

    header += 6;
    header += strspn(header, " ");
    n = strlen(header);

    if (n == 0 || n % 4 != 0 || n / 4 * 3 >= size ||
        strspn(header, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                       "0123456789+/=") != n) {
        return -1;
    }

    while (pad < 2 && header[n - pad - 1] == '=') {
        pad++;
    }

    len = EVP_DecodeBlock((unsigned char *) room,
                          (const unsigned char *) header, (int) n);
    if (len < 0 || (size_t) len < pad || strcspn(header, "=") < n - pad) {
        return -1;
    }

    n = (size_t) len - pad;
    room[n] = '\0';

    colon = strchr(room, ':');
    if (colon == NULL || strlen(room) != n) {
        return -1;
    }
    *colon = '\0';

    *name = room;
    *password = colon + 1;

    return 0;
}
