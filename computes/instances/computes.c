#include "computes/instances/computes.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "auth/assignments.h"
#include "computes/automatic/due.h"
#include "computes/files/files.h"
#include "computes/instances/compute_index.h"
#include "computes/instances/on_demand.h"
#include "computes/instances/plan.h"
#include "computes/instances/routes.h"
#include "upstreams/host.h"

#define COMPUTE_FAMILY "compute/"
#define COMPUTE_FAMILY_LEN (sizeof(COMPUTE_FAMILY) - 1)

typedef struct {
    const char *name;
    aml_instance_state_t route;
} compute_state_t;

static int compute_lower(char *dst, size_t size, const char *src);
static aml_registry_rc_t
compute_put_json(aml_registry_txn_t *txn, const amld_key_t *key,
                 const json_t *doc);

static const compute_state_t compute_states[AMLD_STATE_COUNT] = {
    [AMLD_STATE_CREATING] = {"Creating", AML_INSTANCE_CREATING},
    [AMLD_STATE_CREATE_FAILED] = {"CreateFailed", AML_INSTANCE_FAILED},
    [AMLD_STATE_SETUP_FAILED] = {"SetupFailed", AML_INSTANCE_FAILED},
    [AMLD_STATE_STARTING] = {"Starting", AML_INSTANCE_STARTING},
    [AMLD_STATE_RUNNING] = {"Running", AML_INSTANCE_RUNNING},
    [AMLD_STATE_RESTARTING] = {"Restarting", AML_INSTANCE_RESTARTING},
    [AMLD_STATE_STOPPING] = {"Stopping", AML_INSTANCE_STOPPING},
    [AMLD_STATE_STOPPED] = {"Stopped", AML_INSTANCE_STOPPED},
    [AMLD_STATE_DELETING] = {"Deleting", AML_INSTANCE_DELETING},
    [AMLD_STATE_UNUSABLE] = {"Unusable", AML_INSTANCE_FAILED},
};


const char *
amld_state_name(amld_state_t state)
{
    return compute_states[state].name;
}


aml_instance_state_t
amld_state_route(amld_state_t state)
{
    return compute_states[state].route;
}


int
amld_state_is_not_created(amld_state_t state)
{
    return state == AMLD_STATE_CREATE_FAILED ||
           state == AMLD_STATE_SETUP_FAILED;
}


int
amld_compute_prefix(amld_key_t *key, const amld_workspace_t *workspace)
{
    char low[AML_REGISTRY_KEY_MAX + 1];

    if ((size_t) snprintf(low, sizeof(low), "%s/%s/%s/",
                          workspace->subscription, workspace->resource_group,
                          workspace->name) >= sizeof(low) ||
        compute_lower(low, sizeof(low), low) != 0) {
        return -1;
    }

    return amld_key_format(key, COMPUTE_FAMILY "%s", low);
}


int
amld_compute_key(amld_key_t *key, const amld_workspace_t *workspace,
                 const char *name)
{
    char low[AML_INSTANCE_NAME_MAX + 1];
    amld_key_t prefix = {.n = 0};

    if (amld_compute_prefix(&prefix, workspace) != 0 ||
        compute_lower(low, sizeof(low), name) != 0) {
        return -1;
    }

    return amld_key_format(key, "%s%s", prefix.p, low);
}


const amld_workspace_t *
amld_compute_workspace(const amld_config_t *c, const json_t *doc)
{
    size_t i;
    const char *id;

    id = amld_compute_str(doc, "workspace");

    for (i = 0; i < c->workspace_count; i++) {
        if (strcasecmp(c->workspaces[i].id, id) == 0) {
            return &c->workspaces[i];
        }
    }

    return NULL;
}


int
amld_compute_settled(const json_t *doc)
{
    amld_state_t state;

    state = amld_compute_state(doc);

    return (state == AMLD_STATE_STOPPED || amld_state_is_not_created(state) ||
            state == AMLD_STATE_UNUSABLE) &&
           json_object_size(json_object_get(doc, "commands")) == 0 &&
           json_object_get(doc, "step") == NULL;
}


