#include "computes/services/service_read.h"

#include <string.h>
#include <strings.h>

#include "computes/engines/engine.h"
#include "upstreams/application.h"
#include "upstreams/host.h"

#define READ_PORT_LEAST 1024
#define READ_PORT_SSH 22
#define READ_ENDPOINT_NAME 64

/* What has been seen in the services before, and what is looked at. */
typedef struct {
    const char *target;
    amld_arm_fault_t *fault;
    const char *name; /* of the service */
    unsigned ports[AMLD_SERVICE_ENDPOINTS][2];
    size_t port_count;
} read_t;

static int read_service(read_t *r, const json_t *value, json_t *out);
static int read_name(read_t *r, const json_t *value, const json_t *list);
static int read_image(read_t *r, const json_t *value, json_t *service);
static int read_variables(read_t *r, const json_t *value, json_t *service);
static int read_is_variable(const char *name);
static int read_endpoints(read_t *r, const json_t *value, json_t *service);
static int read_endpoint(read_t *r, const json_t *value, json_t *list);
static int
read_port(read_t *r, const json_t *value, const char *what, unsigned *port);
static int read_published(read_t *r, unsigned port);
static const char *read_reserved(unsigned port);
static const json_t *read_member(const json_t *object, const char *name);
static int read_fault(read_t *r, const char *text);
static int read_memory(read_t *r);


int
amld_services_read(const json_t *value, const char *target, json_t **out,
                   amld_arm_fault_t *fault)
{
    size_t i;
    read_t r;

    memset(&r, 0, sizeof(r));
    r.target = target;
    r.fault = fault;
    r.name = "";

    *out = json_array();
    if (*out == NULL) {
        return read_memory(&r);
    }

    if (!json_is_array(value) || json_array_size(value) > AMLD_SERVICES_MAX) {
        return amld_arm_fault(fault, "UserError", target,
                              "customServices is a list of at most %d "
                              "services.",
                              AMLD_SERVICES_MAX);
    }

    for (i = 0; i < json_array_size(value); i++) {
        if (read_service(&r, json_array_get(value, i), *out) != 0) {
            return -1;
        }
    }

    return 0;
}


json_t *
amld_services_merge(const json_t *list, const json_t *old, const char *target,
                    amld_arm_fault_t *fault)
{
    size_t i, k;
    json_t *merged;
    const char *name;
    const json_t *one, *before;

    merged = json_array();

    for (i = 0; i < json_array_size(list); i++) {
        one = json_array_get(list, i);
        name = amld_compute_str(one, "name");

        if (json_object_get(one, "endpoints") == NULL) {
            for (k = 0, before = NULL; k < json_array_size(old); k++) {
                before = json_array_get(old, k);
                if (strcmp(amld_compute_str(before, "name"), name) == 0) {
                    break;
                }
            }
            if (k == json_array_size(old)) {
                (void) amld_arm_fault(
                    fault, "UserError", target,
                    "The service '%.64s' has neither a 'command' nor an "
                    "'image', and there is none of that name to be left as it "
                    "is.",
                    name);
                json_decref(merged);
                return NULL;
            }
            one = before;
        }

        if (json_array_append(merged, (json_t *) one) != 0) {
            json_decref(merged);
            merged = NULL;
            break;
        }
    }

    if (merged == NULL) {
        (void) amld_arm_fault(fault, "InternalServerError", NULL, "no memory");
    }

    return merged;
}


