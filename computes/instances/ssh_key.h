/*
 * Public keys of SSH, as a line of an authorized_keys file has them: type,
 * base64 (RFC 4253 section 6.6, RFC 5656, RFC 8709), comment.
 */

#ifndef AMLD_SSH_KEY_H
#define AMLD_SSH_KEY_H

#include <stddef.h>

#define AMLD_SSH_KEY_MAX 8192 /* bytes of the line */

/*
 * What is wrong with `text`, static; NULL when it is one key of the types
 * ssh-ed25519, ecdsa-sha2-nistp256, -384, -521 or ssh-rsa (2048 to 16384
 * bits) whose parts are what they should be, a point on its curve among them.
 * Options before the type, other lines and control characters are refused.
 * `len` is the length without white space at the end.
 */
const char *amld_ssh_key_fault(const char *text, size_t *len);

#endif /* AMLD_SSH_KEY_H */