aml_registry_rc_t
amld_compute_load(aml_registry_txn_t *txn, const amld_key_t *key, json_t **doc)
{
    aml_str_t value;
    aml_registry_rc_t rc;

    *doc = NULL;

    rc = aml_registry_get(txn, key->p, key->n, &value);

    return rc == AML_REGISTRY_OK ? amld_compute_parse(value, doc) : rc;
}


aml_registry_rc_t
amld_compute_parse(aml_str_t value, json_t **doc)
{
    size_t i;
    const char *state;

    *doc = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);

    /* What everything else relies on. */
    if (json_is_object(*doc)) {
        state = amld_compute_str(*doc, "state");
        for (i = 0; i < AMLD_STATE_COUNT; i++) {
            if (strcmp(compute_states[i].name, state) == 0) {
                break;
            }
        }
        if (i < AMLD_STATE_COUNT && amld_compute_str(*doc, "name")[0] != '\0' &&
            amld_compute_str(*doc, "runtime")[0] != '\0') {
            return AML_REGISTRY_OK;
        }
    }

    json_decref(*doc);
    *doc = NULL;

    return AML_REGISTRY_CORRUPT;
}


aml_registry_rc_t
amld_compute_store(aml_registry_txn_t *txn, const amld_config_t *c,
                   const amld_key_t *key, json_t *doc)
{
    char low[AML_INSTANCE_NAME_MAX + 1];
    amld_key_t name = {.n = 0};
    aml_registry_rc_t rc;

    /* What was started on demand ends with the instance, and is on demand
     * again. */
    if (amld_routes_head(doc) != AML_INSTANCE_RUNNING) {
        (void) json_object_del(doc, "onDemand");
        (void) json_object_del(doc, "services");
    }

    rc = amld_compute_index_add(txn, key, doc);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_plan(txn, key, doc);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = compute_put_json(txn, key, doc);
    }
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    if (compute_lower(low, sizeof(low), amld_compute_str(doc, "name")) != 0 ||
        amld_key_format(&name, "name/%s/%s", amld_compute_str(doc, "location"),
                        low) != 0) {
        return AML_REGISTRY_TOOLONG;
    }

    rc = aml_registry_put(txn, name.p, name.n, key->p, key->n);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    return amld_routes_put(txn, c, doc);
}


aml_registry_rc_t
amld_compute_remove(aml_registry_txn_t *txn, const amld_key_t *key,
                    const json_t *doc)
{
    char low[AML_INSTANCE_NAME_MAX + 1], id[AMLD_SCOPE_MAX + 1];
    amld_key_t name = {.n = 0};
    aml_registry_rc_t rc;

    if (compute_lower(low, sizeof(low), amld_compute_str(doc, "name")) != 0 ||
        amld_key_format(&name, "name/%s/%s", amld_compute_str(doc, "location"),
                        low) != 0) {
        return AML_REGISTRY_TOOLONG;
    }

    rc = amld_compute_index_remove(txn, key, doc);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_due_remove(txn, doc);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_del(txn, key->p, key->n);
    }
    if (rc == AML_REGISTRY_OK || rc == AML_REGISTRY_NOTFOUND) {
        rc = aml_registry_del(txn, name.p, name.n);
    }
    if (rc == AML_REGISTRY_OK || rc == AML_REGISTRY_NOTFOUND) {
        rc = amld_routes_drop(txn, low);
    }

    /* The next of its name is somebody else's. */
    if (rc == AML_REGISTRY_OK && amld_compute_id(doc, id, sizeof(id)) == 0) {
        rc = amld_assignments_end_below(txn, id);
    }

    return rc;
}


