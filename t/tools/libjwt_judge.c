/*
 * What libjwt makes of tokens, as a second opinion.
 *
 *     libjwt_judge < questions.jsonl
 *
 * Prints libjwt's version, then for each line {"token":…,"pem":…} one of
 * accepts, refuses, or cannot (an algorithm that it does not know).  It judges
 * form, header and signature; of claims it knows nothing.
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jwt.h>

#include "auth/base64url.h"

#ifndef LIBJWT_VERSION
#error "the version that pkg-config knows"
#endif


/* Whether the header names an algorithm of libjwt's; what has no readable
 * header may be asked about. */
static int
knows(const char *token)
{
    char text[8192];
    size_t n = strcspn(token, ".");
    json_t *header, *alg;
    int known = 1;

    if (aml_base64url_room(n) > sizeof(text) ||
        aml_base64url_decode(text, &n, token, n) != 0) {
        return 1;
    }
    header = json_loadb(text, n, 0, NULL);
    alg = json_object_get(header, "alg");
    if (json_is_string(alg)) {
        known = jwt_str_alg(json_string_value(alg)) != JWT_ALG_INVAL;
    }
    json_decref(header);

    return known;
}


int
main(void)
{
    char *line = NULL;
    size_t room = 0;

    puts("libjwt " LIBJWT_VERSION);

    while (getline(&line, &room, stdin) > 0) {
        json_t *o = json_loads(line, JSON_ALLOW_NUL, NULL);
        const char *token = json_string_value(json_object_get(o, "token"));
        const char *pem = json_string_value(json_object_get(o, "pem"));
        jwt_t *jwt = NULL;

        if (token == NULL || pem == NULL) {
            fprintf(stderr, "libjwt_judge: not a question\n");
            return 1;
        }
        puts(jwt_decode(&jwt, token, (const unsigned char *) pem,
                        (int) strlen(pem)) == 0
                 ? "accepts"
             : knows(token) ? "refuses"
                            : "cannot");
        jwt_free(jwt);
        json_decref(o);
    }
    free(line);

    return 0;
}
