/*
 * PUT of a compute: a new one, or changes to one that there is.
 */

#include <stdio.h>
#include <string.h>

#include "auth/principals.h"
#include "computes/api/arm.h"
#include "computes/instances/compute_index.h"
#include "computes/instances/operations.h"
#include "computes/instances/quota.h"
#include "computes/instances/setup_script.h"
#include "computes/instances/sizes.h"
#include "computes/services/service.h"
#include "computes/services/service_read.h"
#include "upstreams/host.h"

#define ARM_INNER "properties.properties."
#define ARM_ASSIGNED ARM_INNER "personalComputeInstanceSettings.assignedUser"

/* Whose an instance is to be, and who asks. */
typedef struct {
    char caller[AML_UUID_TEXT + 1];
    const char *caller_name;
    aml_principal_id_t id;
    char owner[AML_UUID_TEXT + 1];
    const char *owner_name;
    amld_principal_t known; /* owner of the name */
    int assigned;           /* somebody was named, perhaps the caller */
} arm_people_t;

static int
arm_people(amld_arm_t *arm, const amld_arm_put_t *put, arm_people_t *people);
static aml_registry_rc_t arm_person(amld_arm_t *arm, const char *object,
                                    const char *tenant, arm_people_t *people);
static aml_registry_rc_t
arm_person_known(amld_arm_t *arm, const aml_principal_id_t *id,
                 arm_people_t *people);
static int arm_services(amld_arm_t *arm, amld_arm_put_t *put);
static int arm_services_differ(const json_t *asked, const json_t *have);
static int arm_owner_only(amld_arm_t *arm, const amld_arm_put_t *put,
                          const arm_people_t *people, const json_t *have);
static int
arm_scripts_own(amld_arm_t *arm, const amld_arm_put_t *put, const char *folder);
static void arm_create(amld_arm_t *arm, const amld_arm_put_t *put,
                       const arm_people_t *people);
static void arm_update(amld_arm_t *arm, const amld_arm_put_t *put,
                       const arm_people_t *people);
static int arm_changes(amld_arm_t *arm, const amld_arm_put_t *put,
                       const arm_people_t *people);
static const amld_size_t *arm_size(amld_arm_t *arm, const amld_arm_put_t *put);
static int arm_ssh_offered(amld_arm_t *arm, const amld_arm_put_t *put);
static int arm_quota(amld_arm_t *arm, const amld_size_t *size);
static int arm_document(amld_arm_t *arm, const amld_arm_put_t *put,
                        const arm_people_t *people, const amld_size_t *size);
static void arm_name_taken(amld_arm_t *arm);


void
amld_arm_put(amld_t *d, const amld_request_t *request,
             amld_response_t *response)
{
    int rc;
    amld_arm_t arm;
    amld_arm_put_t put;
    aml_name_rc_t wrong;
    arm_people_t people;
    amld_arm_fault_t fault;

    memset(&people, 0, sizeof(people));

    if (amld_arm_begin(&arm, d, request, response, 1) != 0) {
        amld_arm_end(&arm);
        return;
    }

    wrong = aml_instance_name_check(aml_str_of(arm.name));
    if (wrong != AML_NAME_OK) {
        amld_response_error(response, 400, "InvalidResourceName", "name", "%s",
                            aml_instance_name_rule(wrong));
        amld_arm_end(&arm);
        return;
    }

    if (amld_arm_put_read(&put, request->body, request->body_len, arm.workspace,
                          &fault) != 0) {
        amld_arm_faulty(&arm, &fault);
        amld_arm_put_free(&put);
        amld_arm_end(&arm);
        return;
    }

    rc = amld_arm_load(&arm, 1);
    if (rc >= 0 && arm_people(&arm, &put, &people) == 0 &&
        arm_services(&arm, &put) == 0) {
        if (rc == 0) {
            arm_create(&arm, &put, &people);
        } else {
            arm_update(&arm, &put, &people);
        }
    }

    amld_principal_clear(&people.known);
    amld_arm_put_free(&put);
    amld_arm_end(&arm);
}


