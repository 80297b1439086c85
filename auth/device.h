/*
 * Device authorizations under way, RFC 8628: a program without a browser shows
 * a code, a person enters it elsewhere, where they are signed in, and approves.
 *
 *   device/<hash of the device code>      JSON: who asks, what was answered
 *   device-user/<hash of the user code>   the hash of the device code
 *
 * The registry has hashes of both codes.  Each step is one transaction; of two
 * that redeem the same code at once, one gets something.
 */

#ifndef AMLD_DEVICE_H
#define AMLD_DEVICE_H

#include <jansson.h>

#include "auth/principal.h"
#include "auth/refresh.h"
#include "auth/sessions.h"
#include "registry/registry.h"

#define AMLD_DEVICE_LIFETIME 900 /* seconds, of the codes */
#define AMLD_DEVICE_LINGER 600   /* how long it is told that they are over */
#define AMLD_DEVICE_INTERVAL 5   /* seconds between questions */
#define AMLD_DEVICES_MOST 10000  /* under way at once */
#define AMLD_DEVICE_CLIENT_MAX 64
#define AMLD_USER_CODE_SIZE 10 /* "BCDF-GHJK" */

/* Who asks; strings are the caller's. */
typedef struct {
    const char *client;  /* what it calls itself */
    const char *address; /* where it is */
    const char *agent;   /* its User-Agent */
    int64_t created;     /* seconds since 1970 */
    int64_t expires;
} amld_device_t;

/*
 * A new one, from `created`; `expires` is filled.  LIMIT when there are
 * AMLD_DEVICES_MOST.
 */
aml_registry_rc_t amld_device_create(aml_registry_t *registry, amld_device_t *d,
                                     char code[AMLD_SECRET_SIZE],
                                     char user_code[AMLD_USER_CODE_SIZE]);

/* As it is shown, of what a person typed, in any case and with any marks
 * between; 0, or -1 when it can't be one. */
int amld_user_code(const char *typed, char user_code[AMLD_USER_CODE_SIZE]);

/*
 * The one that waits for an answer, by its user code.  Strings live as long as
 * `*json`, which is the caller's.  NOTFOUND when there is none, or it is over
 * or was answered.
 */
aml_registry_rc_t
amld_device_find(aml_registry_txn_t *txn, const char *user_code, int64_t now,
                 amld_device_t *d, json_t **json);

/* Answers it for whoever is in `sign_in`; NOTFOUND as above, or when that has
 * ended. */
aml_registry_rc_t
amld_device_answer(aml_registry_t *registry, const char *user_code,
                   const aml_principal_id_t *sign_in, int approved,
                   int64_t now);

typedef enum {
    AMLD_DEVICE_APPROVED = 0,
    AMLD_DEVICE_PENDING, /* authorization_pending */
    AMLD_DEVICE_DENIED,  /* access_denied */
    AMLD_DEVICE_EXPIRED, /* expired_token */
    AMLD_DEVICE_UNKNOWN  /* invalid_grant: also what was redeemed */
} amld_device_state_t;

/*
 * Asks; what was approved is taken, and is a new sign-in then, of method
 * "device", for `lifetime` seconds, with what the sign-in that approved it has
 * brought.  DENIED, too, when that one has ended meanwhile.  `*rc` is the
 * registry's; UNKNOWN unless that is OK.
 */
typedef struct {
    aml_principal_id_t principal;
    aml_principal_id_t sign_in;
    char name[256]; /* the person's label */
    int64_t expires;
    char refresh[AMLD_REFRESH_SIZE];
} amld_device_grant_t;

amld_device_state_t
amld_device_redeem(aml_registry_t *registry, const char *code, int64_t now,
                   int64_t lifetime, amld_device_grant_t *grant,
                   aml_registry_rc_t *rc);

/* Deletes what is over; `removed` is how many. */
aml_registry_rc_t
amld_devices_sweep(aml_registry_t *registry, int64_t now, size_t *removed);

#endif /* AMLD_DEVICE_H */
