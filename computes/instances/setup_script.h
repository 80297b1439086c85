/*
 * Set-up scripts: what an instance's person has run when it is created, and
 * each time that it starts.  The document has them below
 * requested/setupScripts/scripts, as arm_settings.h says.
 *
 * A script runs as a step (step.h), in the instance, as its person, in their
 * folder.  Its first line says what with ("#!"); where it does not, a shell.
 *
 * The script itself is in the document ("inline"), or a file of that folder
 * ("workspaceStorage"): then the document has its path, it runs in its own
 * directory, and it is opened there, by the person: amld never does.  It must
 * be a regular file that is reached without a symbolic link and that, like
 * all directories on the way from the folder on, is the person's and not for
 * others to write to; whoever could write to it would run what they like as
 * the person.  If it is not, the step fails with 126 and its log says why.
 */

#ifndef AMLD_SETUP_SCRIPT_H
#define AMLD_SETUP_SCRIPT_H

#include <jansson.h>

#include "computes/engines/engine.h"

#define AMLD_SCRIPT_SECONDS (15 * 60) /* to end in, where nothing is said */
#define AMLD_SCRIPT_ARGS 64
#define AMLD_SCRIPT_PATH 1024 /* bytes */
#define AMLD_SCRIPT_STORED "workspaceStorage"

/* One that is to be run; room for all that `argv` points into. */
typedef struct {
    const char *argv[AMLD_SCRIPT_ARGS + 8];
    unsigned timeout; /* s */
    char *text;       /* for it to read: an argument is seen by everybody */
    char *path;       /* below the share, in place of the text */
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

/* What is wrong with a path below the share, as "it …", whoever's it is; NULL
 * when nothing is. */
const char *amld_setup_script_path(const char *path);

/* What of such a path is below `folder`, which is below the share as well; NULL
 * when it leads elsewhere.  Points into `path`. */
const char *amld_setup_script_below(const char *path, const char *folder);

#endif /* AMLD_SETUP_SCRIPT_H */
