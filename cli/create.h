/*
 * What aml instance create is made of.
 */

#ifndef CLI_CREATE_H
#define CLI_CREATE_H

#include <stddef.h>

/* "45", "30m", "2h", "1d" as ISO 8601 in whole minutes; what begins with a P
 * stays as it is.  0, or -1 where it is no time. */
int cli_minutes(const char *text, char *out, size_t size);

#endif /* CLI_CREATE_H */
