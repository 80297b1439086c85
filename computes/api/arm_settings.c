#include "computes/api/arm_settings.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "computes/instances/base64.h"
#include "computes/instances/setup_script.h"
#include "computes/instances/ssh_key.h"
#include "computes/time/cron.h"
#include "computes/time/duration.h"

#define SETTINGS_CRON_LEAST 300 /* seconds */
#define SETTINGS_ID 64
#define SETTINGS_PARAMETER "UserError"

static json_t *settings_member(const json_t *object, const char *name);
static const char *
settings_choice(const json_t *value, const char *const *choices, size_t n);
static int settings_no_memory(amld_arm_fault_t *fault);
static int
settings_schedule(const json_t *value, size_t index, const char *target,
                  json_t *list, amld_arm_fault_t *fault);
static int settings_cron(const json_t *cron, size_t index, const char *target,
                         json_t **out, amld_arm_fault_t *fault);
static int settings_time(const char *text);
static int settings_id(const json_t *list, const char *id);
static int
settings_script(const json_t *scripts, const char *name, const char *target,
                json_t *out, amld_arm_fault_t *fault);
static int
settings_script_data(const json_t *data, int stored, const char *name,
                     const char *target, amld_arm_fault_t *fault);
static int
settings_script_arguments(const json_t *arguments, const char *name,
                          const char *target, amld_arm_fault_t *fault);
static json_t *settings_timeout(const json_t *value);


int
amld_arm_ssh_read(const json_t *value, const char *target, json_t **out,
                  amld_arm_fault_t *fault)
{
    size_t n;
    json_t *access, *key;
    const char *choice, *why;

    static const char *const choices[] = {"Enabled", "Disabled",
                                          "NotSpecified"};

    if (!json_is_object(value)) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "sshSettings is an object.");
    }

    *out = json_object();
    choice = "NotSpecified";

    access = settings_member(value, "sshPublicAccess");
    if (access != NULL) {
        choice = settings_choice(access, choices, 3);
        if (choice == NULL) {
            return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                                  "sshPublicAccess is 'Enabled', 'Disabled' "
                                  "or 'NotSpecified'.");
        }
    }

    if (strcmp(choice, "NotSpecified") != 0 &&
        amld_compute_set_str(*out, "sshPublicAccess", choice) != 0) {
        return settings_no_memory(fault);
    }

    key = settings_member(value, "adminPublicKey");
    if (key == NULL || (json_is_string(key) && json_string_length(key) == 0)) {
        return *out != NULL ? 0 : settings_no_memory(fault);
    }

    if (!json_is_string(key)) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "adminPublicKey is a string.");
    }

    why = amld_ssh_key_fault(json_string_value(key), &n);
    if (why != NULL) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "adminPublicKey must be the public key of an SSH "
                              "key pair, as 'ssh-keygen -t ed25519' writes it "
                              "to a .pub file; this one %s.",
                              why);
    }

    if (strcmp(choice, "Disabled") == 0) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "sshPublicAccess is 'Disabled', but there is an "
                              "adminPublicKey: SSH is either on, with a key, "
                              "or off.");
    }

    if (json_object_set_new(*out, "adminPublicKey",
                            json_stringn(json_string_value(key), n)) != 0) {
        return settings_no_memory(fault);
    }

    return 0;
}


int
amld_arm_idle_read(const json_t *value, const char *target, json_t **out,
                   amld_arm_fault_t *fault)
{
    int64_t seconds;

    if (!json_is_string(value) ||
        amld_duration_read(json_string_value(value), &seconds) != 0 ||
        seconds < AMLD_IDLE_LEAST || seconds > AMLD_IDLE_MOST ||
        seconds % 60 != 0) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "idleTimeBeforeShutdown is a duration in ISO "
                              "8601 of whole minutes, from 15 minutes "
                              "('PT15M') to 3 days ('P3D').");
    }

    *out = json_sprintf("PT%lldM", (long long) (seconds / 60));

    return *out != NULL ? 0 : settings_no_memory(fault);
}


int
amld_arm_schedules_read(const json_t *value, const char *target, json_t **out,
                        amld_arm_fault_t *fault)
{
    size_t i;
    json_t *list, *result, *one;

    if (!json_is_object(value)) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "schedules is an object with a list "
                              "'computeStartStop'.");
    }

    *out = json_pack("{s:[]}", "computeStartStop");
    result = json_object_get(*out, "computeStartStop");
    if (result == NULL) {
        return settings_no_memory(fault);
    }

    list = settings_member(value, "computeStartStop");
    if (list == NULL) {
        return 0;
    }

    if (!json_is_array(list) || json_array_size(list) > AMLD_SCHEDULES_MAX) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "computeStartStop is a list of at most %d "
                              "schedules.",
                              AMLD_SCHEDULES_MAX);
    }

    json_array_foreach(list, i, one)
    {
        if (settings_schedule(one, i, target, result, fault) != 0) {
            return -1;
        }
    }

    return 0;
}


