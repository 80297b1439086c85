/*
 * Somebody who is signed in, as the gateway tells amld of them.
 */

#ifndef AML_TEST_PERSON_H
#define AML_TEST_PERSON_H

#include "t/unit/http_client.h"

#include <time.h>

#include "auth/accounts.h"
#include "auth/assignments.h"
#include "auth/role_store.h"
#include "auth/sessions.h"
#include "auth/sign_ins.h"

#define STUDIO_HOST "Host: " STUDIO
#define STUDIO_ORIGIN "Origin: https://" STUDIO
#define A_PAGE "Accept: text/html"

typedef struct {
    aml_principal_id_t principal;
    aml_principal_id_t sign_in;
    char uuid[AML_UUID_TEXT + 1]; /* of the sign-in */
    char secret[AMLD_SECRET_SIZE];
    uint8_t hash[32];
    char headers[5][128]; /* X-AML-* */
    const char *host;     /* the header */
} person_t;


/* A sign-in with a session, by `agent`; `created` seconds ago. */
static inline void
person_sign_in(server_t *s, person_t *p, const aml_principal_id_t *principal,
               const char *method, const char *agent, int64_t ago)
{
    int64_t now = (int64_t) time(NULL);
    amld_sign_in_t made = {.principal = *principal,
                           .name = "Alice <b>",
                           .method = method,
                           .issuer = AMLD_LOCAL_SPACE,
                           .subject = "alice",
                           .sid = "",
                           .address = "192.0.2.7",
                           .agent = agent,
                           .created = now - ago,
                           .expires = now + 3600};
    char hex[AMLD_HASH_HEX_SIZE], id[AML_UUID_TEXT + 1];
    aml_registry_txn_t *txn;

    memset(p, 0, sizeof(*p));
    assert_int_equal(aml_uuid_random(&made.id), 0);
    assert_int_equal(aml_registry_write(s->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_sign_in_begin(txn, &made), AML_REGISTRY_OK);
    assert_int_equal(amld_session_create(txn, principal, &made.id,
                                         "aml.localhost", now, made.expires,
                                         p->secret),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    p->principal = *principal;
    p->sign_in = made.id;
    aml_uuid_format(&made.id, p->uuid);
    assert_int_equal(amld_secret_hash(p->secret, p->hash), 0);
    amld_hash_format(p->hash, hex);
    aml_uuid_format(principal, id);

    snprintf(p->headers[0], sizeof(p->headers[0]), "X-AML-Principal: %s", id);
    snprintf(p->headers[1], sizeof(p->headers[1]), "X-AML-Name: Alice <b>");
    snprintf(p->headers[2], sizeof(p->headers[2]), "X-AML-Credential: session");
    snprintf(p->headers[3], sizeof(p->headers[3]), "X-AML-Session: %s", hex);
    snprintf(p->headers[4], sizeof(p->headers[4]), "X-AML-Sign-In: %s",
             p->uuid);
    p->host = STUDIO_HOST;
}


/* By a token of that sign-in instead, of whichever kind. */
static inline void
person_by(person_t *p, const char *credential)
{
    snprintf(p->headers[2], sizeof(p->headers[2]), "X-AML-Credential: %s",
             credential);
    if (strcmp(credential, "token") == 0) {
        snprintf(p->headers[3], sizeof(p->headers[3]), "X-Unused: x");
    }
}


/* One request; `more` are further headers, NULL-ended. */
static inline answer_t
person_ask(server_t *s, const person_t *p, const char *method,
           const char *target, const char *form, const char *const *more)
{
    const char *list[32] = {p->host};
    size_t i, n = 1;

    for (i = 0; i < 5; i++) {
        list[n++] = p->headers[i];
    }
    for (i = 0; more != NULL && more[i] != NULL; i++) {
        list[n++] = more[i];
    }

    return ask(s, method, target, list, form,
               form != NULL ? (long) strlen(form) : 0);
}


static inline const char *const *
from_studio(void)
{
    static const char *const list[] = {STUDIO_ORIGIN, NULL};

    return list;
}


static inline const char *const *
from_studio_page(void)
{
    static const char *const list[] = {STUDIO_ORIGIN, A_PAGE, NULL};

    return list;
}


static inline const char *const *
from_instance(void)
{
    static const char *const list[] = {"Origin: https://" INSTANCE, A_PAGE,
                                       NULL};

    return list;
}


/* A built-in role everywhere. */
static inline void
role_at_root(server_t *s, const aml_principal_id_t *principal, const char *role)
{
    amld_assignment_t a = {.principal = *principal, .scope = "/"};
    aml_registry_txn_t *txn;

    assert_int_equal(
        amld_roles_load(s->scratch->registry, "auth/builtin-roles.json"), 0);
    assert_int_equal(aml_registry_write(s->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_role_find(txn, role, &a.role), AML_REGISTRY_OK);
    assert_int_equal(aml_uuid_random(&a.id), 0);
    assert_int_equal(amld_assignment_add(txn, &a), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


/* The reason of a refusal. */
static inline const char *
reason_of(const answer_t *a)
{
    static char value[1024];

    header_of(a, "X-AML-Reason", value);

    return value;
}

#endif /* AML_TEST_PERSON_H */
