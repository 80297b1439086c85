#include "computes/services/service_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "computes/instances/on_demand_run.h"

#define RUN_SHELL "/bin/sh"
#define RUN_PROBE 100        /* ms between looks for sockets */
#define RUN_PROBE_SOON 10000 /* ms after its start */
#define RUN_VERIFY 2000      /* later, and when they were there */

/* What a command is started with. */
typedef struct {
    const char *argv[AMLD_SERVICE_ENDPOINTS * 2 + 8];
    const char *envp[AMLD_SERVICE_ENDPOINTS + AMLD_SERVICE_VARIABLES + 4];
    size_t env_count;
    char ports[AMLD_SERVICE_ENDPOINTS][8];
    char vars[AMLD_SERVICE_ENDPOINTS + 4][PATH_MAX + 64];
    char *input;
    char *strings; /* of envp */
} run_command_t;

/* A place among the apps whose service is gone. */
static const aml_application_t run_nobody = {.name = "", .on_demand = 1};

static void run_look(amld_instance_t *i, const json_t *doc,
                     const json_t *definition, int64_t now);
static void run_look_ports(amld_instance_t *i, int64_t now);
static void run_order(amld_app_t *app, amld_order_t order, int64_t now);
static void run_end(amld_app_t *app, int64_t now);
static void run_gone(amld_app_t *app, int64_t now);
static amld_app_t *run_find(amld_instance_t *i, const char *label);
static amld_app_t *run_new(amld_instance_t *i, const char *label);
static int run_define(amld_service_t *s, const json_t *definition);
static int
run_command(const amld_app_t *app, const char *sockets, run_command_t *r);
static void run_argv(run_command_t *r, const amld_endpoint_t *ends, size_t n,
                     const char *sockets, int relay);
static int run_envp(run_command_t *r, const amld_service_t *s,
                    const amld_endpoint_t *ends, size_t n, const char *sockets);
static int run_variables(run_command_t *r, const json_t *definition);
static int run_input(run_command_t *r, const json_t *definition);
static const char *run_image(const json_t *definition);
static void run_quote(FILE *f, const char *text);
static int
run_socket(const amld_app_t *app, unsigned port, char *path, size_t size);


void
amld_service_free(amld_service_t *s)
{
    if (s != NULL) {
        json_decref(s->definition);
        free(s);
    }
}


void
amld_services_look(amld_instance_t *i, const json_t *doc)
{
    int dirty;
    size_t k;
    int64_t now;
    amld_app_t *app;
    const json_t *list;

    now = amld_now();

    if (i->supervisor->engine->ports != NULL) {
        run_look_ports(i, now);
    }

    for (k = 0; k < i->app_count; k++) {
        app = &i->apps[k];
        if (app->service != NULL && !app->service->ports &&
            amld_service_find(doc, app->service->name) == NULL) {
            run_gone(app, now);
        }
    }

    list = amld_services(doc);
    for (k = 0; k < json_array_size(list); k++) {
        run_look(i, doc, json_array_get(list, k), now);
    }

    for (k = 0, dirty = 0; k < i->app_count; k++) {
        dirty |= i->apps[k].service != NULL && i->apps[k].demand.dirty;
    }
    if (dirty) {
        (void) amld_on_demand_write(i, now);
    }
}


size_t
amld_services_adopt(amld_instance_t *i, const json_t *doc)
{
    size_t n;
    int64_t now;
    json_t *command;
    const char *label, *name;
    amld_app_t *app;
    amld_command_id_t id;

    n = 0;
    now = amld_now();

    json_object_foreach(json_object_get(doc, "commands"), label, command)
    {
        name = amld_service_of_label(label);
        if ((name == NULL && strcmp(label, AMLD_SERVICE_PORTS) != 0) ||
            amld_compute_command(doc, label, &id) != 0 ||
            (app = run_new(i, label)) == NULL) {
            continue;
        }

        if (name != NULL) {
            app->service->definition =
                json_incref((json_t *) amld_service_find(doc, name));
            snprintf(app->service->revision, sizeof(app->service->revision),
                     "%s", amld_service_revision_of(doc, name));
            app->demand.answered = app->demand.told =
                amld_service_state(doc, name) == AMLD_SERVICE_RUNNING;
        }

        app->id = id;
        if (amld_command_inspect(&id) != AMLD_COMMAND_RUNNING) {
            continue;
        }

        app->running = 1;
        app->adopted = 1;
        app->watch = amld_command_watch(&id);
        app->probe_at = now;
        app->ready_by = AMLD_NEVER;
        app->up_since = now;
        n++;
    }

    return n;
}


