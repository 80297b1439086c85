/*
 * What people read in lists: when, and with which client.
 */

#ifndef AMLD_LABEL_H
#define AMLD_LABEL_H

#include <stdint.h>

#define AMLD_LABEL_SIZE 64

/* Seconds since 1970 as RFC 3339, "2026-11-23T09:07:44Z". */
void amld_label_time(int64_t seconds, char text[AMLD_LABEL_SIZE]);

/*
 * A User-Agent in few words: "Firefox on Linux", "curl".  Of what is no
 * browser, the first product's name, or what the program calls itself; "an
 * unknown client" where there is none.  Printable ASCII only.
 */
void amld_label_agent(const char *agent, char text[AMLD_LABEL_SIZE]);

/* Of a sign-in: its client as above, or as a device calls itself. */
void amld_label_client(const char *method, const char *agent,
                       char text[AMLD_LABEL_SIZE]);

#endif /* AMLD_LABEL_H */