static int
arm_people(amld_arm_t *arm, const amld_arm_put_t *put, arm_people_t *people)
{
    aml_registry_rc_t rc;

    aml_uuid_format(&arm->request->principal, people->caller);
    people->caller_name =
        arm->request->name[0] != '\0' ? arm->request->name : people->caller;
    people->assigned = put->user != NULL;

    rc = put->user == NULL
             ? arm_person_known(arm, &arm->request->principal, people)
             : arm_person(arm, put->user, put->tenant, people);
    if (rc == AML_REGISTRY_NOTFOUND) {
        amld_response_error(arm->response, 400, "PrincipalNotFound",
                            ARM_ASSIGNED ".objectId",
                            "There is no user '%.100s' here whom a compute "
                            "instance could be for. A user is known once they "
                            "have an account, a role, or have signed in.",
                            put->user);
        return -1;
    }
    if (rc != AML_REGISTRY_OK) {
        return amld_arm_registry_error(arm, rc);
    }

    return 0;
}


/* A principal, or as the user's directory calls them: an object of a tenant. */
static aml_registry_rc_t
arm_person(amld_arm_t *arm, const char *object, const char *tenant,
           arm_people_t *people)
{
    char low[2][256];
    size_t i, k;
    const char *texts[2];
    aml_principal_id_t id;
    aml_registry_rc_t rc;

    if (aml_uuid_parse(aml_str_of(object), &id) != 0) {
        return AML_REGISTRY_NOTFOUND;
    }

    rc = arm_person_known(arm, &id, people);
    if (rc != AML_REGISTRY_NOTFOUND || tenant == NULL) {
        return rc;
    }

    texts[0] = tenant;
    texts[1] = object;
    for (i = 0; i < 2; i++) {
        for (k = 0; texts[i][k] != '\0'; k++) {
            if (k + 1 == sizeof(low[i])) {
                return AML_REGISTRY_NOTFOUND;
            }
            low[i][k] = texts[i][k] >= 'A' && texts[i][k] <= 'Z'
                            ? (char) (texts[i][k] + 32)
                            : texts[i][k];
        }
        low[i][k] = '\0';
    }

    if (aml_principal_derive(aml_str_of(low[0]), aml_str_of(low[1]), &id) !=
        0) {
        return AML_REGISTRY_NOTFOUND;
    }

    return arm_person_known(arm, &id, people);
}


/* NOTFOUND also for groups, and for those who are not let in. */
static aml_registry_rc_t
arm_person_known(amld_arm_t *arm, const aml_principal_id_t *id,
                 arm_people_t *people)
{
    aml_registry_rc_t rc;
    amld_principal_t *p;

    /* whoever asks is known */
    if (aml_principal_eq(id, &arm->request->principal)) {
        people->id = *id;
        memcpy(people->owner, people->caller, sizeof(people->owner));
        people->owner_name = people->caller_name;
        return AML_REGISTRY_OK;
    }

    p = &people->known;
    amld_principal_clear(p);

    rc = amld_principal_load(arm->txn, id, p);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }
    if ((p->flags & (AML_PRINCIPAL_GROUP | AML_PRINCIPAL_DISABLED)) != 0) {
        return AML_REGISTRY_NOTFOUND;
    }

    people->id = *id;
    aml_uuid_format(id, people->owner);
    people->owner_name =
        p->name != NULL && p->name[0] != '\0' ? p->name : people->owner;

    return AML_REGISTRY_OK;
}


/* Those that are there already may be named only. */
static int
arm_services(amld_arm_t *arm, amld_arm_put_t *put)
{
    json_t *merged;
    amld_arm_fault_t fault;

    if (!json_is_array(put->services)) {
        return 0;
    }

    merged = amld_services_merge(put->services, amld_services(arm->doc),
                                 AMLD_SERVICES_TARGET, &fault);
    if (merged == NULL ||
        amld_services_fit(arm->d->config, merged, AMLD_SERVICES_TARGET,
                          &fault) != 0) {
        json_decref(merged);
        amld_arm_faulty(arm, &fault);
        return -1;
    }

    json_decref(put->services);
    put->services = merged;

    return 0;
}


static int
arm_services_differ(const json_t *asked, const json_t *have)
{
    return asked != NULL &&
           (json_is_null(asked)
                ? have != NULL
                : !json_equal((json_t *) asked, (json_t *) have));
}


