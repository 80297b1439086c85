/*
 * What is asked for of custom services, as an entity tag: who has read the list
 * and writes it back can say which one they have changed (RFC 9110 section
 * 13.1.1).  It says nothing of how services are, and so it stays the same while
 * they start and stop.
 *
 * A hash of variables' values is in it: it is for the creator only.
 */

#ifndef AMLD_SERVICE_ETAG_H
#define AMLD_SERVICE_ETAG_H

#include <jansson.h>

#define AMLD_ETAG_SIZE 35 /* 32 hex digits in quotes */

/* 0, or -1 without memory: it is empty then. */
int amld_services_etag(const json_t *doc, char etag[AMLD_ETAG_SIZE]);

/*
 * Does the value of If-Match name it?  "*" does; of a list any one.  A weak one
 * does, too: what compresses answers on the way has made it so, and Azure's
 * services give such ones out.  Quotes may be missing, as in Azure's bodies.
 */
int amld_etag_matches(const char *if_match, const char *etag);

#endif /* AMLD_SERVICE_ETAG_H */