int
amld_service_is(const amld_app_t *app)
{
    return app->service != NULL;
}


int
amld_service_is_stopping(const amld_app_t *app)
{
    return app->service != NULL && app->service->stopping;
}


int
amld_service_is_ports(const amld_app_t *app)
{
    return app->service != NULL && app->service->ports;
}


int
amld_service_exec(amld_app_t *app, char *err, size_t size)
{
    int rc;
    char bin[PATH_MAX];
    amld_command_t command;
    amld_engine_instance_t e;
    amld_engine_inside_t inside;
    amld_instance_t *i;
    amld_service_t *s;
    run_command_t *r;
    const amld_engine_t *engine;
    const amld_config_t *c;

    i = app->instance;
    s = app->service;
    c = i->supervisor->d->config;
    engine = i->supervisor->engine;
    amld_instance_engine(i, &e);

    if (s->ports) {
        rc = engine->ports(c, &e, s->label, &app->id, &app->hold, err, size);

    } else {
        r = calloc(1, sizeof(*r));
        if (r == NULL || s->definition == NULL) {
            snprintf(err, size, "no memory");
            free(r);
            return -1;
        }

        amld_engine_inside(engine, c, &e, &inside);
        rc = run_command(app, inside.sockets, r);
        if (rc != 0) {
            snprintf(err, size, "%s: no memory, or names are too long",
                     s->name);
        } else {
            memset(&command, 0, sizeof(command));
            command.name = s->label;
            command.argv = r->argv;
            command.envp = r->envp;
            command.input = r->input;
            command.image = run_image(s->definition);
            command.bin = command.image != NULL
                              ? ""
                              : amld_instance_bin(c, bin, sizeof(bin));
            rc = engine->exec(c, &e, &command, &app->id, &app->hold, err, size);
        }
        free(r->input);
        free(r->strings);
        free(r);
    }

    if (rc != 0) {
        app->hold = -1;
        return -1;
    }

    app->running = 1;
    app->ready = 0;
    app->again_at = AMLD_NEVER;
    app->watch = amld_command_watch(&app->id);

    return 0;
}


/* The gateway follows a path: what is there must be a socket, now and later. */
void
amld_service_probe(amld_app_t *app, int64_t now)
{
    int other;
    char path[PATH_MAX];
    size_t k, n, there;
    struct stat st;
    amld_endpoint_t ends[AMLD_SERVICE_ENDPOINTS];

    app->probe_at = now + (app->ready                             ? RUN_VERIFY
                           : now - app->up_since < RUN_PROBE_SOON ? RUN_PROBE
                                                                  : RUN_VERIFY);

    n = amld_service_endpoints(app->service->definition, ends);
    for (k = 0, there = 0, other = 0; k < n; k++) {
        if (run_socket(app, ends[k].target, path, sizeof(path)) == 0 &&
            lstat(path, &st) == 0) {
            there += S_ISSOCK(st.st_mode);
            other |= !S_ISSOCK(st.st_mode);
        }
    }

    if (other) {
        app->ready = 0;
        if (app->demand.told) {
            amld_log(AMLD_LOG_WARN, "%s: a socket of %s is none any more",
                     app->instance->name, app->service->label);
            app->demand.told = 0;
            app->demand.dirty = 1;
        }
    } else if (there == n) {
        app->ready = 1;
    }
}


int
amld_service_tick(amld_app_t *app, int64_t now)
{
    amld_service_t *s;

    s = app->service;
    if (!s->stopping) {
        return 0;
    }

    if (amld_instance_ended(app)) {
        s->stopping = 0;
        app->id.pid = 0;
        app->again_at = AMLD_NEVER;
        app->demand.told = 0;
        app->demand.dirty = 1;

        if (s->definition != NULL && s->again && !s->off) {
            s->again = 0;
            amld_on_demand_start(app, now);
        }

    } else if (now >= app->again_at) {
        (void) amld_command_stop(&app->id, 1 + (s->kills++ > 0));
        app->again_at = now + AMLD_KILL_PAUSE;
    }

    return 1;
}


