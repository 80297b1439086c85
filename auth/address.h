/*
 * Addresses of clients, for counting: an IPv4 address, or the /64 of an IPv6
 * one, which is what one household or one machine has.
 */

#ifndef AMLD_ADDRESS_H
#define AMLD_ADDRESS_H

#include <stddef.h>
#include <stdint.h>

#define AMLD_ADDRESS_SIZE 17

/* The bytes that count of what the gateway says where a client is; returns
 * their number.  What cannot be read is itself, as far as it fits. */
size_t amld_address(const char *text, uint8_t bytes[AMLD_ADDRESS_SIZE]);

#endif /* AMLD_ADDRESS_H */