int
amld_services_fit(const amld_config_t *c, const json_t *list,
                  const char *target, amld_arm_fault_t *fault)
{
    size_t i, k, n;
    const char *name;
    const json_t *one;
    const amld_engine_t *engine;
    amld_endpoint_t ends[AMLD_SERVICE_ENDPOINTS];

    engine = amld_engine_of(c);

    for (i = 0; i < json_array_size(list); i++) {
        one = json_array_get(list, i);
        name = amld_compute_str(one, "name");

        if (json_object_get(one, "image") != NULL &&
            (engine == NULL || !engine->images)) {
            return amld_arm_fault(fault, "UserError", target,
                                  "The service '%.64s' has an image. The "
                                  "engine '%s' runs services by a 'command' "
                                  "only.",
                                  name, engine != NULL ? engine->name : "");
        }

        if (engine != NULL && engine->ports != NULL) {
            continue;
        }

        n = amld_service_endpoints(one, ends);
        for (k = 0; k < n; k++) {
            if (ends[k].target < READ_PORT_LEAST ||
                read_reserved(ends[k].target) != NULL) {
                return amld_arm_fault(
                    fault, "UserError", target,
                    "The service '%.64s' has the target %u. Instances share "
                    "this machine's ports: a target is %d or above, and none "
                    "of 8080, 8787 and 8888.",
                    name, ends[k].target, READ_PORT_LEAST);
            }
        }
    }

    return 0;
}


static int
read_service(read_t *r, const json_t *value, json_t *list)
{
    int failed;
    json_t *service;
    const json_t *command, *image, *own;

    r->name = "";
    if (!json_is_object(value)) {
        return read_fault(r, "Each of customServices is an object.");
    }
    if (read_name(r, read_member(value, "name"), list) != 0) {
        return -1;
    }

    service = json_pack("{s:s}", "name", r->name);
    if (service == NULL || json_array_append_new(list, service) != 0) {
        return read_memory(r);
    }

    command = read_member(value, "command");
    image = read_member(value, "image");
    own = read_member(image, "reference");
    if (json_is_object(image) &&
        (own == NULL ||
         (json_is_string(own) && json_string_length(own) == 0))) {
        image = NULL; /* as clients get it of one that has none */
    }

    if (command == NULL && image == NULL) {
        return 0;
    }

    if (command != NULL) {
        if (!json_is_string(command) || json_string_length(command) == 0 ||
            json_string_length(command) > AMLD_SERVICE_COMMAND) {
            return amld_arm_fault(r->fault, "UserError", r->target,
                                  "The 'command' of the service '%s' is text "
                                  "of 1 to %d bytes, for a shell.",
                                  r->name, AMLD_SERVICE_COMMAND);
        }
        if (json_object_set(service, "command", (json_t *) command) != 0) {
            return read_memory(r);
        }
    }

    own = read_member(value, "volumes");
    if (own != NULL && (!json_is_array(own) || json_array_size(own) != 0)) {
        return read_fault(r, "has 'volumes', which there are not: it has its "
                             "instance's files, the share among them.");
    }
    if (read_member(value, "kernel") != NULL) {
        return read_fault(r, "has a 'kernel', which can't be asked for here.");
    }

    own = read_member(value, "autoStart");
    if (own != NULL && !json_is_boolean(own)) {
        return read_fault(r, "has an 'autoStart' that is neither true nor "
                             "false.");
    }
    failed = json_object_set_new(service, "autoStart",
                                 json_boolean(!json_is_false(own)));

    if (failed) {
        return read_memory(r);
    }

    return read_image(r, image, service) != 0 ||
                   read_variables(r, read_member(value, "environmentVariables"),
                                  service) != 0 ||
                   read_endpoints(r, read_member(value, "endpoints"),
                                  service) != 0
               ? -1
               : 0;
}


static int
read_name(read_t *r, const json_t *value, const json_t *list)
{
    size_t i, n;
    const char *name;

    name = json_string_value(value);
    n = name != NULL ? strlen(name) : 0;

    if (n == 0 || n > AMLD_SERVICE_NAME ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                     "0123456789_-") != n ||
        name[0] == '-' || name[0] == '_') {
        return amld_arm_fault(r->fault, "UserError", r->target,
                              "A service's 'name' has 1 to %d letters, digits, "
                              "'-' and '_', and begins with a letter or digit.",
                              AMLD_SERVICE_NAME);
    }

    for (i = 0; i < json_array_size(list); i++) {
        if (strcasecmp(amld_compute_str(json_array_get(list, i), "name"),
                       name) == 0) {
            return amld_arm_fault(r->fault, "UserError", r->target,
                                  "There are two services of the name '%s'.",
                                  name);
        }
    }

    r->name = name;

    return 0;
}