int
amld_service_record(const amld_app_t *app, json_t *doc)
{
    int settled;
    const amld_service_t *s;
    amld_service_state_t state;

    s = app->service;

    if (amld_compute_set_command(doc, s->label,
                                 app->id.pid != 0 ? &app->id : NULL) != 0) {
        return -1;
    }
    if (s->ports) {
        return 0;
    }

    if (amld_service_find(doc, s->name) == NULL) {
        if (!app->running) {
            amld_service_forget(doc, s->name);
        }
        return 0;
    }

    settled = !s->stopping && !s->again;
    if (settled && s->order != AMLD_ORDER_NONE &&
        amld_service_order(doc, s->name) == s->order) {
        (void) amld_service_set_order(doc, s->name, AMLD_ORDER_NONE);
    }

    state = app->running && app->demand.told ? AMLD_SERVICE_RUNNING
            : app->running || app->again_at != AMLD_NEVER
                ? AMLD_SERVICE_STARTING
            : s->off                      ? AMLD_SERVICE_STOPPED
            : app->demand.failure != NULL ? AMLD_SERVICE_FAILED
                                          : AMLD_SERVICE_STARTING;

    return amld_service_set(
        doc, s->name, state,
        state == AMLD_SERVICE_FAILED ? app->demand.failure : NULL, s->revision);
}


void
amld_service_recorded(amld_app_t *app)
{
    amld_service_t *s;

    s = app->service;

    if (!s->stopping && !s->again) {
        s->order = AMLD_ORDER_NONE;
    }

    if (!s->ports && s->definition == NULL && !app->running) {
        free(app->demand.failure);
        memset(&app->demand, 0, sizeof(app->demand));
        amld_service_free(s);
        app->service = NULL;
        app->application = &run_nobody;
        app->again_at = AMLD_NEVER;

        /* Another may wait for the place. */
        app->instance->look_at = amld_now();
    }
}


static void
run_look(amld_instance_t *i, const json_t *doc, const json_t *definition,
         int64_t now)
{
    int changed;
    char label[AMLD_SERVICE_LABEL_SIZE], revision[AMLD_SERVICE_REVISION];
    amld_app_t *app;
    amld_order_t order;
    amld_service_state_t state;
    const char *name;

    name = amld_compute_str(definition, "name");
    amld_service_label(name, label);
    order = amld_service_order(doc, name);
    state = amld_service_state(doc, name);

    app = run_find(i, label);
    if (app == NULL) {
        if (order == AMLD_ORDER_NONE &&
            (state == AMLD_SERVICE_STOPPED || state == AMLD_SERVICE_FAILED ||
             (state == AMLD_SERVICE_NONE &&
              json_is_false(json_object_get(definition, "autoStart"))))) {
            return;
        }

        app = run_new(i, label);
        if (app == NULL || run_define(app->service, definition) != 0) {
            amld_log(AMLD_LOG_WARN,
                     "%s: %s waits: those before it have not ended, or there "
                     "is no memory",
                     i->name, label);
            return;
        }
        run_order(app, order != AMLD_ORDER_NONE ? order : AMLD_ORDER_START,
                  now);
        return;
    }

    changed = amld_service_revision(definition, revision) == 0 &&
              strcmp(revision, app->service->revision) != 0;
    if ((changed || app->service->definition == NULL) &&
        run_define(app->service, definition) != 0) {
        return;
    }

    if (order != AMLD_ORDER_NONE && order != app->service->order) {
        run_order(app, order, now);

    } else if (app->service->off) {
        return;

    } else if (changed && app->running) {
        if (!app->service->stopping) {
            run_end(app, now);
        }
        app->service->again = 1;

    } else if (!app->running && !app->demand.dirty &&
               (changed ||
                (app->again_at == AMLD_NEVER && app->demand.failure == NULL))) {
        amld_on_demand_start(app, now);
    }
}


static void
run_look_ports(amld_instance_t *i, int64_t now)
{
    amld_app_t *app;

    app = run_find(i, AMLD_SERVICE_PORTS);
    if (app == NULL) {
        app = run_new(i, AMLD_SERVICE_PORTS);
        if (app == NULL) {
            return;
        }
    }

    if (!app->running && !app->demand.dirty && app->again_at == AMLD_NEVER &&
        app->demand.failure == NULL) {
        amld_on_demand_start(app, now);
    }
}