/*
 * What lets in or runs as the owner is given by nobody else, whatever their
 * role: scripts and services, other than those that are there, and a key.  0,
 * or -1 when the response was filled.
 */
static int
arm_owner_only(amld_arm_t *arm, const amld_arm_put_t *put,
               const arm_people_t *people, const json_t *have)
{
    const char *what;

    if (strcmp(people->owner, people->caller) == 0) {
        return 0;
    }

    what = NULL;
    if (put->scripts != NULL &&
        !json_equal(put->scripts, json_object_get(have, "setupScripts"))) {
        what = ARM_INNER "setupScripts";

    } else if (arm_services_differ(put->services,
                                   json_object_get(have, "customServices"))) {
        what = AMLD_SERVICES_TARGET;

    } else if (have == NULL &&
               amld_compute_str(put->ssh, "adminPublicKey")[0] != '\0') {
        what = ARM_INNER "sshSettings.adminPublicKey";
    }

    if (what != NULL) {
        amld_response_error(arm->response, 403, "OwnerOnly", what,
                            "'%s' can be given by the person only whom the "
                            "compute instance is for, as it runs as them or "
                            "lets in as them.",
                            what);
        return -1;
    }

    return 0;
}


/*
 * What others have written is not run as the owner: a script in the share is
 * one of their own folder.  0, or -1 when the response was filled.
 */
static int
arm_scripts_own(amld_arm_t *arm, const amld_arm_put_t *put, const char *folder)
{
    json_t *script;
    const char *name;

    json_object_foreach(json_object_get(put->scripts, "scripts"), name, script)
    {
        if (strcmp(amld_compute_str(script, "scriptSource"),
                   AMLD_SCRIPT_STORED) != 0 ||
            amld_setup_script_below(amld_compute_str(script, "scriptData"),
                                    folder) != NULL) {
            continue;
        }

        amld_response_error(arm->response, 400, "UserError",
                            ARM_INNER "setupScripts",
                            "%s: scriptData is the path of a file in the "
                            "folder of the person whom the compute instance is "
                            "for, which is '%s/'.",
                            name, folder);
        return -1;
    }

    return 0;
}


static void
arm_create(amld_arm_t *arm, const amld_arm_put_t *put,
           const arm_people_t *people)
{
    aml_registry_rc_t rc;
    const amld_size_t *size;

    if (arm_owner_only(arm, put, people, NULL) != 0) {
        return;
    }

    rc = amld_compute_claim(arm->txn, arm->workspace->location, arm->name,
                            &arm->key);
    if (rc == AML_REGISTRY_NOTFOUND) {
        arm_name_taken(arm);
        return;
    }
    if (rc != AML_REGISTRY_OK) {
        amld_arm_registry_error(arm, rc);
        return;
    }

    size = arm_size(arm, put);
    if (size == NULL || arm_ssh_offered(arm, put) != 0 ||
        arm_quota(arm, size) != 0 ||
        arm_document(arm, put, people, size) != 0) {
        return;
    }

    if (strcmp(people->owner, people->caller) != 0) {
        arm->of = &people->id;
    }

    if (amld_arm_operation_begin(arm, "Create", AMLD_STATE_CREATING) != 0) {
        return;
    }

    amld_log(AMLD_LOG_INFO, "%s: created by %s (%s) for %s (%s)", arm->name,
             people->caller, people->caller_name, people->owner,
             people->owner_name);

    amld_arm_operation_headers(arm, amld_compute_str(arm->doc, "operation"), 0);
    amld_response_json(arm->response, 201, amld_arm_compute_now(arm));
}


