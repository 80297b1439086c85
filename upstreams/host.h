/*
 * Host → instance and port.  "<name>.<apps>" is port 8888,
 * "<name>-<port>.<apps>" any other; the name rule (every '-' has a letter
 * somewhere behind it) keeps the two apart.
 */

#ifndef AML_HOST_H
#define AML_HOST_H

#include "auth/str.h"

#define AML_INSTANCE_NAME_MIN 3
#define AML_INSTANCE_NAME_MAX 24
#define AML_PORT_DEFAULT 8888
#define AML_PORT_SSH 22

typedef struct {
    size_t name_len;
    char name[AML_INSTANCE_NAME_MAX]; /* lower case, not ended */
    unsigned port;                    /* 1 to 65535 */
} aml_host_t;

/*
 * `host` is the request's host without port, any case; one trailing dot is
 * taken off.  `apps` is the apps domain, lower case, without port.  0, or -1
 * when the host is not "label.apps" with a label that names instance and port.
 * A port is 1 to 5 digits without leading zero, 1 to 65535; the default port
 * has one spelling only: "name-8888" is refused.
 */
int aml_host_parse(aml_str_t host, aml_str_t apps, aml_host_t *h);

/* What is wrong with a name; the first part of the rule that is broken. */
typedef enum {
    AML_NAME_OK = 0,
    AML_NAME_LENGTH,    /* not 3 to 24 characters */
    AML_NAME_START,     /* does not start with a letter */
    AML_NAME_CHARACTER, /* other than letters, digits, '-' */
    AML_NAME_DASH       /* a '-' without a letter behind it */
} aml_name_rc_t;

aml_name_rc_t aml_instance_name_check(aml_str_t name);

/* A sentence for the error, static. */
const char *aml_instance_name_rule(aml_name_rc_t rc);

#endif /* AML_HOST_H */
