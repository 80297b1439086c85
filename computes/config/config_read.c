/*
 * Reading the configuration: faults with their lines, and values of the kinds
 * that options have.
 *
 * libconfuse reads; each option's line is noted while it does, so that what
 * is found wrong afterwards can be said with file, line and name.
 */

#include "computes/config/config_read.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "computes/config/config_value.h"


_Thread_local amld_config_reader_t *amld_config_reader;


/* ---- faults and where they are ---- */

static void
config_fault_at(amld_config_reader_t *r, int line, const char *name,
                const char *format, va_list args)
{
    char text[512];

    (void) vsnprintf(text, sizeof(text), format, args);
    r->faults++;

    if (line > 0) {
        fprintf(stderr, "%s:%d: %s%s%s\n", r->file, line, name,
                *name != '\0' ? ": " : "", text);
    } else {
        fprintf(stderr, "%s: %s%s%s\n", r->file, name,
                *name != '\0' ? ": " : "", text);
    }
}


static config_note_t *
config_noted(const amld_config_reader_t *r, const cfg_t *section,
             const char *name)
{
    config_note_t *note;
    size_t i;

    for (i = 0; i < r->note_count; i++) {
        note = &r->notes[i];

        if (note->section == section && (name == NULL || note->name == NULL
                                             ? name == note->name
                                             : strcmp(note->name, name) == 0)) {
            return note;
        }
    }

    return NULL;
}


static int
config_line(const amld_config_reader_t *r, const cfg_t *section,
            const char *name)
{
    const config_note_t *note = config_noted(r, section, name);

    return note != NULL ? note->line : 0;
}


void
amld_config_fault(amld_config_reader_t *r, cfg_t *section, const char *name,
                  const char *format, ...)
{
    int line;
    char where[160];
    va_list args;

    line = config_line(r, section, name);
    if (line == 0) {
        line = config_line(r, section, NULL);
    }

    if (cfg_title(section) != NULL) {
        (void) snprintf(where, sizeof(where), "%s \"%.64s\": %s",
                        cfg_name(section), cfg_title(section), name);
    } else {
        (void) snprintf(where, sizeof(where), "%s", name);
    }

    va_start(args, format);
    config_fault_at(r, line, where, format, args);
    va_end(args);
}


void
amld_config_fault_line(amld_config_reader_t *r, int line, const char *text)
{
    r->faults++;

    if (line > 0) {
        fprintf(stderr, "%s:%d: %s\n", r->file, line, text);
    } else {
        fprintf(stderr, "%s: %s\n", r->file, text);
    }
}


/* libconfuse's own faults: syntax, unknown options */
void
amld_config_error(cfg_t *cfg, const char *format, va_list args)
{
    config_fault_at(amld_config_reader, cfg != NULL ? cfg->line : 0, "", format,
                    args);
}


int
amld_config_note(cfg_t *cfg, cfg_opt_t *opt)
{
    amld_config_reader_t *r = amld_config_reader;
    config_note_t *grown, *old, note;

    note.section = cfg;
    note.name = cfg_opt_name(opt);
    note.line = cfg->line;

    if (opt->type == CFGT_SEC) {
        note.section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
        note.name = NULL;

    } else if ((old = config_noted(r, cfg, note.name)) != NULL) {
        old->line = note.line;
        if (!(opt->flags & CFGF_LIST)) {
            amld_config_fault(r, cfg, note.name, "is given twice");
        }
        return 0;
    }

    grown = realloc(r->notes, (r->note_count + 1) * sizeof(*grown));
    if (grown == NULL) {
        return -1;
    }

    grown[r->note_count++] = note;
    r->notes = grown;

    return 0;
}


/* ---- values ---- */

char *
amld_config_copy(amld_config_reader_t *r, const char *text)
{
    char *copy;

    copy = strdup(text);
    if (copy == NULL) {
        r->faults++;
        fprintf(stderr, "%s: no memory\n", r->file);
    }

    return copy;
}


const char *
amld_config_string(amld_config_reader_t *r, cfg_t *section, const char *name)
{
    const char *value = cfg_getstr(section, name);

    if (value == NULL || *value == '\0') {
        amld_config_fault(r, section, name,
                          value == NULL ? "is missing" : "is empty");
        return NULL;
    }

    return value;
}