static void
run_order(amld_app_t *app, amld_order_t order, int64_t now)
{
    amld_service_t *s;

    s = app->service;
    s->order = order;
    s->off = order == AMLD_ORDER_STOP;
    s->again = 0;

    if (app->running) {
        if (order != AMLD_ORDER_START && !s->stopping) {
            run_end(app, now);
        }
        s->again = order == AMLD_ORDER_RESTART || (!s->off && s->stopping);
        app->demand.dirty |= !s->stopping;
        return;
    }

    if (s->off) {
        free(app->demand.failure);
        app->demand.failure = NULL;
        app->again_at = AMLD_NEVER;
        app->demand.dirty = 1;
        return;
    }

    amld_on_demand_start(app, now);
}


static void
run_end(amld_app_t *app, int64_t now)
{
    unsigned patience = app->instance->supervisor->d->config->stop_timeout;

    (void) amld_command_stop(&app->id, 0);
    app->service->stopping = 1;
    app->service->kills = 0;
    app->again_at = now + (int64_t) patience * 1000;
}


static void
run_gone(amld_app_t *app, int64_t now)
{
    json_decref(app->service->definition);
    app->service->definition = NULL;
    app->service->again = 0;

    if (!app->running) {
        app->again_at = AMLD_NEVER;
        app->id.pid = 0;
        app->demand.dirty = 1;
    } else if (!app->service->stopping) {
        run_end(app, now);
    }
}


static amld_app_t *
run_find(amld_instance_t *i, const char *label)
{
    size_t k;

    for (k = 0; k < i->app_count; k++) {
        if (i->apps[k].service != NULL &&
            strcmp(i->apps[k].service->label, label) == 0) {
            return &i->apps[k];
        }
    }

    return NULL;
}


/* In a place that is free again, or a new one. */
static amld_app_t *
run_new(amld_instance_t *i, const char *label)
{
    size_t k;
    amld_app_t *app;
    amld_service_t *s;
    const char *name;

    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }

    name = amld_service_of_label(label);
    s->ports = name == NULL;
    snprintf(s->name, sizeof(s->name), "%s", name != NULL ? name : label);
    snprintf(s->label, sizeof(s->label), "%s", label);
    s->application.name = s->label;
    s->application.on_demand = 1;
    s->application.links[0].display_name = s->name;

    for (k = 0, app = NULL; k < i->app_count && app == NULL; k++) {
        if (i->apps[k].application == &run_nobody) {
            app = &i->apps[k];
            app->application = &s->application;
        }
    }
    if (app == NULL) {
        app = amld_instance_app(i, &s->application);
    }
    if (app == NULL) {
        free(s);
        return NULL;
    }

    app->service = s;

    return app;
}


static int
run_define(amld_service_t *s, const json_t *definition)
{
    if (amld_service_revision(definition, s->revision) != 0) {
        return -1;
    }

    json_decref(s->definition);
    s->definition = json_incref((json_t *) definition);

    return 0;
}


static int
run_command(const amld_app_t *app, const char *sockets, run_command_t *r)
{
    char path[PATH_MAX];
    size_t k, n;
    amld_endpoint_t ends[AMLD_SERVICE_ENDPOINTS];

    n = amld_service_endpoints(app->service->definition, ends);

    /* Of a command that was killed. */
    for (k = 0; k < n; k++) {
        if (run_socket(app, ends[k].target, path, sizeof(path)) != 0) {
            return -1;
        }
        (void) unlink(path);
    }

    /* In an image of its own it has the network, but not the sockets. */
    if (run_image(app->service->definition) != NULL) {
        sockets = NULL;
    }
    if (run_envp(r, app->service, ends, n, sockets) != 0) {
        return -1;
    }

    /* What the image runs by itself. */
    if (json_object_get(app->service->definition, "command") == NULL) {
        return run_variables(r, app->service->definition);
    }

    run_argv(r, ends, n, sockets,
             n != 0 && app->instance->supervisor->engine->ports == NULL);

    return run_input(r, app->service->definition);
}


