/*
 * Role definitions, and patterns against actions: up to the first newline an
 * action, behind it a definition.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "auth/roles.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *copy, err[128];
    const char *end;
    aml_str_t action, rest;
    aml_role_t *role;

    /* exactly as long as it says, for the sanitizer */
    copy = malloc(n + (n == 0));
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data, n);

    action = (aml_str_t){copy, n};
    rest = (aml_str_t){copy + n, 0};
    end = n > 0 ? memchr(copy, '\n', n) : NULL;
    if (end != NULL) {
        action.n = (size_t) (end - copy);
        rest = (aml_str_t){end + 1, n - action.n - 1};
    }

    /* one star says yes to everything, a text without stars to itself */
    assert(aml_role_match(aml_str("*"), action));
    assert(aml_role_match(action, action) ||
           memchr(action.p, '*', action.n) != NULL);
    (void) aml_role_match(rest, action);

    assert(aml_scope_covers(aml_str("/"), action) || action.n == 0 ||
           action.p[0] != '/');
    (void) aml_scope_covers(action, rest);

    role = aml_role_parse(rest.p, rest.n, err, sizeof(err));
    if (role != NULL) {
        assert(aml_role_id(role) != NULL && aml_role_name(role) != NULL);
        (void) aml_role_allows(role, action);
        aml_role_free(role);

    } else {
        assert(memchr(err, '\0', sizeof(err)) != NULL && err[0] != '\0');
    }

    free(copy);

    return 0;
}