static int
read_image(read_t *r, const json_t *value, json_t *service)
{
    size_t i;
    const char *text;
    const json_t *type, *reference;

    if (value == NULL) {
        return 0;
    }

    type = read_member(value, "type");
    reference = read_member(value, "reference");
    text = json_string_value(reference);

    if (!json_is_object(value) || text == NULL ||
        json_string_length(reference) > AMLD_SERVICE_REFERENCE ||
        (type != NULL &&
         (!json_is_string(type) ||
          strcasecmp(json_string_value(type), "docker") != 0))) {
        return read_fault(r, "has an 'image' that is no object with the 'type' "
                             "\"docker\" and a 'reference'.");
    }

    for (i = 0; text[i] != '\0'; i++) {
        if ((unsigned char) text[i] <= ' ' || (unsigned char) text[i] > 126 ||
            (i == 0 && text[i] == '-')) {
            return read_fault(r, "has an image whose reference can't be one.");
        }
    }

    return json_object_set_new(
               service, "image",
               json_pack("{s:s,s:s}", "type", "docker", "reference", text)) == 0
               ? 0
               : read_memory(r);
}


static int
read_variables(read_t *r, const json_t *value, json_t *service)
{
    json_t *out, *one;
    const char *name;
    const json_t *text, *type;

    out = json_object();
    if (out == NULL ||
        json_object_set_new(service, "environmentVariables", out) != 0) {
        return read_memory(r);
    }
    if (value == NULL) {
        return 0;
    }

    if (!json_is_object(value) ||
        json_object_size(value) > AMLD_SERVICE_VARIABLES) {
        return amld_arm_fault(r->fault, "UserError", r->target,
                              "The 'environmentVariables' of the service '%s' "
                              "are an object of at most %d members.",
                              r->name, AMLD_SERVICE_VARIABLES);
    }

    json_object_foreach((json_t *) value, name, one)
    {
        type = read_member(one, "type");
        text = read_member(one, "value");

        if (!read_is_variable(name)) {
            return read_fault(r, "has an environment variable whose name can't "
                                 "be one: letters, digits and '_', of which "
                                 "none begins with AML_.");
        }
        if (!json_is_string(text) ||
            json_string_length(text) > AMLD_SERVICE_VARIABLE ||
            (type != NULL &&
             (!json_is_string(type) ||
              strcasecmp(json_string_value(type), "local") != 0))) {
            return amld_arm_fault(
                r->fault, "UserError", r->target,
                "The environment variable '%.64s' of the service '%s' is no "
                "object with the 'type' \"local\" and a 'value' of at most %d "
                "bytes.",
                name, r->name, AMLD_SERVICE_VARIABLE);
        }
        if (json_object_set_new(
                out, name,
                json_pack("{s:s,s:O}", "type", "local", "value", text)) != 0) {
            return read_memory(r);
        }
    }

    return 0;
}


static int
read_is_variable(const char *name)
{
    size_t n;

    n = strlen(name);

    return n > 0 && n <= 256 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789_") == n &&
           (name[0] < '0' || name[0] > '9') && strncmp(name, "AML_", 4) != 0;
}


