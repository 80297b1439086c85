/*
 * The control API over its real socket and registry; no supervisor runs, so
 * that what a handler has written stays as it is.
 */

#ifndef AML_TEST_ARM_FIXTURE_H
#define AML_TEST_ARM_FIXTURE_H

#include "t/unit/http_client.h"

#include <sys/eventfd.h>

#include "auth/action.h"
#include "auth/principals.h"
#include "computes/api/arm.h"
#include "computes/api/arm_job.h"
#include "computes/instances/operations.h"

#define M "Microsoft.MachineLearningServices/workspaces"
#define W "/subscriptions/s-1/resourceGroups/rg/providers/" M "/demo"
#define V "?api-version=2022-10-01"
#define MINE "4482d47f-0b4b-81ab-a8e0-f0be3a5a6306"
#define THEIRS "11111111-1111-8111-8111-111111111111"
#define BODY                                                                   \
    "{\"location\":\"local\",\"properties\":{"                                 \
    "\"computeType\":\"ComputeInstance\",\"properties\":{"                     \
    "\"vmSize\":\"STANDARD_DS3_V2\"}}}"

const amld_http_route_t *const http_tables[] = {amld_arm_routes,
                                                amld_arm_job_routes, NULL};

static amld_workspace_t workspace = {
    (char *) "demo",  (char *) "s-1",        (char *) "rg",
    (char *) "local", (char *) "/srv/share", (char *) W,
};

static amld_application_config_t applications[] = {
    {(char *) "jupyter", (char *) "/opt/jupyter"},
    {(char *) "ssh", (char *) "/usr/sbin/sshd"},
};


static inline int
arm_setup(void **state)
{
    server_t *s;

    assert_int_equal(setup(state), 0);
    s = *state;

    /* No request has been made yet. */
    s->config.workspaces = &workspace;
    s->config.workspace_count = 1;
    s->config.applications = applications;
    s->config.application_count = 2;
    s->config.state = (char *) "/run/aml";
    s->config.engine = (char *) "process";
    s->config.registry_size = (size_t) 1 << 30;
    s->config.job_queue = 1000;
    s->config.job_history = 1000;
    s->config.job_history_size = 1024 * 1024;
    s->amld.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    return 0;
}


static inline int
arm_teardown(void **state)
{
    close(((server_t *) *state)->amld.wake);

    return teardown(state);
}


/* As the gateway asks for `principal`, having allowed `action`. */
static inline answer_t
as(server_t *s, const char *principal, const char *action, const char *method,
   const char *target, const char *body)
{
    char who[80], what[320];
    const char *headers[] = {"Host: " STUDIO,
                             who,
                             "X-AML-Name: ann",
                             "X-AML-Credential: token",
                             what,
                             "Content-Type: "
                             "application/json",
                             NULL};

    snprintf(who, sizeof(who), "X-AML-Principal: %s", principal);
    snprintf(what, sizeof(what), "X-AML-Action: %s", action);

    return ask(s, method, target, headers, body,
               body != NULL ? (long) strlen(body) : 0);
}


/* The same with whatever action the path names. */
static inline answer_t
call_by(server_t *s, const char *principal, const char *method,
        const char *target, const char *body)
{
    char action[AML_ACTION_MAX + 1];
    aml_action_t a;

    assert_int_equal(aml_action_of(aml_str_of(method),
                                   (aml_str_t){target, strcspn(target, "?")},
                                   &a),
                     0);
    snprintf(action, sizeof(action), "%.*s", (int) a.action_len, a.action);

    return as(s, principal, action, method, target, body);
}


static inline answer_t
call(server_t *s, const char *method, const char *target, const char *body)
{
    return call_by(s, MINE, method, target, body);
}


/* A string in the answer, found by "a/b/c"; "" when it is not there. */
static inline const char *
at(const answer_t *a, const char *path, char value[1024])
{
    char copy[256], *name, *rest;
    json_t *json = json_loadb(a->body, a->body_len, 0, NULL), *j = json;
    const char *text;

    snprintf(copy, sizeof(copy), "%s", path);
    for (name = strtok_r(copy, "/", &rest); name != NULL;
         name = strtok_r(NULL, "/", &rest)) {
        j = json_is_array(j) ? json_array_get(j, (size_t) atoi(name))
                             : json_object_get(j, name);
    }
    text = json_string_value(j);
    snprintf(value, 1024, "%s", text != NULL ? text : "");
    json_decref(json);

    return value;
}


static inline void
assert_error(answer_t a, long status, const char *code)
{
    char v[1024];
    json_t *json, *error;

    assert_string_equal(at(&a, "error/code", v), code);
    assert_int_equal(a.status, status);
    assert_string_not_equal(at(&a, "error/message", v), "");

    json = json_loadb(a.body, a.body_len, 0, NULL);
    error = json_object_get(json, "error");
    assert_non_null(json_object_get(error, "target"));
    assert_true(json_is_array(json_object_get(error, "details")));
    assert_true(json_is_array(json_object_get(error, "additionalInfo")));
    json_decref(json);
}


/* What the supervisor would come to. */
static inline void
set_state(server_t *s, const char *name, amld_state_t to)
{
    json_t *doc;
    amld_key_t key;
    aml_registry_txn_t *txn;

    assert_int_equal(amld_compute_key(&key, &workspace, name), 0);
    assert_int_equal(aml_registry_write(s->amld.registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_load(txn, &key, &doc), AML_REGISTRY_OK);
    assert_int_equal(amld_operation_end(txn, doc, NULL, NULL), AML_REGISTRY_OK);
    amld_compute_set_state(doc, to);
    assert_int_equal(amld_compute_store(txn, &s->config, &key, doc),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    json_decref(doc);
}


/* And what it does once everything has ended. */
static inline void
gone(server_t *s, const char *name)
{
    json_t *doc;
    amld_key_t key;
    aml_registry_txn_t *txn;

    assert_int_equal(amld_compute_key(&key, &workspace, name), 0);
    assert_int_equal(aml_registry_write(s->amld.registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_load(txn, &key, &doc), AML_REGISTRY_OK);
    assert_int_equal(amld_compute_remove(txn, &key, doc), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    json_decref(doc);
}


/* A principal that amld knows. */
static inline void
known(server_t *s, const char *principal, const char *name, uint32_t flags)
{
    amld_principal_t p = {
        .flags = flags, .name = (char *) name, .issuer = (char *) "test"};
    aml_principal_id_t id;
    aml_registry_txn_t *txn;

    assert_int_equal(aml_uuid_parse(aml_str_of(principal), &id), 0);
    assert_int_equal(aml_registry_write(s->amld.registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_principal_store(txn, &id, &p), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static inline int
woken(server_t *s)
{
    uint64_t n;

    return read(s->amld.wake, &n, sizeof(n)) == sizeof(n);
}

#endif /* AML_TEST_ARM_FIXTURE_H */
