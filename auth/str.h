/*
 * A counted string: a pointer and a length, not ended by NUL.
 *
 * What it points at belongs to whoever made it (a request pool, a registry
 * snapshot, a caller's buffer); a function that keeps it longer says so.
 */

#ifndef AML_STR_H
#define AML_STR_H

#include <stddef.h>
#include <string.h>
#include <strings.h>


typedef struct {
    const char *p;
    size_t n;
} aml_str_t;


#define aml_str(literal) ((aml_str_t){(literal), sizeof(literal) - 1})


static inline aml_str_t
aml_str_of(const char *cstring)
{
    return (aml_str_t){cstring, cstring != NULL ? strlen(cstring) : 0};
}


static inline int
aml_str_eq(aml_str_t a, aml_str_t b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}


/* ASCII only, as host names, header names and actions are compared. */
static inline int
aml_str_caseeq(aml_str_t a, aml_str_t b)
{
    return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

#endif /* AML_STR_H */
