#include <string.h>

#include "registry/dump_secrets.h"

#define DUMP_SECRET_RUN 43 /* base64url characters of 256 bits */
#define DUMP_CRYPT_NAME 12 /* characters up to the second '$' */


static int
secret_name(const char *name)
{
    static const char *const parts[] = {"password",
                                        "passwd",
                                        "secret",
                                        "hash",
                                        "private",
                                        "pem",
                                        "token",
                                        "cookie",
                                        "credential",
                                        "browser",
                                        "scriptData",
                                        "scriptArguments",
                                        "environmentVariables"};
    size_t i;

    for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strcasestr(name, parts[i]) != NULL) {
            return 1;
        }
    }

    return 0;
}


/* What a job or service is to run: people put secrets there. */
static int
is_command(const char *name, const json_t *value)
{
    return strcmp(name, "command") == 0 && json_is_string(value);
}


/* "$y$", "$6$", "$2b$", "$argon2id$": where a crypt(3) hash begins. */
static int
crypt_prefix(const char *s, size_t n)
{
    size_t i;

    for (i = 1; i < n && i < DUMP_CRYPT_NAME; i++) {
        if (s[i] == '$') {
            return i > 1;
        }

        if ((s[i] < 'a' || s[i] > 'z') && (s[i] < '0' || s[i] > '9')) {
            return 0;
        }
    }

    return 0;
}


/* A crypt(3) hash, a PEM, or a run that may be a random value or a token. */
static int
secret_text(const char *s, size_t n)
{
    static const char pem[] = "PRIVATE KEY";
    size_t i, run;

    if (memmem(s, n, pem, sizeof(pem) - 1) != NULL) {
        return 1;
    }

    for (i = 0, run = 0; i < n; i++) {
        if (s[i] == '$' && crypt_prefix(s + i, n - i)) {
            return 1;
        }

        if ((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
            (s[i] >= '0' && s[i] <= '9') || s[i] == '-' || s[i] == '_') {
            if (++run == DUMP_SECRET_RUN) {
                return 1;
            }
        } else {
            run = 0;
        }
    }

    return 0;
}


json_t *
aml_dump_without_secrets(const json_t *json)
{
    size_t i;
    json_t *copy, *v;
    const char *name;

    if (json_is_string(json)) {
        return secret_text(json_string_value(json), json_string_length(json))
                   ? json_string(AML_DUMP_NOT_SHOWN)
                   : json_copy((json_t *) json);
    }

    if (json_is_array(json)) {
        copy = json_array();
        json_array_foreach(json, i, v)
        {
            (void) json_array_append_new(copy, aml_dump_without_secrets(v));
        }
        return copy;
    }

    if (json_is_object(json)) {
        copy = json_object();
        json_object_foreach((json_t *) json, name, v)
        {
            (void) json_object_set_new(copy, name,
                                       secret_name(name) || is_command(name, v)
                                           ? json_string(AML_DUMP_NOT_SHOWN)
                                           : aml_dump_without_secrets(v));
        }
        return copy;
    }

    return json_copy((json_t *) json);
}