static void
run_argv(run_command_t *r, const amld_endpoint_t *ends, size_t n,
         const char *sockets, int relay)
{
    size_t a, k;

    a = 0;
    if (relay) {
        r->argv[a++] = "/proc/self/exe";
        r->argv[a++] = "relay";
        r->argv[a++] = "--dir";
        r->argv[a++] = sockets;
        for (k = 0; k < n; k++) {
            snprintf(r->ports[k], sizeof(r->ports[k]), "%u", ends[k].target);
            r->argv[a++] = "--port";
            r->argv[a++] = r->ports[k];
        }
        r->argv[a++] = "--";
    }
    r->argv[a++] = RUN_SHELL;
    r->argv[a] = NULL;
}


static int
run_envp(run_command_t *r, const amld_service_t *s, const amld_endpoint_t *ends,
         size_t n, const char *sockets)
{
    int failed;
    size_t e, k;

#define RUN_VAR(...)                                                           \
    do {                                                                       \
        failed |= (size_t) snprintf(r->vars[e], sizeof(r->vars[e]),            \
                                    __VA_ARGS__) >= sizeof(r->vars[e]);        \
        r->envp[e] = r->vars[e];                                               \
        e++;                                                                   \
    } while (0)

    e = 0;
    failed = 0;

    RUN_VAR("AML_SERVICE=%s", s->name);
    if (n != 0) {
        RUN_VAR("AML_PORT=%u", ends[0].target);
    }
    if (n != 0 && sockets != NULL) {
        RUN_VAR("AML_SOCKET=%s/%u.sock", sockets, ends[0].target);
    }
    for (k = 1; k < n && sockets != NULL; k++) {
        RUN_VAR("AML_SOCKET_%u=%s/%u.sock", ends[k].target, sockets,
                ends[k].target);
    }
#undef RUN_VAR

    r->envp[e] = NULL;
    r->env_count = e;

    return failed ? -1 : 0;
}


/*
 * For what no shell of ours begins.  amld's own programs have them in their
 * environment, too, and must not be steered by them: so they have other names
 * there.
 */
static int
run_variables(run_command_t *r, const json_t *definition)
{
    char *text;
    FILE *f;
    size_t size;
    json_t *one;
    const char *name;

    f = open_memstream(&r->input, &size);
    if (f == NULL) {
        return -1;
    }

    json_object_foreach(json_object_get(definition, "environmentVariables"),
                        name, one)
    {
        fprintf(f, AMLD_ENGINE_VARIABLE "%s=%s%c", name,
                amld_compute_str(one, "value"), '\0');
    }
    if (fclose(f) != 0 || r->input == NULL) {
        return -1;
    }

    /* They are kept in the place of what a shell would read. */
    r->strings = r->input;
    r->input = NULL;
    for (text = r->strings; *text != '\0' && size != 0;
         text += strlen(text) + 1) {
        r->envp[r->env_count++] = text;
    }
    r->envp[r->env_count] = NULL;

    return 0;
}


/*
 * A shell reads what it is to do.  Not in the environment, as amld's own
 * programs, which may be root's, are run with that; nor in arguments, which all
 * of the machine may see.
 */
static int
run_input(run_command_t *r, const json_t *definition)
{
    FILE *f;
    size_t size;
    json_t *one;
    const char *name;

    f = open_memstream(&r->input, &size);
    if (f == NULL) {
        return -1;
    }

    /* In braces it is read as a whole before any of it is run. */
    fputs("{\n", f);
    json_object_foreach(json_object_get(definition, "environmentVariables"),
                        name, one)
    {
        fprintf(f, "export %s=", name);
        run_quote(f, amld_compute_str(one, "value"));
        fputc('\n', f);
    }
    fputs("exec " RUN_SHELL " -c ", f);
    run_quote(f, amld_compute_str(definition, "command"));
    fputs(" </dev/null\n}\n", f);

    return fclose(f) == 0 && r->input != NULL ? 0 : -1;
}


static const char *
run_image(const json_t *definition)
{
    return json_string_value(
        json_object_get(json_object_get(definition, "image"), "reference"));
}


static void
run_quote(FILE *f, const char *text)
{
    fputc('\'', f);
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs("'\\''", f);
        } else {
            fputc(*text, f);
        }
    }
    fputc('\'', f);
}


/* As the gateway finds it. */
static int
run_socket(const amld_app_t *app, unsigned port, char *path, size_t size)
{
    const amld_instance_t *i = app->instance;

    return (size_t) snprintf(path, size, "%s%s/%u.sock", i->runtime,
                             amld_engine_sockets(i->supervisor->d->config),
                             port) < size
               ? 0
               : -1;
}
