/*
 * What a new personal access token is to be, as JSON or a form says it.
 */

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/json.h"
#include "auth/role_definition.h"
#include "auth/token_api.h"
#include "registry/records.h"

#define DAYS_DEFAULT 30

/* What the form's two boxes stand for. */
#define SEE "Microsoft.MachineLearningServices/*/read"
#define START                                                                  \
    "Microsoft.MachineLearningServices/workspaces/computes/start/action"
#define STOP "Microsoft.MachineLearningServices/workspaces/computes/stop/action"
#define RESTART                                                                \
    "Microsoft.MachineLearningServices/workspaces/computes/restart/action"

static int ask_wrong(amld_token_ask_t *ask, const char *format, ...)
    __attribute__((format(printf, 2, 3)));


static int
ask_wrong(amld_token_ask_t *ask, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void) vsnprintf(ask->message, sizeof(ask->message), format, args);
    va_end(args);

    return -1;
}


/* ---- parts ---- */

static int
ask_label(amld_token_ask_t *ask, const char *name)
{
    size_t n;

    name += strspn(name, " ");
    n = strlen(name);
    while (n > 0 && name[n - 1] == ' ') {
        n--;
    }

    if (n == 0 || n > AMLD_TOKEN_LABEL_MAX || !amld_role_printable(name)) {
        return ask_wrong(ask,
                         "A token needs a name of at most %d bytes, without "
                         "control characters.",
                         AMLD_TOKEN_LABEL_MAX);
    }
    ask->token.label = (aml_str_t){name, n};

    return 0;
}


static int
ask_days(amld_token_ask_t *ask, int64_t days, unsigned most)
{
    if (days < 1 || days > most) {
        return ask_wrong(ask, "A token is good for 1 to %u days.", most);
    }
    ask->days = (unsigned) days;

    return 0;
}


/* In lower case, as the registry has names. */
static int
ask_instance(amld_token_ask_t *ask, const char *name)
{
    unsigned i = ask->token.instance_count;
    size_t n = strlen(name), k;

    if (i == AML_TOKEN_SCOPES) {
        return ask_wrong(ask,
                         "A token is for at most %d instances, or for all.",
                         AML_TOKEN_SCOPES);
    }
    if (n == 0 || n >= AMLD_TOKEN_NAME_SIZE) {
        return ask_wrong(ask, "You have no instance of that name.");
    }

    for (k = 0; k < n; k++) {
        ask->names[i][k] = (char) tolower((unsigned char) name[k]);
    }
    ask->token.instances[i] = (aml_str_t){ask->names[i], n};
    ask->token.instance_count++;

    return 0;
}


static int
ask_action(amld_token_ask_t *ask, const char *pattern)
{
    if (ask->token.action_count == AML_TOKEN_SCOPES) {
        return ask_wrong(ask, "A token has at most %d actions.",
                         AML_TOKEN_SCOPES);
    }
    if (!amld_role_pattern_valid(pattern)) {
        return ask_wrong(ask,
                         "Action %u is none: letters, digits and './-_', with "
                         "'*' for anything.",
                         ask->token.action_count + 1u);
    }
    ask->token.actions[ask->token.action_count++] = aml_str_of(pattern);

    return 0;
}


/* What is good for nothing was meant differently. */
static int
ask_reach(amld_token_ask_t *ask, int all)
{
    aml_personal_token_t *t = &ask->token;

    if (!all && t->instance_count == 0) {
        t->flags |= AML_TOKEN_NO_INSTANCES;
        if (t->action_count == 0) {
            return ask_wrong(ask, "A token needs an instance or an action.");
        }
    }

    return 0;
}


/* ---- JSON ---- */

static int
ask_json_instances(amld_token_ask_t *ask, const json_t *v, int *all)
{
    const json_t *name;
    const char *text = json_string_value(v);
    size_t i;

    *all = text != NULL && strcmp(text, "all") == 0;

    if (v == NULL || *all || (text != NULL && strcmp(text, "none") == 0)) {
        return 0;
    }
    if (!json_is_array(v)) {
        return ask_wrong(ask, "The member 'instances' is \"all\", \"none\" or "
                              "an array of names.");
    }

    json_array_foreach(v, i, name)
    {
        text = json_string_value(name);
        if (text == NULL || strlen(text) != json_string_length(name) ||
            ask_instance(ask, text) != 0) {
            return text != NULL && ask->message[0] != '\0'
                       ? -1
                       : ask_wrong(ask, "Item %zu of 'instances' is no name.",
                                   i + 1);
        }
    }

    return 0;
}


