/*
 * Signing in and out, as browsers and programs see it.
 *
 *   studio    GET, POST /auth/sign-in     the form
 *             POST      /auth/sign-out    ends the whole sign-in
 *             GET       /auth/signed-out
 *             GET       /auth/handoff     a code for an instance's origin
 *             POST      /auth/token       HTTP Basic → a bearer token
 *             GET       /                 one's own instances
 *   instance  GET       /.aml/sign-in     asks the studio for a code
 *             GET       /.aml/session     code → session
 *             POST      /.aml/sign-out
 *
 * Each of them is for its own kind of host only.
 */

#ifndef AMLD_SIGN_IN_H
#define AMLD_SIGN_IN_H

#include "auth/accounts.h"
#include "auth/sessions.h"
#include "auth/sign_ins.h"
#include "computes/http/http.h"

extern const amld_http_route_t amld_sign_in_routes[];
/* Those with passwords, which take their time. */
extern const amld_http_route_t amld_password_routes[];

/*
 * A new sign-in of the browser that asks, in place of the one that it had, and
 * the studio's session, whose cookie is `secret`; one transaction.  `s` has
 * who, how, and what that brought; the rest is filled.  DENIED when the
 * principal is disabled, or `account`, unless NULL, was changed since it was
 * checked.
 */
aml_registry_rc_t
amld_sign_in_enter(amld_t *d, const amld_request_t *request, amld_sign_in_t *s,
                   const amld_account_t *account,
                   char secret[AMLD_SECRET_SIZE]);
/* The same within a transaction, which stays open, without an account. */
aml_registry_rc_t
amld_sign_in_enter_within(amld_t *d, aml_registry_txn_t *txn,
                          const amld_request_t *request, amld_sign_in_t *s,
                          char secret[AMLD_SECRET_SIZE]);

/*
 * Where to go after signing in: `to` when it is a local path of printable
 * ASCII ("/", not followed by "/" or "\", at most AMLD_TO_MAX bytes), "/"
 * otherwise.  /auth/handoff may be longer: such a path is packed in its query.
 */
#define AMLD_TO_MAX 2048 /* the module leads nobody here with more */
const char *amld_sign_in_local(const char *to);

/*
 * Such a path as a word that no encoding makes longer, in base64url: 0, or -1
 * when it is too long; and from that word, "/" where it is none.
 */
#define AMLD_TO_PACKED_SIZE ((AMLD_TO_MAX * 4 + 2) / 3 + 1)
int amld_sign_in_pack(char packed[AMLD_TO_PACKED_SIZE], const char *to);
const char *amld_sign_in_unpack(const char *packed, char to[AMLD_TO_MAX + 1]);

/*
 * Percent-encodes into `dst` what a query's value can't have; 0, or -1 when it
 * does not fit.
 */
int amld_sign_in_encode(char *dst, size_t size, const char *text);

/*
 * `host` (as in the Host header) as an instance's: fills the authority that
 * its origin has, and the host without port.  0, or -1 when it is none of the
 * apps domain, or has another port.
 */
#define AMLD_AUTHORITY_SIZE 300
int amld_sign_in_instance(const amld_config_t *config, const char *host,
                          char authority[AMLD_AUTHORITY_SIZE],
                          char name[AMLD_AUTHORITY_SIZE]);

/* The value of an Authorization header of scheme Basic, RFC 7617, split in
 * place within `room`; 0, or -1. */
int amld_sign_in_basic(const char *header, char *room, size_t size,
                       const char **name, const char **password);

#endif /* AMLD_SIGN_IN_H */