static void
arm_update(amld_arm_t *arm, const amld_arm_put_t *put,
           const arm_people_t *people)
{
    int same;
    char id[AMLD_OPERATION_ID + 1];
    json_t *before;
    const char *operation;
    amld_state_t state;

    if (arm_changes(arm, put, people) != 0) {
        return;
    }

    before = json_deep_copy(arm->doc);
    if (before == NULL || amld_arm_put_apply(put, arm->doc) != 0) {
        json_decref(before);
        amld_arm_registry_error(arm, AML_REGISTRY_FAILED);
        return;
    }
    same = json_equal(before, arm->doc);
    json_decref(before);

    state = amld_compute_state(arm->doc);

    if (amld_state_is_not_created(state)) {
        if (amld_arm_operation_begin(arm, "Create", AMLD_STATE_CREATING) != 0) {
            return;
        }
        operation = amld_compute_str(arm->doc, "operation");

    } else {
        operation = state == AMLD_STATE_CREATING
                        ? amld_compute_str(arm->doc, "operation")
                        : "";

        /* One that is over already: a client whose PUT has no operation reads
         * the answer twice, and msrest's models don't survive that. */
        if (operation[0] == '\0') {
            amld_operation_done("Update", id);
            operation = id;
        }

        if (!same && amld_arm_commit(arm) != 0) {
            return;
        }
    }

    amld_arm_operation_headers(arm, operation, 0);
    amld_response_json(arm->response, 200, amld_arm_compute_now(arm));
}


/* May what is asked be changed, by whoever asks?  0, or -1 when the response
 * was filled. */
static int
arm_changes(amld_arm_t *arm, const amld_arm_put_t *put,
            const arm_people_t *people)
{
    const char *creator, *differs;

    creator = amld_compute_str(arm->doc, "creator");

    if (amld_compute_state(arm->doc) == AMLD_STATE_DELETING) {
        amld_response_error(arm->response, 409, "Conflict", NULL,
                            "The compute instance '%s' is being deleted.",
                            amld_compute_str(arm->doc, "name"));
        return -1;
    }

    /* Who names nobody asks for an instance of their own: as when two ask for
     * a name at the same moment. */
    if (!people->assigned && strcmp(people->owner, creator) != 0) {
        arm_name_taken(arm);
        return -1;
    }

    differs = strcmp(people->owner, creator) != 0
                  ? "personalComputeInstanceSettings.assignedUser"
                  : amld_arm_put_differs(put, arm->doc);
    if (differs != NULL) {
        amld_response_error(arm->response, 400, "PropertyChangeNotAllowed",
                            differs,
                            "A compute instance of the name '%s' exists. Its "
                            "'%s' was set when it was created and cannot be "
                            "changed.",
                            amld_compute_str(arm->doc, "name"), differs);
        return -1;
    }

    if (arm_owner_only(arm, put, people,
                       json_object_get(arm->doc, "requested")) != 0) {
        return -1;
    }

    return arm_scripts_own(arm, put, amld_compute_str(arm->doc, "folder"));
}


/* NULL when the response was filled. */
static const amld_size_t *
arm_size(amld_arm_t *arm, const amld_arm_put_t *put)
{
    char names[800];
    const amld_size_t *size;

    size = amld_size_find(arm->d->config, put->vm_size);
    if (size == NULL) {
        amld_size_names(arm->d->config, names, sizeof(names));
        amld_response_error(arm->response, 400, "UserError",
                            "properties.properties.vmSize",
                            "There is no vmSize '%s' in '%s'. There are: %s.",
                            put->vm_size, arm->workspace->location, names);
    }

    return size;
}


static int
arm_ssh_offered(amld_arm_t *arm, const amld_arm_put_t *put)
{
    const aml_application_t *a;

    a = aml_application_by_name(aml_str("ssh"));

    if (strcmp(amld_compute_str(put->ssh, "sshPublicAccess"), "Enabled") != 0 ||
        (a != NULL && amld_compute_program(arm->d->config, a) != NULL)) {
        return 0;
    }

    amld_response_error(arm->response, 400, "UserError",
                        "properties.properties.sshSettings",
                        "There is no SSH here: whoever runs this gateway has "
                        "not configured the application 'ssh'.");

    return -1;
}


