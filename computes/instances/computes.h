/*
 * Compute instances as the registry holds them: one JSON document each, and
 * the route records that the gateway reads.  What is at route/ always follows
 * from the document and is written in the same transaction.
 *
 *   compute/<subscription>/<group>/<workspace>/<name>   all lower case
 *   name/<region>/<name>        whose it is: that compute key
 *   pending/<as behind compute/>  the supervisor has to look at it
 *   operation/<id>              see operations.h
 *   folder/<subscription>/<group>/<workspace>/<folder>   whose it is, "/", and
 *     its name as it is spelt; the key has it in lower case
 *   meta/generation             the last one given out
 *   what is beside these follows from the documents, see compute_index.h
 *
 * The document's members:
 *
 *   name, workspace (ARM id), location, tags, requested (the caller's inner
 *   properties, see arm.h), size {family, cores, memory (MiB), gpus},
 *   creator (principal whose it is), creatorName, createdBy {principal, name}
 *   (who asked for it, where that was another), organisation, createdOn,
 *   modifiedOn, state, lastOperation {name, time, status, trigger},
 *   errors [{code, message}], folder (the creator's, below the share),
 *   runtime (name of the private directory), generation,
 *   operation (id of the one under way, or absent),
 *   schedule, idle, due (schedule.h, idle.h, due.h),
 *   account (that its commands ran as, the last time),
 *   begun (commands are those of the start under way, not of the one before),
 *   created (its creation script has succeeded), progress, see progress.h,
 *   commands {<application>: {pid, started, boot}},
 *   step {name, pid, started, boot, began (ms since 1970), timeout (s)}: of a
 *   start that has not come to its applications, see step.h,
 *   onDemand {<application>: {state, time, message}}, see on_demand.h,
 *   services {<name>: …}, see service.h.
 */

#ifndef AMLD_COMPUTES_H
#define AMLD_COMPUTES_H

#include <jansson.h>

#include "computes/config/config.h"
#include "computes/engines/engine.h"
#include "registry/records.h"
#include "registry/registry.h"
#include "upstreams/application.h"

typedef enum {
    AMLD_STATE_CREATING = 0,
    AMLD_STATE_CREATE_FAILED,
    AMLD_STATE_SETUP_FAILED, /* the same, by a script of the creator's */
    AMLD_STATE_STARTING,
    AMLD_STATE_RUNNING,
    AMLD_STATE_RESTARTING,
    AMLD_STATE_STOPPING,
    AMLD_STATE_STOPPED,
    AMLD_STATE_DELETING,
    AMLD_STATE_UNUSABLE,
    AMLD_STATE_COUNT
} amld_state_t;

const char *amld_state_name(amld_state_t state);           /* ARM's, static */
aml_instance_state_t amld_state_route(amld_state_t state); /* the gateway's */

/* 1 when it was never created, and may be again: CreateFailed, SetupFailed. */
int amld_state_is_not_created(amld_state_t state);

typedef struct {
    size_t n;
    char p[AML_REGISTRY_KEY_MAX + 1];
} amld_key_t;

/* As printf; 0, or -1 when it is too long or nothing. */
int amld_key_format(amld_key_t *key, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* 0, or -1 when it is too long. */
int amld_compute_key(amld_key_t *key, const amld_workspace_t *workspace,
                     const char *name);
int amld_compute_prefix(amld_key_t *key, const amld_workspace_t *workspace);

/* Nothing of it runs, and nothing is to be done. */
int amld_compute_settled(const json_t *doc);

/* The workspace that a document names; NULL when it is configured no more. */
const amld_workspace_t *
amld_compute_workspace(const amld_config_t *c, const json_t *doc);


/* A new reference in *doc; NOTFOUND, CORRUPT when it is no such document. */
aml_registry_rc_t
amld_compute_load(aml_registry_txn_t *txn, const amld_key_t *key, json_t **doc);

/* The same of what a key has. */
aml_registry_rc_t amld_compute_parse(aml_str_t value, json_t **doc);

/* Writes document, name and routes. */
aml_registry_rc_t
amld_compute_store(aml_registry_txn_t *txn, const amld_config_t *c,
                   const amld_key_t *key, json_t *doc);

/* Removes them all. */
aml_registry_rc_t amld_compute_remove(aml_registry_txn_t *txn,
                                      const amld_key_t *key, const json_t *doc);

/* Tells the supervisor; amld_wake() after the commit. */
aml_registry_rc_t
amld_compute_notify(aml_registry_txn_t *txn, const amld_key_t *key);

/* Is `name` free for `key` in the region and at the gateway?  OK, or
 * NOTFOUND when another has it. */
aml_registry_rc_t
amld_compute_claim(aml_registry_txn_t *txn, const char *location,
                   const char *name, const amld_key_t *key);

/*
 * The creator's folder below the share, "Users/<name>".  The first with a name
 * has it, whatever the case; the next of the same name gets their principal
 * added.  It stays as it was spelt then, however the label changes its case.
 */
aml_registry_rc_t
amld_compute_folder(aml_registry_txn_t *txn, const amld_workspace_t *workspace,
                    const char *principal, const char *label, char *folder,
                    size_t size);

/* Never the same twice, grows: microseconds since 1970, or one more than the
 * one before. */
aml_registry_rc_t
amld_compute_generation(aml_registry_txn_t *txn, uint64_t *generation);


/* ---- members ---- */

const char *amld_compute_str(const json_t *doc, const char *member); /* "" */
amld_state_t amld_compute_state(const json_t *doc);
int amld_compute_set_state(json_t *doc, amld_state_t state);
int amld_compute_set_str(json_t *doc, const char *member, const char *value);
int amld_compute_set_error(json_t *doc, const char *code, const char *message);

/* What a message of an error has before the end of a log, which is for the
 * creator alone. */
#define AMLD_LOG_FOLLOWS " The end of its log:\n"
int amld_compute_id(const json_t *doc, char *id, size_t size);
int amld_compute_modified(json_t *doc); /* modifiedOn: now */

int amld_compute_command(const json_t *doc, const char *application,
                         amld_command_id_t *id); /* -1: none */
int amld_compute_set_command(json_t *doc, const char *application,
                             const amld_command_id_t *id); /* NULL: none */

/* The key that SSH was asked for with; NULL: it was not. */
const char *amld_compute_public_key(const json_t *doc);

/* "https://name.apps:port", of an application's port. */
int amld_compute_origin(const amld_config_t *c, const char *name, unsigned port,
                        char *origin, size_t size);

/* Directory, and an application's socket in it. */
int amld_compute_runtime(const amld_config_t *c, const json_t *doc, char *path,
                         size_t size);
int amld_compute_socket(const amld_config_t *c, const json_t *doc,
                        const char *application, char *path, size_t size);

/* Of a running instance: the state of the application's route; UNKNOWN when it
 * has none. */
aml_instance_state_t
amld_compute_application(const amld_config_t *c, const json_t *doc,
                         const aml_application_t *a);

/* 1 when the application is configured and started with an instance, which was
 * created with this key, or NULL. */
int amld_compute_has(const amld_config_t *c, const aml_application_t *a,
                     const char *public_key);

/* Path of the program, NULL when it is not configured. */
const char *
amld_compute_program(const amld_config_t *c, const aml_application_t *a);

/* "2026-11-23T09:07:44.123Z" */
#define AMLD_TIME_SIZE 32
void amld_time_now(char text[AMLD_TIME_SIZE]);
void amld_time_text(char text[AMLD_TIME_SIZE], int64_t ms); /* since 1970 */

#endif /* AMLD_COMPUTES_H */