int
amld_arm_schedules_name(json_t *schedules, const json_t *old)
{
    char text[AML_UUID_TEXT + 1];
    size_t i, k;
    json_t *list, *one, *before;
    const json_t *kept;
    aml_principal_id_t id;

    static const char *const same[] = {"triggerType", "cron", "action"};

    list = json_object_get(schedules, "computeStartStop");
    kept = json_object_get(old, "computeStartStop");

    json_array_foreach(list, i, one)
    {
        if (json_object_get(one, "id") != NULL) {
            continue;
        }

        text[0] = '\0';
        json_array_foreach(kept, k, before)
        {
            size_t m;

            for (m = 0; m < 3; m++) {
                if (!json_equal(json_object_get(one, same[m]),
                                json_object_get(before, same[m]))) {
                    break;
                }
            }
            if (m == 3 && settings_id(list, amld_compute_str(before, "id"))) {
                snprintf(text, sizeof(text), "%s",
                         amld_compute_str(before, "id"));
                break;
            }
        }

        if (text[0] == '\0') {
            if (aml_uuid_random(&id) != 0) {
                return -1;
            }
            aml_uuid_format(&id, text);
        }

        if (amld_compute_set_str(one, "id", text) != 0) {
            return -1;
        }
    }

    return 0;
}


int
amld_arm_scripts_read(const json_t *value, const char *target, json_t **out,
                      amld_arm_fault_t *fault)
{
    json_t *scripts, *result;

    scripts = settings_member(value, "scripts");
    if (!json_is_object(value) ||
        (scripts != NULL && !json_is_object(scripts))) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "setupScripts is an object with an object "
                              "'scripts'.");
    }

    *out = json_pack("{s:{}}", "scripts");
    result = json_object_get(*out, "scripts");
    if (result == NULL) {
        return settings_no_memory(fault);
    }

    return settings_script(scripts, "creationScript", target, result, fault) !=
                       0 ||
                   settings_script(scripts, "startupScript", target, result,
                                   fault) != 0
               ? -1
               : 0;
}


/* NULL also where it is null. */
static json_t *
settings_member(const json_t *object, const char *name)
{
    json_t *value;

    value = json_object_get(object, name);

    return json_is_null(value) ? NULL : value;
}


/* The choice that it is, in any case. */
static const char *
settings_choice(const json_t *value, const char *const *choices, size_t n)
{
    size_t i;

    for (i = 0; i < n && json_is_string(value); i++) {
        if (strcasecmp(json_string_value(value), choices[i]) == 0) {
            return choices[i];
        }
    }

    return NULL;
}


static int
settings_no_memory(amld_arm_fault_t *fault)
{
    return amld_arm_fault(fault, "InternalServerError", NULL, "no memory");
}


static int
settings_schedule(const json_t *value, size_t index, const char *target,
                  json_t *list, amld_arm_fault_t *fault)
{
    json_t *cron, *id, *member;
    const char *trigger, *action, *status;

    static const char *const triggers[] = {"Cron", "Recurrence"},
                             *const actions[] = {"Start", "Stop"},
                             *const statuses[] = {"Enabled", "Disabled"};

    if (!json_is_object(value)) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "Schedule %zu is no object.", index);
    }

    trigger =
        settings_choice(json_object_get(value, "triggerType"), triggers, 2);
    if (trigger == NULL) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "Schedule %zu: triggerType is 'Cron'.", index);
    }
    if (trigger != triggers[0] ||
        settings_member(value, "recurrence") != NULL) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "Schedule %zu: a trigger 'Recurrence' is not "
                              "supported. Use triggerType 'Cron'; every day at "
                              "18:30 is the expression '30 18 * * *'.",
                              index);
    }

    action = settings_choice(json_object_get(value, "action"), actions, 2);
    if (action == NULL) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "Schedule %zu: action is 'Start' or 'Stop'.",
                              index);
    }

    member = settings_member(value, "status");
    status =
        member == NULL ? statuses[0] : settings_choice(member, statuses, 2);
    if (status == NULL) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "Schedule %zu: status is 'Enabled' or "
                              "'Disabled'.",
                              index);
    }

    id = settings_member(value, "id");
    if (id != NULL &&
        (!json_is_string(id) || !settings_id(list, json_string_value(id)))) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "Schedule %zu: an id, where there is one, has 1 "
                              "to %d letters, digits, '.', '_' and '-', and no "
                              "other schedule has it.",
                              index, SETTINGS_ID);
    }

    cron = NULL;
    if (settings_cron(json_object_get(value, "cron"), index, target, &cron,
                      fault) != 0) {
        return -1;
    }

    member = json_pack("{s:s,s:o,s:s,s:s}", "triggerType", trigger, "cron",
                       cron, "action", action, "status", status);
    if (member == NULL ||
        (id != NULL && json_object_set(member, "id", id) != 0)) {
        json_decref(member);
        return settings_no_memory(fault);
    }

    return json_array_append_new(list, member) == 0 ? 0
                                                    : settings_no_memory(fault);
}