aml_registry_rc_t
amld_compute_notify(aml_registry_txn_t *txn, const amld_key_t *key)
{
    amld_key_t pending = {.n = 0};

    if (amld_key_format(&pending, "pending/%s", key->p + COMPUTE_FAMILY_LEN) !=
        0) {
        return AML_REGISTRY_TOOLONG;
    }

    return aml_registry_put(txn, pending.p, pending.n, "1", 1);
}


aml_registry_rc_t
amld_compute_claim(aml_registry_txn_t *txn, const char *location,
                   const char *name, const amld_key_t *key)
{
    char low[AML_INSTANCE_NAME_MAX + 1], route[AML_REGISTRY_KEY_MAX + 1];
    size_t n;
    amld_key_t own = {.n = 0};
    aml_str_t value;
    aml_registry_rc_t rc;

    if (compute_lower(low, sizeof(low), name) != 0 ||
        amld_key_format(&own, "name/%s/%s", location, low) != 0) {
        return AML_REGISTRY_TOOLONG;
    }

    rc = aml_registry_get(txn, own.p, own.n, &value);
    if (rc == AML_REGISTRY_OK) {
        return aml_str_eq(value, (aml_str_t){key->p, key->n})
                   ? AML_REGISTRY_OK
                   : AML_REGISTRY_NOTFOUND;
    }
    if (rc != AML_REGISTRY_NOTFOUND) {
        return rc;
    }

    /* Regions that share one apps domain share its host names. */
    n = aml_key_route(route, aml_str_of(low), 0);
    rc = aml_registry_get(txn, route, n, &value);

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK
           : rc == AML_REGISTRY_OK     ? AML_REGISTRY_NOTFOUND
                                       : rc;
}


aml_registry_rc_t
amld_compute_folder(aml_registry_txn_t *txn, const amld_workspace_t *workspace,
                    const char *principal, const char *label, char *folder,
                    size_t size)
{
    int round;
    char name[128], low[128], whose[192];
    size_t n;
    aml_str_t value;
    amld_key_t prefix = {.n = 0}, key = {.n = 0};
    aml_registry_rc_t rc;

    if (amld_compute_prefix(&prefix, workspace) != 0) {
        return AML_REGISTRY_TOOLONG;
    }

    amld_files_name(label, name, 66);
    if (name[0] == '\0') {
        snprintf(name, sizeof(name), "%s", principal);
    }

    rc = AML_REGISTRY_FAILED;

    for (round = 0; round < 2; round++) {
        if (round == 1) {
            n = strlen(name);
            snprintf(name + n, sizeof(name) - n, "-%s", principal);
        }

        /* Lower case: shares may be on file systems that ignore it. */
        compute_lower(low, sizeof(low), name);
        if (amld_key_format(&key, "folder/%s%s", prefix.p + COMPUTE_FAMILY_LEN,
                            low) != 0) {
            return AML_REGISTRY_TOOLONG;
        }

        rc = aml_registry_get(txn, key.p, key.n, &value);
        if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
            return rc;
        }
        n = strlen(principal);
        if (rc == AML_REGISTRY_OK &&
            (value.n < n || memcmp(value.p, principal, n) != 0)) {
            rc = AML_REGISTRY_FAILED;
            continue;
        }

        /* As it was spelt when it was made: labels change. */
        if (rc == AML_REGISTRY_OK && value.n > n + 1 && value.p[n] == '/' &&
            value.n - n <= sizeof(name)) {
            memcpy(name, value.p + n + 1, value.n - n - 1);
            name[value.n - n - 1] = '\0';
            break;
        }
        if ((size_t) snprintf(whose, sizeof(whose), "%s/%s", principal, name) >=
            sizeof(whose)) {
            return AML_REGISTRY_TOOLONG;
        }
        rc = aml_registry_put(txn, key.p, key.n, whose, strlen(whose));
        break;
    }

    if (rc == AML_REGISTRY_OK &&
        (size_t) snprintf(folder, size, "Users/%s", name) >= size) {
        return AML_REGISTRY_TOOLONG;
    }

    return rc;
}


