/*
 * The control API in Azure Resource Manager's shape: workspaces, computes and
 * their operations.  What is done takes effect in the registry; the supervisor
 * does the rest.
 *
 * The status of an operation is asked for at the compute's own path, with
 * "operation=<id>" in the query: whoever may read the compute may see how what
 * they asked for went, also with a role that holds for the workspace only.
 */

#ifndef AMLD_ARM_H
#define AMLD_ARM_H

#include "computes/http/http.h"
#include "computes/instances/computes.h"

extern const amld_http_route_t amld_arm_routes[];

#define AMLD_ARM_PROVIDER "Microsoft.MachineLearningServices"
#define AMLD_ARM_PAGE 30 /* computes on a page of a list */
#define AMLD_ARM_RETRY 1 /* seconds, Retry-After */


/* ---- arm_request.c: what every handler asks first ---- */

typedef struct {
    amld_t *d;
    const amld_request_t *request;
    amld_response_t *response;
    char asker[AML_UUID_TEXT + 1]; /* who asks, as documents name them */
    const amld_workspace_t *workspace;
    const char *version; /* api-version */
    aml_str_t scope;     /* where the gateway has allowed it, in the path */
    const char *name;    /* of the compute, as it was asked for */
    amld_key_t key;      /* of the compute */
    const aml_principal_id_t *of; /* whom it is made for, or NULL */
    aml_registry_txn_t *txn;
    json_t *doc;
    int works; /* a job of it runs */
} amld_arm_t;

/* Identity, action, api-version.  0, or -1 when the response was filled.
 * amld_arm_end() in either case. */
int amld_arm_enter(amld_arm_t *arm, amld_t *d, const amld_request_t *request,
                   amld_response_t *response);

/*
 * The same, workspace, and with `compute` its name.  0,
 * or -1 when the response was filled.  amld_arm_end() in either case.
 */
int amld_arm_begin(amld_arm_t *arm, amld_t *d, const amld_request_t *request,
                   amld_response_t *response, int compute);
void amld_arm_end(amld_arm_t *arm);

/* Opens a transaction and loads the compute.  1 when it is there, 0 when it is
 * not, -1 when the response was filled. */
int amld_arm_load(amld_arm_t *arm, int write);
/* To read only: 1 when it is there, else the response was filled. */
int amld_arm_found(amld_arm_t *arm);

/* Stores arm->doc, tells the supervisor, commits; 0, or -1 when the response
 * was filled. */
int amld_arm_commit(amld_arm_t *arm);
/* Of what ends something: also when there is no room for anything more. */
int amld_arm_commit_end(amld_arm_t *arm);

int amld_arm_registry_error(amld_arm_t *arm, aml_registry_rc_t rc); /* -1 */
void amld_arm_not_found(amld_arm_t *arm);

/* Azure-AsyncOperation, Retry-After and, with `location`, Location. */
void amld_arm_operation_headers(amld_arm_t *arm, const char *id, int location);

/* "https://" and the host that was asked. */
void amld_arm_base(const amld_arm_t *arm, char *base, size_t size);

/* 1 when the api-version is `date` or later. */
int amld_arm_since(const amld_arm_t *arm, const char *date);


/* ---- handlers: arm_list.c, arm_put.c, arm_lifecycle.c, arm_change.c,
 *      arm_location.c ---- */

void amld_arm_list(amld_t *d, const amld_request_t *request,
                   amld_response_t *response);
void amld_arm_put(amld_t *d, const amld_request_t *request,
                  amld_response_t *response);
void amld_arm_delete(amld_t *d, const amld_request_t *request,
                     amld_response_t *response);
void amld_arm_start(amld_t *d, const amld_request_t *request,
                    amld_response_t *response);
void amld_arm_stop(amld_t *d, const amld_request_t *request,
                   amld_response_t *response);
void amld_arm_restart(amld_t *d, const amld_request_t *request,
                      amld_response_t *response);
void amld_arm_update_idle(amld_t *d, const amld_request_t *request,
                          amld_response_t *response);
void amld_arm_update_schedules(amld_t *d, const amld_request_t *request,
                               amld_response_t *response);
void amld_arm_usages(amld_t *d, const amld_request_t *request,
                     amld_response_t *response);
void amld_arm_quotas(amld_t *d, const amld_request_t *request,
                     amld_response_t *response);
void amld_arm_update_quotas(amld_t *d, const amld_request_t *request,
                            amld_response_t *response);
void amld_arm_sizes(amld_t *d, const amld_request_t *request,
                    amld_response_t *response);
void amld_arm_list_nodes(amld_t *d, const amld_request_t *request,
                         amld_response_t *response);

/* arm_services.c */

void amld_arm_services_get(amld_t *d, const amld_request_t *request,
                           amld_response_t *response);
void amld_arm_services(amld_t *d, const amld_request_t *request,
                       amld_response_t *response);
