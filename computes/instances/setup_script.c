#include "computes/instances/setup_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "computes/instances/base64.h"
#include "computes/instances/computes.h"
#include "computes/time/duration.h"

/* The script is what this reads.  As an argument everybody of the machine could
 * see it, and no engine has to make a file where its person could have put
 * something in the way. */
static const char setup_wrapper[] =
    "umask 077\n"
    "d=$(mktemp -d) && cat > \"$d/script\" && "
    "chmod 0700 \"$d/script\" || exit 126\n"
    "umask 022\n"
    "h=; IFS= read -r h < \"$d/script\" || :\n"
    "case $h in '#!'*) i= ;; *) i=/bin/sh ;; esac\n"
    "$i \"$d/script\" \"$@\" < /dev/null\n"
    "s=$?\n"
    "rm -rf \"$d\"\n"
    "exit $s\n";

static int setup_decode(amld_setup_script_t *script, const char *data);


int
amld_setup_script_of(const json_t *doc, amld_step_kind_t kind,
                     amld_setup_script_t *script, char *err, size_t size)
{
    int n, words;
    int64_t seconds;
    const char *name;
    const json_t *wanted;

    memset(script, 0, sizeof(*script));

    if (kind == AMLD_STEP_CREATION &&
        json_is_true(json_object_get(doc, "created"))) {
        return 0;
    }

    name = kind == AMLD_STEP_CREATION ? "creationScript" : "startupScript";
    wanted = json_object_get(json_object_get(doc, "requested"), "setupScripts");
    wanted = json_object_get(json_object_get(wanted, "scripts"), name);
    if (!json_is_object(wanted)) {
        return 0;
    }

    if (setup_decode(script, amld_compute_str(wanted, "scriptData")) != 0) {
        snprintf(err, size, "The %s cannot be read.", name);
        return -1;
    }

    script->timeout = AMLD_SCRIPT_SECONDS;
    if (amld_duration_read(amld_compute_str(wanted, "timeout"), &seconds) ==
            0 &&
        seconds > 0) {
        script->timeout = (unsigned) seconds;
    }

    n = 0;
    script->argv[n++] = "/bin/sh";
    script->argv[n++] = "-c";
    script->argv[n++] = setup_wrapper;
    script->argv[n++] = name;

    script->arguments = strdup(amld_compute_str(wanted, "scriptArguments"));
    words = script->arguments != NULL
                ? amld_setup_script_split(script->arguments, script->argv + n,
                                          AMLD_SCRIPT_ARGS)
                : -1;
    if (words < 0) {
        snprintf(err, size,
                 "The %s has arguments that cannot be read: a quote is open, "
                 "or there are more than %d.",
                 name, AMLD_SCRIPT_ARGS);
        amld_setup_script_free(script);
        return -1;
    }

    script->argv[n + words] = NULL;

    return 1;
}


void
amld_setup_script_free(amld_setup_script_t *script)
{
    free(script->text);
    free(script->arguments);
    script->text = NULL;
    script->arguments = NULL;
}


int
amld_setup_script_split(char *text, const char **words, int most)
{
    int n;
    char quote, *to;

    for (n = 0;;) {
        text += strspn(text, " \t\r\n");
        if (*text == '\0') {
            return n;
        }
        if (n == most) {
            return -1;
        }

        words[n++] = text;
        quote = '\0';

        for (to = text; *text != '\0'; text++) {
            if (quote == '\0' && strchr(" \t\r\n", *text) != NULL) {
                break;
            }

            if (quote == '\0' && (*text == '\'' || *text == '"')) {
                quote = *text;
            } else if (quote != '\0' && *text == quote) {
                quote = '\0';
            } else {
                if (*text == '\\' && quote != '\'' && text[1] != '\0') {
                    text++;
                }
                *to++ = *text;
            }
        }

        if (quote != '\0') {
            return -1;
        }

        if (*text != '\0') {
            text++;
        }
        *to = '\0';
    }
}


static int
setup_decode(amld_setup_script_t *script, const char *data)
{
    size_t n, len;

    n = strlen(data);
    script->text = malloc(amld_base64_room(n));

    if (script->text == NULL ||
        amld_base64_decode(script->text, &len, data, n) != 0 || len == 0 ||
        strlen(script->text) != len) {
        amld_setup_script_free(script);
        return -1;
    }

    return 0;
}
