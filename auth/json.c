/*
 * JSON that others have written.
 */

#include "auth/json.h"


int
aml_json_shallow(aml_str_t json)
{
    int depth, string;
    size_t i;

    depth = 0;
    string = 0;

    for (i = 0; i < json.n; i++) {
        if (string) {
            if (json.p[i] == '\\') {
                i++;

            } else if (json.p[i] == '"') {
                string = 0;
            }
            continue;
        }

        switch (json.p[i]) {
        case '"':
            string = 1;
            break;
        case '{':
        case '[':
            if (++depth > AML_JSON_DEPTH_MAX) {
                return 0;
            }
            break;
        case '}':
        case ']':
            depth--;
            break;
        }
    }

    return 1;
}


json_t *
aml_json_object(aml_str_t text)
{
    json_t *json;

    if (!aml_json_shallow(text)) {
        return NULL;
    }

    json = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(json)) {
        json_decref(json);
        return NULL;
    }

    return json;
}


aml_str_t
aml_json_string(const json_t *string)
{
    if (!json_is_string(string)) {
        return aml_str("");
    }

    return (aml_str_t){json_string_value(string), json_string_length(string)};
}