void amld_arm_service_start(amld_t *d, const amld_request_t *request,
                            amld_response_t *response);
void amld_arm_service_stop(amld_t *d, const amld_request_t *request,
                           amld_response_t *response);
void amld_arm_service_restart(amld_t *d, const amld_request_t *request,
                              amld_response_t *response);

/* arm_idle.c */
void amld_arm_idle(amld_t *d, const amld_request_t *request,
                   amld_response_t *response);

/* ---- arm_events.c ---- */

void amld_arm_events(amld_t *d, const amld_request_t *request,
                     amld_response_t *response);
void amld_arm_log(amld_t *d, const amld_request_t *request,
                  amld_response_t *response);

/* Begins an operation in arm->doc and commits; 0, or -1 when the response was
 * filled. */
int
amld_arm_operation_begin(amld_arm_t *arm, const char *name, amld_state_t state);


/* ---- arm_answer.c: what is answered ---- */

/*
 * A new reference, NULL without memory.  `asker` is the principal who asks: the
 * owner gets all of it, others no scripts, and of what went wrong no more than
 * the first line, as behind it is the end of a log.
 */
json_t *
amld_arm_compute(const amld_config_t *c, const json_t *doc, const char *asker);
/* The same of arm->doc, for whoever asks, with what its jobs make of it. */
json_t *amld_arm_compute_now(const amld_arm_t *arm);
/* Of an answer: one that is Running is JobRunning while a job of it runs. */
void amld_arm_compute_works(json_t *body, int works);
json_t *amld_arm_workspace(const amld_workspace_t *workspace);
json_t *amld_arm_operation(const char *id, const json_t *op, const char *asker);

/* What `asker` may read of an error's message in a document, or operation,
 * whose "creator" is that; owned by the caller, NULL without memory. */
char *amld_arm_error_message(const json_t *doc, const json_t *error,
                             const char *asker);


/* ---- arm_body.c: what is asked ---- */

/* What is wrong with a body. */
typedef struct {
    const char *code;
    const char *target; /* static */
    char message[1024];
} amld_arm_fault_t;

int amld_arm_fault(amld_arm_fault_t *fault, const char *code,
                   const char *target, const char *format, ...)
    __attribute__((format(printf, 4, 5))); /* -1 */

/* Answers 400 with it, or 503 when it was amld's. */
void amld_arm_faulty(amld_arm_t *arm, const amld_arm_fault_t *fault);

/* The body as a JSON object, or NULL and a fault. */
json_t *amld_arm_body(const char *text, size_t n, amld_arm_fault_t *fault);

/* 0, or -1 and a fault when they are no tags. */
int amld_arm_tags_check(const json_t *tags, amld_arm_fault_t *fault);

/*
 * What a PUT asks for.  Members that are not there, or null, are not asked for;
 * but where one that may change is null, what there was goes.
 */
typedef struct {
    json_t *body;            /* owner of what is not said to be owned */
    json_t *tags;            /* NULL: none were sent */
    const char *description; /* NULL: none */
    const char *vm_size;     /* as it was sent; NULL: none */
    const char *user;        /* objectId of whom it is for; NULL: nobody */
    const char *tenant;      /* tenantId beside it; NULL: none */
    json_t *subnet;          /* {id}; owned, as what follows */
    json_t *ssh;             /* see arm_settings.h */
    json_t *scripts;
    json_t *idle;      /* json_null(): none any more */
    json_t *schedules; /* json_null(): none any more */
    json_t *services;  /* see service.h; json_null(): none any more */
} amld_arm_put_t;

/* Reads and checks what can be checked without the registry and the catalogue.
 * 0, or -1 and a fault; amld_arm_put_free() in either case. */
int
amld_arm_put_read(amld_arm_put_t *put, const char *text, size_t n,
                  const amld_workspace_t *workspace, amld_arm_fault_t *fault);
void amld_arm_put_free(amld_arm_put_t *put);

/*
 * What a document's "requested" is when the instance is new: a new reference,
 * or NULL and a fault.  Its members, where they were asked for: vmSize (always,
 * as the catalogue has it), subnet {id}, sshSettings {sshPublicAccess,
 * adminPublicKey}, idleTimeBeforeShutdown, schedules, setupScripts, in the
 * forms of arm_settings.h; customServices, in that of service.h.
 */
json_t *amld_arm_put_requested(const amld_arm_put_t *put, const char *vm_size,
                               amld_arm_fault_t *fault);

/* NULL, or the member that is fixed and is asked to be another than the
 * document's; static. */
const char *amld_arm_put_differs(const amld_arm_put_t *put, const json_t *doc);

/* Writes into the document what may change; 0, or -1 without memory. */
int amld_arm_put_apply(const amld_arm_put_t *put, json_t *doc);

#endif /* AMLD_ARM_H */