static int
read_endpoints(read_t *r, const json_t *value, json_t *service)
{
    size_t i;
    json_t *out;

    out = json_array();
    if (out == NULL || json_object_set_new(service, "endpoints", out) != 0) {
        return read_memory(r);
    }
    if (value == NULL) {
        return 0;
    }
    if (!json_is_array(value)) {
        return read_fault(r, "has 'endpoints' that are no list.");
    }

    for (i = 0; i < json_array_size(value); i++) {
        if (read_endpoint(r, json_array_get(value, i), out) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
read_endpoint(read_t *r, const json_t *value, json_t *list)
{
    size_t i;
    unsigned target = 0, published;
    const char *word;
    const json_t *name, *protocol;

    if (!json_is_object(value)) {
        return read_fault(r, "has an endpoint that is no object.");
    }

    protocol = read_member(value, "protocol");
    word = protocol != NULL ? json_string_value(protocol) : "http";
    if (word == NULL ||
        (strcasecmp(word, "http") != 0 && strcasecmp(word, "tcp") != 0)) {
        return read_fault(r, "has an endpoint whose 'protocol' is neither "
                             "\"http\" nor \"tcp\".");
    }

    name = read_member(value, "name");
    if (name != NULL && (!json_is_string(name) ||
                         json_string_length(name) > READ_ENDPOINT_NAME)) {
        return read_fault(r, "has an endpoint whose 'name' is no short text.");
    }

    if (read_port(r, read_member(value, "target"), "target", &target) != 0) {
        return -1;
    }
    published = target;
    if (read_member(value, "published") != NULL &&
        read_port(r, read_member(value, "published"), "published",
                  &published) != 0) {
        return -1;
    }
    if (read_published(r, published) != 0) {
        return -1;
    }

    for (i = 0; i < r->port_count; i++) {
        if (r->ports[i][0] == target || r->ports[i][1] == published) {
            return amld_arm_fault(
                r->fault, "UserError", r->target,
                "The port %u is given twice, also to the "
                "service '%s'.",
                r->ports[i][1] == published ? published : target, r->name);
        }
    }
    if (r->port_count == AMLD_SERVICE_ENDPOINTS) {
        return amld_arm_fault(r->fault, "UserError", r->target,
                              "The services of an instance have at most %d "
                              "endpoints.",
                              AMLD_SERVICE_ENDPOINTS);
    }
    r->ports[r->port_count][0] = target;
    r->ports[r->port_count++][1] = published;

    return json_array_append_new(
               list,
               json_pack(
                   "{s:s,s:s,s:i,s:i}", "name",
                   name != NULL ? json_string_value(name) : "connect",
                   "protocol", strcasecmp(word, "tcp") == 0 ? "tcp" : "http",
                   "target", (int) target, "published", (int) published)) == 0
               ? 0
               : read_memory(r);
}


static int
read_port(read_t *r, const json_t *value, const char *what, unsigned *port)
{
    json_int_t n;

    n = json_integer_value(value);
    if (!json_is_integer(value) || n < 1 || n > 65535) {
        return amld_arm_fault(r->fault, "UserError", r->target,
                              "The service '%s' has an endpoint whose '%s' is "
                              "no port from 1 to 65535.",
                              r->name, what);
    }

    *port = (unsigned) n;

    return 0;
}


static int
read_published(read_t *r, unsigned port)
{
    const char *whose;

    whose = read_reserved(port);
    if (whose != NULL) {
        return amld_arm_fault(r->fault, "UserError", r->target,
                              "The service '%s' asks for the port %u, which "
                              "is %s's. Where its program listens is "
                              "'target'; choose another 'published' for how "
                              "its address names it.",
                              r->name, port, whose);
    }

    if (port < READ_PORT_LEAST) {
        return amld_arm_fault(r->fault, "UserError", r->target,
                              "The service '%s' asks for the port %u; ports "
                              "of services are %d to 65535.",
                              r->name, port, READ_PORT_LEAST);
    }

    return 0;
}


/* Whose it is, configured or not: addresses don't change their meaning. */
static const char *
read_reserved(unsigned port)
{
    const aml_application_t *a;

    if (port == READ_PORT_SSH) {
        return "SSH";
    }

    a = aml_application_by_port(port);

    return a != NULL && a->links[0].display_name != NULL
               ? a->links[0].display_name
           : a != NULL ? a->name
                       : NULL;
}


/* NULL also where it is null. */
static const json_t *
read_member(const json_t *object, const char *name)
{
    const json_t *value;

    value = json_object_get(object, name);

    return json_is_null(value) ? NULL : value;
}


static int
read_fault(read_t *r, const char *text)
{
    if (r->name[0] == '\0') {
        return amld_arm_fault(r->fault, "UserError", r->target, "%s", text);
    }

    return amld_arm_fault(r->fault, "UserError", r->target,
                          "The service '%s' %s", r->name, text);
}


static int
read_memory(read_t *r)
{
    return amld_arm_fault(r->fault, "InternalServerError", NULL, "no memory");
}
