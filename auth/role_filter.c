/*
 * $filter, read by descent; there are no parentheses to nest.
 */

#include "auth/role_filter.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>


static const char *
skip_spaces(const char *p)
{
    while (*p == ' ') {
        p++;
    }

    return p;
}


/* Behind `word`, or NULL when it is not there. */
static const char *
take_word(const char *p, const char *word)
{
    size_t n = strlen(word);

    p = skip_spaces(p);

    return strncasecmp(p, word, n) == 0 &&
                   (!isalnum((unsigned char) word[n - 1]) ||
                    !isalnum((unsigned char) p[n]))
               ? p + n
               : NULL;
}


static const char *
take_quoted(const char *p, char text[AMLD_FILTER_TEXT])
{
    size_t n = 0;

    p = skip_spaces(p);
    if (*p++ != '\'') {
        return NULL;
    }

    for (;; p++) {
        if (*p == '\0') {
            return NULL;
        }
        if (*p == '\'' && *++p != '\'') {
            break;
        }
        if (n == AMLD_FILTER_TEXT - 1) {
            return NULL;
        }
        text[n++] = *p;
    }
    text[n] = '\0';

    return p;
}


static const char *
take_call(const char *p, const char *name, char text[AMLD_FILTER_TEXT])
{
    p = take_word(p, name);
    if (p == NULL || (p = take_word(p, "(")) == NULL) {
        return NULL;
    }
    if (text != NULL && (p = take_quoted(p, text)) == NULL) {
        return NULL;
    }

    return take_word(p, ")");
}


static const char *
take_equal(const char *p, const char *name, char text[AMLD_FILTER_TEXT])
{
    p = take_word(p, name);
    if (p == NULL || (p = take_word(p, "eq")) == NULL) {
        return NULL;
    }

    return take_quoted(p, text);
}


static const char *
take_term(const char *p, amld_role_filter_t *f)
{
    char text[AMLD_FILTER_TEXT];
    const char *end;

    if ((end = take_call(p, "atScopeAndBelow", NULL)) != NULL) {
        return f->at_scope_and_below++ ? NULL : end;
    }
    if ((end = take_call(p, "atScope", NULL)) != NULL) {
        return f->at_scope++ ? NULL : end;
    }

    if ((end = take_call(p, "assignedTo", text)) != NULL) {
        f->by_assignee++;
    } else if ((end = take_equal(p, "principalId", text)) != NULL) {
        f->by_principal++;
    }
    if (end != NULL) {
        return f->by_assignee + f->by_principal == 1 &&
                       aml_uuid_parse(aml_str_of(text), &f->principal) == 0
                   ? end
                   : NULL;
    }

    if ((end = take_equal(p, "roleName", text)) != NULL) {
        memcpy(f->name, text, sizeof(text));
        return f->by_name++ ? NULL : end;
    }
    if ((end = take_equal(p, "type", text)) != NULL) {
        memcpy(f->type, text, sizeof(text));
        return f->by_type++ ? NULL : end;
    }

    return NULL;
}


int
amld_role_filter_read(amld_role_filter_t *filter, const char *text)
{
    const char *p;

    memset(filter, 0, sizeof(*filter));

    if (text == NULL) {
        return 0;
    }
    if (strlen(text) > AMLD_FILTER_MAX) {
        return -1;
    }

    for (p = text;;) {
        p = take_term(p, filter);
        if (p == NULL) {
            return -1;
        }
        p = skip_spaces(p);
        if (*p == '\0') {
            return filter->at_scope && filter->at_scope_and_below ? -1 : 0;
        }
        if (p[-1] != ' ' || (p = take_word(p, "and")) == NULL || *p != ' ') {
            return -1;
        }
    }
}