aml_registry_rc_t
amld_compute_generation(aml_registry_txn_t *txn, uint64_t *generation)
{
    char text[32];
    uint64_t last;
    aml_str_t value;
    aml_registry_rc_t rc;
    struct timespec now;

    static const char key[] = "meta/generation";

    last = 0;
    rc = aml_registry_get(txn, key, sizeof(key) - 1, &value);
    if (rc == AML_REGISTRY_OK && value.n < sizeof(text)) {
        memcpy(text, value.p, value.n);
        text[value.n] = '\0';
        last = strtoull(text, NULL, 10);
    } else if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        return rc;
    }

    clock_gettime(CLOCK_REALTIME, &now);
    *generation =
        (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
    if (*generation <= last) {
        *generation = last + 1;
    }

    snprintf(text, sizeof(text), "%" PRIu64, *generation);

    return aml_registry_put(txn, key, sizeof(key) - 1, text, strlen(text));
}


const char *
amld_compute_str(const json_t *doc, const char *member)
{
    const char *s;

    s = json_string_value(json_object_get(doc, member));

    return s != NULL ? s : "";
}


amld_state_t
amld_compute_state(const json_t *doc)
{
    size_t i;
    const char *name;

    name = amld_compute_str(doc, "state");

    for (i = 0; i < AMLD_STATE_COUNT; i++) {
        if (strcmp(compute_states[i].name, name) == 0) {
            return (amld_state_t) i;
        }
    }

    return AMLD_STATE_UNUSABLE;
}


int
amld_compute_set_state(json_t *doc, amld_state_t state)
{
    return amld_compute_set_str(doc, "state", compute_states[state].name);
}


int
amld_compute_set_str(json_t *doc, const char *member, const char *value)
{
    return json_object_set_new(doc, member, json_string(value));
}


int
amld_compute_set_error(json_t *doc, const char *code, const char *message)
{
    if (code == NULL) {
        return json_object_set_new(doc, "errors", json_array());
    }

    return json_object_set_new(
        doc, "errors",
        json_pack("[{s:s,s:s}]", "code", code, "message", message));
}


int
amld_compute_id(const json_t *doc, char *id, size_t size)
{
    return (size_t) snprintf(id, size, "%s/computes/%s",
                             amld_compute_str(doc, "workspace"),
                             amld_compute_str(doc, "name")) < size
               ? 0
               : -1;
}


int
amld_compute_modified(json_t *doc)
{
    char now[AMLD_TIME_SIZE];

    amld_time_now(now);

    return amld_compute_set_str(doc, "modifiedOn", now);
}


int
amld_compute_command(const json_t *doc, const char *application,
                     amld_command_id_t *id)
{
    const json_t *command;

    command = json_object_get(json_object_get(doc, "commands"), application);
    if (!json_is_object(command)) {
        return -1;
    }

    id->pid = json_integer_value(json_object_get(command, "pid"));
    id->started =
        (uint64_t) json_integer_value(json_object_get(command, "started"));
    snprintf(id->boot, sizeof(id->boot), "%s",
             amld_compute_str(command, "boot"));

    return 0;
}


int
amld_compute_set_command(json_t *doc, const char *application,
                         const amld_command_id_t *id)
{
    json_t *commands;

    commands = json_object_get(doc, "commands");
    if (!json_is_object(commands)) {
        if (json_object_set_new(doc, "commands", json_object()) != 0) {
            return -1;
        }
        commands = json_object_get(doc, "commands");
    }

    if (id == NULL) {
        (void) json_object_del(commands, application);
        return 0;
    }

    return json_object_set_new(
        commands, application,
        json_pack("{s:I,s:I,s:s}", "pid", (json_int_t) id->pid, "started",
                  (json_int_t) id->started, "boot", id->boot));
}


