/*
 * One server behind TLS, and what amld needs to ask it.
 */

#ifndef AML_TEST_FETCH_FIXTURE_H
#define AML_TEST_FETCH_FIXTURE_H

#include "t/unit/tls_server.h"

#include "t/unit/scratch.h"

#include "auth/fetch.h"

static struct {
    char ca_file[128];
    tls_ca_t ca;
    tls_server_t *server; /* of "localhost" */
} here;


static inline int
here_begin(void **state, tls_answer_pt answer)
{
    if (scratch_setup(state) != 0) {
        return -1;
    }

    snprintf(here.ca_file, sizeof(here.ca_file), "%s/ca.pem",
             ((scratch_t *) *state)->dir);
    here.ca = tls_ca(here.ca_file);
    here.server = tls_server(&here.ca, "localhost", 3600, answer);

    return amld_fetch_init();
}


static inline int
here_finish(void **state)
{
    tls_server_free(here.server);
    tls_ca_free(&here.ca);

    return scratch_teardown(state);
}

#endif /* AML_TEST_FETCH_FIXTURE_H */
