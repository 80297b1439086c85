/*
 * Set-up scripts: what an instance's person has run when it is created, and
 * each time that it starts.  The document has them below
 * requested/setupScripts/scripts, as arm_settings.h says.
 *
 * A script runs as a step (step.h), in the instance, as its person, in their
 * folder.  Its first line says what with ("#!"); where it does not, a shell.
 */

#ifndef AMLD_SETUP_SCRIPT_H
#define AMLD_SETUP_SCRIPT_H

#include <jansson.h>

#include "computes/engines/engine.h"

#define AMLD_SCRIPT_SECONDS (15 * 60) /* to end in, where nothing is said */
#define AMLD_SCRIPT_ARGS 64

/* One that is to be run; room for all that `argv` points into. */
typedef struct {
    const char *argv[AMLD_SCRIPT_ARGS + 8];
    unsigned timeout; /* s */
    char *text;       /* for it to read: an argument is seen by everybody */
    char *arguments;
} amld_setup_script_t;

/*
 * AMLD_STEP_CREATION: at each start until it has succeeded once ("created" in
 * the document), as nothing runs without it; also where creation was stopped or
 * has failed.  AMLD_STEP_STARTUP: always.  1 and a script to be freed, 0 when
 * there is none, -1 and why.
 */
int amld_setup_script_of(const json_t *doc, amld_step_kind_t kind,
                         amld_setup_script_t *script, char *err, size_t size);
void amld_setup_script_free(amld_setup_script_t *script);

/*
 * Splits `text` in place at blanks, as a shell would: quotes of both kinds and
 * backslashes, nothing else.  How many, at most `most`; -1 when there are more
 * or a quote is open.
 */
int amld_setup_script_split(char *text, const char **words, int most);

#endif /* AMLD_SETUP_SCRIPT_H */