static int
settings_cron(const json_t *cron, size_t index, const char *target,
              json_t **out, amld_arm_fault_t *fault)
{
    char why[256];
    json_t *expression, *zone, *start;
    amld_cron_t parsed;
    const char *in;

    expression = settings_member(cron, "expression");
    if (!json_is_string(expression)) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "Schedule %zu: cron is an object with an "
                              "'expression', such as '30 18 * * 1-5'.",
                              index);
    }
    if (amld_cron_parse(&parsed, json_string_value(expression), why,
                        sizeof(why)) != 0) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "Schedule %zu: the expression '%.100s' is wrong: "
                              "%s.",
                              index, json_string_value(expression), why);
    }
    if (amld_cron_least(&parsed) < SETTINGS_CRON_LEAST) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "Schedule %zu: the expression '%.100s' runs more "
                              "often than once in %d minutes.",
                              index, json_string_value(expression),
                              SETTINGS_CRON_LEAST / 60);
    }

    in = "UTC";
    zone = settings_member(cron, "timeZone");
    if (zone != NULL && json_string_length(zone) != 0) {
        in = json_string_value(zone);
    }
    if ((zone != NULL && !json_is_string(zone)) ||
        strlen(in) > AMLD_ZONE_NAME_MAX || !amld_zone_exists(in)) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "Schedule %zu: there is no time zone '%.80s'. A "
                              "timeZone has a name such as 'Europe/Berlin', "
                              "'UTC' or 'Pacific Standard Time'.",
                              index, in);
    }

    start = settings_member(cron, "startTime");
    if (start != NULL && json_is_string(start) &&
        json_string_length(start) == 0) {
        start = NULL;
    }
    if (start != NULL &&
        (!json_is_string(start) || !settings_time(json_string_value(start)))) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "Schedule %zu: startTime is a time such as "
                              "'2026-11-23T18:30:00'.",
                              index);
    }

    *out = json_pack("{s:s,s:s,s:O*}", "timeZone", in, "expression",
                     json_string_value(expression), "startTime", start);

    return *out != NULL ? 0 : settings_no_memory(fault);
}


/* "2026-11-23T18:30:00", of local time, as ARM has it; fractions and an offset
 * may follow. */
static int
settings_time(const char *text)
{
    size_t i;
    int month, day, hour, minute, second;

    static const char form[] = "0000-00-00T00:00:00";
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    for (i = 0; i < sizeof(form) - 1; i++) {
        if (form[i] == '0' ? !isdigit((unsigned char) text[i])
                           : text[i] != form[i]) {
            return 0;
        }
    }

    month = atoi(text + 5);
    day = atoi(text + 8);
    hour = atoi(text + 11);
    minute = atoi(text + 14);
    second = atoi(text + 17);
    if (month < 1 || month > 12 || day < 1 || day > days[month - 1] ||
        hour > 23 || minute > 59 || second > 60) {
        return 0;
    }

    text += i;
    if (*text == '.') {
        i = strspn(text + 1, "0123456789");
        if (i == 0 || i > 9) {
            return 0;
        }
        text += 1 + i;
    }

    if (*text == '\0' || strcmp(text, "Z") == 0) {
        return 1;
    }

    return (*text == '+' || *text == '-') && strlen(text) == 6 &&
           isdigit((unsigned char) text[1]) &&
           isdigit((unsigned char) text[2]) && text[3] == ':' &&
           isdigit((unsigned char) text[4]) && isdigit((unsigned char) text[5]);
}


/* 1 when it is one, and no schedule in the list has it. */
static int
settings_id(const json_t *list, const char *id)
{
    size_t i, n;
    json_t *one;

    n = strlen(id);
    if (n == 0 || n > SETTINGS_ID ||
        strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                   "0123456789._-") != n) {
        return 0;
    }

    json_array_foreach(list, i, one)
    {
        if (strcmp(amld_compute_str(one, "id"), id) == 0) {
            return 0;
        }
    }

    return 1;
}