int
amld_compute_origin(const amld_config_t *c, const char *name, unsigned port,
                    char *origin, size_t size)
{
    int n;
    char low[AML_INSTANCE_NAME_MAX + 1];

    if (compute_lower(low, sizeof(low), name) != 0) {
        return -1;
    }

    if (port == AML_PORT_DEFAULT) {
        n = snprintf(origin, size, "https://%s.%s%s", low, c->apps,
                     c->apps_port);
    } else {
        n = snprintf(origin, size, "https://%s-%u.%s%s", low, port, c->apps,
                     c->apps_port);
    }

    return n > 0 && (size_t) n < size ? 0 : -1;
}


int
amld_compute_runtime(const amld_config_t *c, const json_t *doc, char *path,
                     size_t size)
{
    return (size_t) snprintf(path, size, "%s/i/%s", c->state,
                             amld_compute_str(doc, "runtime")) < size
               ? 0
               : -1;
}


int
amld_compute_socket(const amld_config_t *c, const json_t *doc,
                    const char *application, char *path, size_t size)
{
    return (size_t) snprintf(path, size, "%s/i/%s%s/%s.sock", c->state,
                             amld_compute_str(doc, "runtime"),
                             amld_engine_sockets(c), application) < size
               ? 0
               : -1;
}


int
amld_compute_has(const amld_config_t *c, const aml_application_t *a,
                 const char *public_key)
{
    return !a->on_demand && (!a->by_key || public_key != NULL) &&
           amld_compute_program(c, a) != NULL;
}


const char *
amld_compute_public_key(const json_t *doc)
{
    const char *key;
    const json_t *ssh;

    ssh = json_object_get(json_object_get(doc, "requested"), "sshSettings");
    key = amld_compute_str(ssh, "adminPublicKey");

    return strcmp(amld_compute_str(ssh, "sshPublicAccess"), "Enabled") == 0 &&
                   key[0] != '\0'
               ? key
               : NULL;
}


const char *
amld_compute_program(const amld_config_t *c, const aml_application_t *a)
{
    size_t i;

    for (i = 0; i < c->application_count; i++) {
        if (strcmp(c->applications[i].name, a->name) == 0) {
            return c->applications[i].program;
        }
    }

    return NULL;
}


void
amld_time_now(char text[AMLD_TIME_SIZE])
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    amld_time_text(text, (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000);
}


void
amld_time_text(char text[AMLD_TIME_SIZE], int64_t ms)
{
    size_t n;
    time_t seconds;
    struct tm tm;

    seconds = (time_t) (ms / 1000);
    n = 0;
    if (gmtime_r(&seconds, &tm) != NULL) {
        n = strftime(text, AMLD_TIME_SIZE - 5, "%Y-%m-%dT%H:%M:%S", &tm);
    }
    snprintf(text + n, AMLD_TIME_SIZE - n, ".%03dZ", (int) (ms % 1000));
}


int
amld_key_format(amld_key_t *key, const char *format, ...)
{
    int n;
    va_list args;

    va_start(args, format);
    n = vsnprintf(key->p, sizeof(key->p), format, args);
    va_end(args);

    if (n <= 0 || (size_t) n >= sizeof(key->p)) {
        return -1;
    }

    key->n = (size_t) n;

    return 0;
}


static int
compute_lower(char *dst, size_t size, const char *src)
{
    size_t i;

    for (i = 0; src[i] != '\0'; i++) {
        if (i + 1 >= size) {
            return -1;
        }
        dst[i] = src[i] >= 'A' && src[i] <= 'Z' ? (char) (src[i] + 32) : src[i];
    }
    dst[i] = '\0';

    return 0;
}


static aml_registry_rc_t
compute_put_json(aml_registry_txn_t *txn, const amld_key_t *key,
                 const json_t *doc)
{
    char *text;
    aml_registry_rc_t rc;

    text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
    if (text == NULL) {
        return AML_REGISTRY_FAILED;
    }

    rc = aml_registry_put(txn, key->p, key->n, text, strlen(text));
    free(text);

    return rc;
}