static int
arm_quota(amld_arm_t *arm, const amld_size_t *size)
{
    json_t *message, *info;
    const char *region;
    aml_registry_rc_t rc;
    amld_quota_refusal_t no;

    region = arm->workspace->location;

    rc = amld_quota_check(arm->txn, arm->d->config, region, size->family,
                          size->cores, &no);
    if (rc != AML_REGISTRY_OK) {
        return amld_arm_registry_error(arm, rc);
    }
    if (no.name == NULL) {
        return 0;
    }

    message = json_sprintf(
        "The quota '%s' in '%s' is %lld cores, of which %lld are in use; '%s' "
        "has %u cores, which is %lld too many. Compute instances that are "
        "stopped count. Delete one, ask for a smaller size, or have the quota "
        "raised.",
        no.name, region, (long long) no.quota.limit, (long long) no.quota.used,
        size->name, size->cores, (long long) no.over);
    info =
        json_pack("{s:s,s:s,s:I,s:I,s:I,s:I}", "quota", no.name, "location",
                  region, "limit", (json_int_t) no.quota.limit, "currentValue",
                  (json_int_t) no.quota.used, "requested",
                  (json_int_t) size->cores, "exceededBy", (json_int_t) no.over);
    amld_response_json(arm->response, 409,
                       json_pack("{s:{s:s,s:o,s:s,s:[],s:[{s:s,s:o}],s:s}}",
                                 "error", "code", "QuotaExceeded", "message",
                                 message, "target",
                                 "properties.properties.vmSize", "details",
                                 "additionalInfo", "type", "Quota", "info",
                                 info, "requestId", arm->request->id));

    return -1;
}


static int
arm_document(amld_arm_t *arm, const amld_arm_put_t *put,
             const arm_people_t *people, const amld_size_t *size)
{
    int failed;
    char folder[192], now[AMLD_TIME_SIZE], runtime[AMLD_RUNTIME_SIZE],
        organisation[AML_UUID_TEXT + 1];
    json_t *requested;
    aml_registry_rc_t rc;
    aml_principal_id_t id;
    amld_arm_fault_t fault;

    requested = amld_arm_put_requested(put, size->name, &fault);
    if (requested == NULL) {
        amld_arm_faulty(arm, &fault);
        return -1;
    }

    rc = amld_compute_folder(arm->txn, arm->workspace, people->owner,
                             people->owner_name, folder, sizeof(folder));

    if (rc == AML_REGISTRY_OK && arm_scripts_own(arm, put, folder) != 0) {
        json_decref(requested);
        return -1;
    }
    if (rc == AML_REGISTRY_OK) {
        rc = amld_compute_runtime_new(arm->txn, arm->d->config, runtime);
    }

    /* Clients want an organisation; this deployment is the only one. */
    if (rc == AML_REGISTRY_OK &&
        aml_principal_derive(aml_str("urn:aml:organisation"),
                             aml_str_of(arm->d->config->studio), &id) != 0) {
        rc = AML_REGISTRY_FAILED;
    }
    if (rc != AML_REGISTRY_OK) {
        json_decref(requested);
        return amld_arm_registry_error(arm, rc);
    }

    aml_uuid_format(&id, organisation);
    amld_time_now(now);

    arm->doc = json_pack(
        "{s:s,s:s,s:s,s:s,s:o,s:s,s:s,s:s,s:s,s:s,s:[],s:s,s:{},s:o}", "name",
        arm->name, "workspace", arm->workspace->id, "location",
        arm->workspace->location, "runtime", runtime, "requested", requested,
        "creator", people->owner, "creatorName", people->owner_name,
        "organisation", organisation, "createdOn", now, "modifiedOn", now,
        "errors", "folder", folder, "commands", "tags",
        put->tags != NULL ? json_deep_copy(put->tags) : json_object());

    failed = arm->doc == NULL || amld_size_freeze(arm->doc, size) != 0;
    if (put->description != NULL) {
        failed |=
            amld_compute_set_str(arm->doc, "description", put->description);
    }
    if (strcmp(people->owner, people->caller) != 0) {
        failed |= json_object_set_new(arm->doc, "createdBy",
                                      json_pack("{s:s,s:s}", "principal",
                                                people->caller, "name",
                                                people->caller_name));
    }

    return failed ? amld_arm_registry_error(arm, AML_REGISTRY_FAILED) : 0;
}


static void
arm_name_taken(amld_arm_t *arm)
{
    amld_response_error(arm->response, 409, "NameNotAvailable", "name",
                        "The name '%s' is in use in '%s'. Names of compute "
                        "instances are unique in a region, without regard "
                        "to case.",
                        arm->name, arm->workspace->location);
}