static int
settings_script(const json_t *scripts, const char *name, const char *target,
                json_t *out, amld_arm_fault_t *fault)
{
    json_t *script, *source, *data, *arguments, *timeout, *seconds;
    const char *from;

    static const char *const sources[] = {"inline", AMLD_SCRIPT_STORED};

    script = settings_member(scripts, name);
    if (script == NULL) {
        return 0;
    }
    if (!json_is_object(script)) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "%s is an object.", name);
    }

    source = settings_member(script, "scriptSource");
    data = settings_member(script, "scriptData");

    /* {} is none */
    if (source == NULL && data == NULL) {
        return 0;
    }

    from = settings_choice(source, sources, 2);
    if (from == NULL) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "%s: scriptSource is 'inline', and scriptData "
                              "the script itself in base64, or '%s', and "
                              "scriptData its path below the workspace's "
                              "share.",
                              name, AMLD_SCRIPT_STORED);
    }

    arguments = settings_member(script, "scriptArguments");
    if (settings_script_data(data, from == sources[1], name, target, fault) !=
            0 ||
        settings_script_arguments(arguments, name, target, fault) != 0) {
        return -1;
    }
    if (json_string_length(arguments) == 0) {
        arguments = NULL;
    }

    /* "Nonem": what azure-ai-ml writes where nothing is said */
    seconds = NULL;
    timeout = settings_member(script, "timeout");
    if (timeout != NULL && json_is_string(timeout) &&
        strcmp(json_string_value(timeout), "Nonem") == 0) {
        timeout = NULL;
    }
    if (timeout != NULL && (seconds = settings_timeout(timeout)) == NULL) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "%s: timeout is a duration in ISO 8601, from a "
                              "second ('PT1S') to a day ('P1D').",
                              name);
    }

    script =
        json_pack("{s:s,s:O,s:O*,s:o*}", "scriptSource", from, "scriptData",
                  data, "scriptArguments", arguments, "timeout", seconds);

    return script != NULL && json_object_set_new(out, name, script) == 0
               ? 0
               : settings_no_memory(fault);
}


/* Whose folder a path leads to is looked at where the person is known. */
static int
settings_script_data(const json_t *data, int stored, const char *name,
                     const char *target, amld_arm_fault_t *fault)
{
    char *text;
    size_t i, n;
    const char *p, *why;

    p = json_string_value(data);
    n = json_string_length(data);

    if (stored) {
        why = p != NULL ? amld_setup_script_path(p) : "is no string";
        if (why != NULL) {
            return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                                  "%s: scriptData is the path of a file below "
                                  "the workspace's share, of at most %d bytes, "
                                  "such as 'Users/ann/setup.sh'; this one %s.",
                                  name, AMLD_SCRIPT_PATH, why);
        }
        return 0;
    }

    text = p != NULL && n / 4 * 3 <= AMLD_SCRIPT_MAX + 2
               ? malloc(amld_base64_room(n))
               : NULL;
    i = text != NULL && amld_base64_decode(text, &i, p, n) == 0 &&
                i <= AMLD_SCRIPT_MAX && memchr(text, '\0', i) == NULL
            ? i
            : 0;
    free(text);
    if (i == 0) {
        return amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                              "%s: scriptData is a script of 1 to %d bytes, in "
                              "base64.",
                              name, AMLD_SCRIPT_MAX);
    }

    return 0;
}


static int
settings_script_arguments(const json_t *arguments, const char *name,
                          const char *target, amld_arm_fault_t *fault)
{
    size_t i, n;
    const char *p;

    if (arguments == NULL) {
        return 0;
    }

    p = json_string_value(arguments);
    n = json_string_length(arguments);
    for (i = 0; i < n && (unsigned char) p[i] >= ' '; i++) {
        /* void */
    }

    return p == NULL || n > AMLD_SCRIPT_ARGUMENTS || i < n
               ? amld_arm_fault(fault, SETTINGS_PARAMETER, target,
                                "%s: scriptArguments is a string of at most "
                                "%d bytes, in one line.",
                                name, AMLD_SCRIPT_ARGUMENTS)
               : 0;
}


/* As it is kept; NULL when it is none. */
static json_t *
settings_timeout(const json_t *value)
{
    char *end;
    int64_t seconds;
    const char *text;

    text = json_string_value(value);
    if (text == NULL) {
        return NULL;
    }

    /* "15m": what azure-ai-ml writes */
    if (isdigit((unsigned char) *text) && strlen(text) < 6) {
        seconds = strtol(text, &end, 10) * 60;
        if (strcmp(end, "m") != 0) {
            return NULL;
        }
    } else if (amld_duration_read(text, &seconds) != 0) {
        return NULL;
    }

    if (seconds < 1 || seconds > AMLD_SCRIPT_TIMEOUT) {
        return NULL;
    }

    return seconds % 60 == 0
               ? json_sprintf("PT%lldM", (long long) (seconds / 60))
               : json_sprintf("PT%lldS", (long long) seconds);
}
