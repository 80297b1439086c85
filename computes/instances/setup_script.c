#include "computes/instances/setup_script.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/role_definition.h"
#include "computes/instances/base64.h"
#include "computes/instances/computes.h"
#include "computes/time/duration.h"

/* The script is what these read, and what is run is their own copy of it. */
#define SETUP_COPY                                                             \
    "d=$(mktemp -d) && cat > \"$d/script\" && "                                \
    "chmod 0700 \"$d/script\" || exit 126\n"
#define SETUP_RUN                                                              \
    "umask 022\n"                                                              \
    "h=; IFS= read -r h < \"$d/script\" || :\n"                                \
    "case $h in '#!'*) i= ;; *) i=/bin/sh ;; esac\n"                           \
    "$i \"$d/script\" \"$@\" < /dev/null\n"                                    \
    "s=$?\n"                                                                   \
    "rm -rf \"$d\"\n"                                                          \
    "exit $s\n"

/* As an argument everybody of the machine could see the script, and no engine
 * has to make a file where its person could have put something in the way. */
static const char setup_inline[] = "umask 077\n" SETUP_COPY SETUP_RUN;

/*
 * Begins in the person's folder; $1 is the path as people know it, $2 what of
 * it is below the folder.  What is looked at is the file that was opened, and
 * its copy is what is run.  Directories are looked at from the top: where one
 * is fine, nobody else can put another in the place of what is in it.
 */
static const char setup_stored[] =
    "p=$1 f=$2\n"
    "shift 2\n"
    "umask 077\n"
    "no() { printf '%s is not run: %s.\\n' \"$p\" \"$1\" >&2; exit 126; }\n"
    "ours() {\n"
    "s=$(stat -Lc '%u %f' \"$1\") || exit 126\n"
    "[ \"${s% *}\" = \"$u\" ] || no \"$2 belongs to somebody else\"\n"
    "[ $((0x${s#* } & 022)) -eq 0 ] || "
    "no \"others may write to $2 (chmod go-w)\"\n"
    "}\n"
    "take() {\n"
    "[ -f /proc/self/fd/0 ] || no 'it is no regular file'\n"
    "[ \"$(readlink /proc/self/fd/0)\" = \"$r/$f\" ] || "
    "no 'it is not at that path'\n"
    "ours /proc/self/fd/0 it\n" SETUP_COPY "}\n"
    "u=$(id -u) && r=$(pwd -P) || exit 126\n"
    "w=. q=$f\n"
    "ours . 'the folder'\n"
    "while :; do\n"
    "case $q in */*) w=$w/${q%%/*} q=${q#*/} ;; *) break ;; esac\n"
    "[ ! -L \"$w\" ] || no \"$w is a symbolic link\"\n"
    "[ -d \"$w\" ] || no 'there is no such file'\n"
    "ours \"$w\" \"$w\"\n"
    "done\n"
    "w=$w/$q\n"
    "[ ! -L \"$w\" ] || no 'it is a symbolic link'\n"
    "[ -e \"$w\" ] || no 'there is no such file'\n"
    "[ -f \"$w\" ] || no 'it is no regular file'\n"
    "take < \"$w\" || no 'it cannot be read'\n"
    "cd \"${w%/*}\" || exit 126\n" SETUP_RUN;

static int setup_decode(amld_setup_script_t *script, const char *data);


int
amld_setup_script_of(const json_t *doc, amld_step_kind_t kind,
                     amld_setup_script_t *script, char *err, size_t size)
{
    int n, stored, words;
    int64_t seconds;
    const char *name, *below;
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

    below = NULL;
    stored = strcmp(amld_compute_str(wanted, "scriptSource"),
                    AMLD_SCRIPT_STORED) == 0;
    if (stored) {
        script->path = strdup(amld_compute_str(wanted, "scriptData"));
        below = script->path == NULL || amld_setup_script_path(script->path)
                    ? NULL
                    : amld_setup_script_below(script->path,
                                              amld_compute_str(doc, "folder"));
    }

    if (stored ? below == NULL
               : setup_decode(script, amld_compute_str(wanted, "scriptData")) !=
                     0) {
        snprintf(err, size, "The %s cannot be read.", name);
        amld_setup_script_free(script);
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
    script->argv[n++] = stored ? setup_stored : setup_inline;
    script->argv[n++] = name;
    if (stored) {
        script->argv[n++] = script->path;
        script->argv[n++] = below;
    }

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
    free(script->path);
    free(script->arguments);
    script->text = NULL;
    script->path = NULL;
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


const char *
amld_setup_script_path(const char *path)
{
    size_t n;
    const char *p;

    n = strlen(path);
    if (n == 0 || n > AMLD_SCRIPT_PATH) {
        return "is empty or too long";
    }
    if (path[0] == '/') {
        return "is absolute: it is one below the workspace's share";
    }
    if (!amld_role_printable(path)) {
        return "has control characters";
    }

    for (p = path;; p += n + 1) {
        n = strcspn(p, "/");
        if (n == 0 || (n == 1 && p[0] == '.') ||
            (n == 2 && p[0] == '.' && p[1] == '.')) {
            return "has a part that is empty, '.' or '..'";
        }
        if (n > NAME_MAX) {
            return "has a part that is too long";
        }
        if (p[n] == '\0') {
            return NULL;
        }
    }
}


const char *
amld_setup_script_below(const char *path, const char *folder)
{
    size_t n;

    n = strlen(folder);

    return n > 0 && strncmp(path, folder, n) == 0 && path[n] == '/'
               ? path + n + 1
               : NULL;
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
