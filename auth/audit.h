/*
 * The audit log: one line of JSON for each sign-in, refusal, change of roles,
 * end of a session, token and lifecycle call.  Never a secret.
 *
 * A line is one write, appended.  A disk that is full, or a syslog that does
 * not take it, keeps nobody waiting: the line is lost, and amld's own log says
 * so.  nginx has an audit log of its own, of what it refuses.
 */

#ifndef AMLD_AUDIT_H
#define AMLD_AUDIT_H

#include "auth/principal.h"
#include "computes/http/http.h"

#define AMLD_SYSLOG_SOCKET "/dev/log"

typedef struct amld_audit amld_audit_t;

/* What is wrong with "file:/path", "syslog:facility" or "", which is off; NULL
 * when nothing is. */
const char *amld_audit_spec_fault(const char *spec);

/*
 * NULL after the reason was logged; of "" one that takes no lines.  `socket` is
 * AMLD_SYSLOG_SOCKET but for tests.
 */
amld_audit_t *amld_audit_open(const char *spec, const char *socket);
/* After a signal: the file may have been moved away.  Any thread. */
void amld_audit_reopen(amld_audit_t *audit);
void amld_audit_close(amld_audit_t *audit); /* NULL is allowed */

/* Strings are of any content and may be NULL, which is written as "". */
typedef struct {
    const char *event;  /* "sign-in": docs/sign-in.md lists them */
    int refused;        /* decision "refuse", else "allow" */
    const char *reason; /* NULL: "ok" */
    const aml_principal_id_t *principal; /* whose doing it is, or NULL */
    const char *name;                    /* their label */
    const char *method;                  /* how they are signed in */
    const aml_principal_id_t *of;        /* whom it concerns, or NULL */
    const aml_principal_id_t *id;        /* of the sign-in or token, or NULL */
    const char *target;                  /* or what it concerns otherwise */
    const char *action, *scope;
    const char *client;  /* address */
    const char *request; /* id */
} amld_audit_event_t;

/* Any thread; nothing when `audit` is NULL. */
void amld_audit(amld_audit_t *audit, const amld_audit_event_t *event);

/* With who asks, from where, in which request, and what the gateway allowed,
 * where the event does not say so itself. */
void amld_audit_request(amld_t *d, const amld_request_t *request,
                        const amld_audit_event_t *event);

/* By a command: of whoever runs it. */
void amld_audit_command(const char *spec, const amld_audit_event_t *event);

#endif /* AMLD_AUDIT_H */
