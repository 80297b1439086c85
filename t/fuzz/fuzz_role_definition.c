/*
 * Definitions that people write, made one; up to the first newline a $filter.
 */

#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/role_definition.h"
#include "auth/role_filter.h"
#include "auth/roles.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);


/* What comes out is what the gateway reads, and comes out the same again. */
static void
definition(const json_t *in, int custom)
{
    amld_role_fault_t fault = {NULL, ""};
    aml_principal_id_t id;
    json_t *role, *again;
    aml_role_t *parsed;
    char *text;

    role = amld_role_normalise(in, NULL, custom, &fault);
    if (role == NULL) {
        assert(fault.code != NULL && fault.message[0] != '\0');
        return;
    }

    text = json_dumps(role, JSON_COMPACT);
    assert(text != NULL);
    parsed = aml_role_parse(text, strlen(text), NULL, 0);
    free(text);
    assert(parsed != NULL);
    assert(aml_role_custom(parsed) == custom);
    assert(amld_role_custom(role) == custom);
    assert(strcmp(aml_role_name(parsed), amld_role_name(role)) == 0);
    assert(aml_role_assignable(parsed, aml_str("/a/b")) ==
           amld_role_covers(role, aml_str("/a/b")));
    assert(amld_role_within(role, "/"));
    id = *aml_role_id(parsed);
    aml_role_free(parsed);

    again = amld_role_normalise(role, &id, custom, &fault);
    assert(again != NULL && json_equal(role, again));
    json_decref(again);
    json_decref(role);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    amld_role_filter_t filter;
    const uint8_t *end;
    char *line;
    json_t *in;
    size_t k;

    end = n > 0 ? memchr(data, '\n', n) : NULL;
    k = end != NULL ? (size_t) (end - data) : n;

    line = malloc(k + 1);
    if (line == NULL) {
        return 0;
    }
    memcpy(line, data, k);
    line[k] = '\0';
    if (amld_role_filter_read(&filter, line) == 0) {
        assert(!(filter.by_principal && filter.by_assignee));
        assert(!(filter.at_scope && filter.at_scope_and_below));
        assert(memchr(filter.name, '\0', sizeof(filter.name)) != NULL);
    }
    free(line);

    k = end != NULL ? k + 1 : 0;
    in = json_loadb((const char *) data + k, n - k, JSON_REJECT_DUPLICATES,
                    NULL);
    if (in != NULL) {
        definition(in, 0);
        definition(in, 1);
    }
    json_decref(in);

    return 0;
}
