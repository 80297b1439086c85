/*
 * Bodies of PUTs of jobs, and what the runner would make of one.
 */

#ifndef AML_TEST_JOB_BODIES_H
#define AML_TEST_JOB_BODIES_H

#include "t/unit/arm_fixture.h"

#define J W "/jobs/train-1"
#define JOB J V
#define LAB W "/computes/lab"

/* Of the properties; around them what every client sends. */
#define TO(text)                                                               \
    "{\"properties\":{\"jobType\":\"Command\",\"computeId\":\"" LAB            \
    "\",\"command\":\"true\"" text "}}"
#define ASK(text)                                                              \
    "{\"properties\":{\"jobType\":\"Command\",\"computeId\":\"" LAB "\"," text \
    "}}"


/* As the runner writes: a status, and a time where `time` is its name. */
static inline void
job_is(server_t *s, const char *id, amld_job_status_t status, const char *time)
{
    json_t *doc;
    amld_key_t key;
    aml_registry_txn_t *txn;

    assert_int_equal(amld_job_key(&key, &workspace, id), 0);
    assert_int_equal(aml_registry_write(s->amld.registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_job_load(txn, &key, &doc), AML_REGISTRY_OK);
    amld_job_set_status(doc, status);
    if (time != NULL) {
        assert_int_equal(amld_job_set_time(doc, time, 1800000000123), 0);
    }
    if (status == AMLD_JOB_FAILED) {
        json_object_set_new(doc, "exitCode", json_integer(3));
        json_object_set_new(
            doc, "message",
            json_string("It ended with 3. The end of its log:\nsecret"));
    }
    assert_int_equal(amld_job_store(txn, &key, doc), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    json_decref(doc);
}


/* An instance that jobs can be submitted to. */
static inline void
lab(server_t *s)
{
    assert_int_equal(call(s, "PUT", LAB V, BODY).status, 201);
    set_state(s, "lab", AMLD_STATE_RUNNING);
    (void) woken(s);
}


/* A member of the answer, found by "a/b/c"; as JSON, "" when it is not there.
 */
static inline const char *
json_at(const answer_t *a, const char *path, char value[1024])
{
    char copy[256], *name, *rest, *text;
    json_t *json = json_loadb(a->body, a->body_len, 0, NULL), *j = json;

    snprintf(copy, sizeof(copy), "%s", path);
    for (name = strtok_r(copy, "/", &rest); name != NULL;
         name = strtok_r(NULL, "/", &rest)) {
        j = json_object_get(j, name);
    }
    text = j != NULL
               ? json_dumps(j, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS)
               : NULL;
    snprintf(value, 1024, "%s", text != NULL ? text : "");
    free(text);
    json_decref(json);

    return value;
}

#endif /* AML_TEST_JOB_BODIES_H */