char *
amld_config_path(amld_config_reader_t *r, cfg_t *section, const char *name)
{
    const char *value = amld_config_string(r, section, name);
    char *path;

    if (value == NULL) {
        return NULL;
    }

    if (*value == '/') {
        path = amld_config_copy(r, value);

    } else if (asprintf(&path, "%s/%s", r->directory, value) < 0) {
        amld_config_fault(r, section, name, "no memory");
        return NULL;
    }

    if (path != NULL && strlen(path) >= PATH_MAX) {
        amld_config_fault(r, section, name, "the path is too long");
    }

    return path;
}


/* PREFIX of <prefix>/sbin/amld, as nobody says where it was installed. */
static void
config_prefix(char prefix[PATH_MAX])
{
    static const char *const below[] = {"/sbin", "/bin"};
    char *end;
    ssize_t n;
    size_t i;

    n = readlink("/proc/self/exe", prefix, PATH_MAX - 1);
    prefix[n < 0 ? 0 : n] = '\0';

    end = strrchr(prefix, '/');
    if (end != NULL) {
        *end = '\0';
        end = strrchr(prefix, '/');
    }

    for (i = 0; end != NULL && i < sizeof(below) / sizeof(*below); i++) {
        if (strcmp(end, below[i]) == 0) {
            *end = '\0';
            return;
        }
    }

    strcpy(prefix, "/usr");
}


char *
amld_config_shared(amld_config_reader_t *r, cfg_t *section, const char *name,
                   const char *installed)
{
    char prefix[PATH_MAX], *path;

    if (cfg_getstr(section, name) != NULL) {
        return amld_config_path(r, section, name);
    }

    config_prefix(prefix);
    if (asprintf(&path, "%s/share/aml/%s", prefix, installed) < 0) {
        amld_config_fault(r, section, name, "no memory");
        return NULL;
    }

    return path;
}


unsigned
amld_config_duration(amld_config_reader_t *r, cfg_t *section, const char *name,
                     unsigned least, unsigned most)
{
    static const uint64_t units[] = {1, 60, 3600, 86400};
    const char *value = amld_config_string(r, section, name);
    uint64_t n;

    if (value == NULL) {
        return 0;
    }

    if (amld_value_scaled(value, "smhd", units, &n) != 0) {
        amld_config_fault(r, section, name,
                          "\"%s\" is not a time such as 90s, 15m, 12h or 30d",
                          value);
        return 0;
    }

    if (n < least || n > most) {
        amld_config_fault(r, section, name, "\"%s\" is not from %us to %us",
                          value, least, most);
        return 0;
    }

    return (unsigned) n;
}


unsigned
amld_config_number(amld_config_reader_t *r, cfg_t *section, const char *name,
                   unsigned least, unsigned most)
{
    const char *value = amld_config_string(r, section, name);
    uint64_t n;

    if (value == NULL) {
        return 0;
    }

    if (amld_value_scaled(value, "", NULL, &n) != 0 || n < least || n > most) {
        amld_config_fault(r, section, name,
                          "\"%s\" is not a number from %u to %u", value, least,
                          most);
        return 0;
    }

    return (unsigned) n;
}


size_t
amld_config_size(amld_config_reader_t *r, cfg_t *section, const char *name)
{
    static const uint64_t units[] = {1024, 1024 * 1024, 1024 * 1024 * 1024};
    const char *value = amld_config_string(r, section, name);
    uint64_t n;

    if (value == NULL) {
        return 0;
    }

    if (amld_value_scaled(value, "kmg", units, &n) != 0 || n < 1024 * 1024 ||
        n > ((uint64_t) 1 << 40)) {
        amld_config_fault(r, section, name,
                          "\"%s\" is not a size from 1m to 1024g", value);
        return 0;
    }

    return (size_t) n;
}


char *
amld_config_name(amld_config_reader_t *r, cfg_t *section, const char *name,
                 size_t least, size_t most, const char *marks)
{
    const char *value = amld_config_string(r, section, name);

    if (value == NULL) {
        return NULL;
    }

    if (!amld_value_is_name(value, least, most, marks)) {
        amld_config_fault(
            r, section, name,
            "\"%s\" is not %zu to %zu letters, digits and \"%s\", a "
            "letter or digit first",
            value, least, most, marks);
        return NULL;
    }

    return amld_config_copy(r, value);
}