static int
ask_json_actions(amld_token_ask_t *ask, const json_t *v)
{
    const json_t *pattern;
    size_t i;

    if (v == NULL) {
        return 0;
    }
    if (!json_is_array(v)) {
        return ask_wrong(ask, "The member 'actions' is an array of actions.");
    }

    json_array_foreach(v, i, pattern)
    {
        if (!json_is_string(pattern) ||
            strlen(json_string_value(pattern)) != json_string_length(pattern)) {
            return ask_wrong(ask, "Item %zu of 'actions' is no action.", i + 1);
        }
        if (ask_action(ask, json_string_value(pattern)) != 0) {
            return -1;
        }
    }

    return 0;
}


int
amld_token_ask_json(amld_token_ask_t *ask, const amld_request_t *request,
                    unsigned most)
{
    static const char *const members[] = {"name", "expiresInDays", "instances",
                                          "actions"};
    const json_t *name, *days;
    size_t i, known = 0;
    int all;

    memset(ask, 0, sizeof(*ask));

    ask->body = aml_json_object((aml_str_t){request->body, request->body_len});
    if (ask->body == NULL) {
        return ask_wrong(ask, "The request content must be a JSON object.");
    }

    /* a name that nobody reads would give more than was meant */
    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        known += json_object_get(ask->body, members[i]) != NULL;
    }
    if (known != json_object_size(ask->body)) {
        return ask_wrong(ask, "Members are 'name', 'expiresInDays', "
                              "'instances' and 'actions'.");
    }

    name = json_object_get(ask->body, "name");
    days = json_object_get(ask->body, "expiresInDays");

    if (ask_label(ask, json_is_string(name) ? json_string_value(name) : "") !=
            0 ||
        (days != NULL && !json_is_integer(days)
             ? ask_days(ask, 0, most)
             : ask_days(ask,
                        days != NULL          ? json_integer_value(days)
                        : most < DAYS_DEFAULT ? most
                                              : DAYS_DEFAULT,
                        most)) != 0 ||
        ask_json_instances(ask, json_object_get(ask->body, "instances"),
                           &all) != 0 ||
        ask_json_actions(ask, json_object_get(ask->body, "actions")) != 0) {
        return -1;
    }

    return ask_reach(ask, all);
}


/* ---- the form ---- */

static int
ask_form_instances(amld_token_ask_t *ask, const amld_request_t *request,
                   const json_t *instances, int *all)
{
    const char *reach = amld_request_form(request, "reach");
    const json_t *name;
    char field[64];
    size_t i;

    reach = reach != NULL ? reach : "";
    *all = strcmp(reach, "all") == 0;

    if (*all || strcmp(reach, "none") == 0) {
        return 0;
    }
    if (strcmp(reach, "some") != 0) {
        return ask_wrong(ask, "Say which instances the token is to open.");
    }

    json_array_foreach(instances, i, name)
    {
        (void) snprintf(field, sizeof(field), "instance.%.31s",
                        json_string_value(name));
        if (amld_request_form(request, field) != NULL &&
            ask_instance(ask, json_string_value(name)) != 0) {
            return -1;
        }
    }

    return ask->token.instance_count > 0
               ? 0
               : ask_wrong(ask, "Choose the instances that the token is to "
                                "open.");
}


static int
ask_form_actions(amld_token_ask_t *ask, const amld_request_t *request)
{
    const char *text = amld_request_form(request, "actions");
    char *word, *rest = NULL;

    if (amld_request_form(request, "do.see") != NULL &&
        ask_action(ask, SEE) != 0) {
        return -1;
    }
    if (amld_request_form(request, "do.run") != NULL &&
        (ask_action(ask, START) != 0 || ask_action(ask, STOP) != 0 ||
         ask_action(ask, RESTART) != 0)) {
        return -1;
    }

    text = text != NULL ? text : "";
    if (strlen(text) >= sizeof(ask->actions)) {
        return ask_wrong(ask, "These are too many actions.");
    }
    strcpy(ask->actions, text);

    for (word = strtok_r(ask->actions, " \t\r\n,", &rest); word != NULL;
         word = strtok_r(NULL, " \t\r\n,", &rest)) {
        if (ask_action(ask, word) != 0) {
            return -1;
        }
    }

    return 0;
}


int
amld_token_ask_form(amld_token_ask_t *ask, const amld_request_t *request,
                    const json_t *instances, unsigned most)
{
    const char *name = amld_request_form(request, "name");
    const char *days = amld_request_form(request, "days");
    int all;

    memset(ask, 0, sizeof(*ask));
    days = days != NULL ? days : "";

    if (ask_label(ask, name != NULL ? name : "") != 0 ||
        ask_days(ask,
                 strspn(days, "0123456789") == strlen(days) && strlen(days) <= 5
                     ? atoi(days)
                     : 0,
                 most) != 0 ||
        ask_form_instances(ask, request, instances, &all) != 0 ||
        ask_form_actions(ask, request) != 0) {
        return -1;
    }

    return ask_reach(ask, all);
}


void
amld_token_ask_free(amld_token_ask_t *ask)
{
    json_decref(ask->body);
    ask->body = NULL;
}
