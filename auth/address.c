/*
 * Addresses of clients.
 */

#include "auth/address.h"

#include <arpa/inet.h>
#include <string.h>


size_t
amld_address(const char *text, uint8_t bytes[AMLD_ADDRESS_SIZE])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};
    struct in6_addr six;
    struct in_addr four;
    size_t n;

    if (inet_pton(AF_INET, text, &four) == 1) {
        memcpy(bytes, &four, 4);
        return 4;
    }

    if (inet_pton(AF_INET6, text, &six) == 1) {
        if (memcmp(&six, mapped, sizeof(mapped)) == 0) {
            memcpy(bytes, (const uint8_t *) &six + 12, 4);
            return 4;
        }
        memcpy(bytes, &six, 8);
        return 8;
    }

    /* a unix socket, in tests */
    n = strnlen(text, AMLD_ADDRESS_SIZE - 1);
    bytes[0] = 0;
    memcpy(bytes + 1, text, n);

    return n + 1;
}
