/*
 * What the files that read the configuration share: config.c, config_*.c.
 */

#ifndef AMLD_CONFIG_READ_H
#define AMLD_CONFIG_READ_H

#include <confuse.h>
#include <stddef.h>

typedef struct {
    const cfg_t *section;
    const char *name; /* NULL: the section itself */
    int line;
} config_note_t;

typedef struct {
    const char *file;
    char *directory; /* of the file: relative paths start there */
    config_note_t *notes;
    size_t note_count;
    int faults;
} amld_config_reader_t;

/* libconfuse gives its callbacks no argument of their own. */
extern _Thread_local amld_config_reader_t *amld_config_reader;

/* For cfg_set_error_function() and cfg_set_validate_func(). */
void amld_config_error(cfg_t *cfg, const char *format, va_list args);
int amld_config_note(cfg_t *cfg, cfg_opt_t *opt);

/* "file:line: option: …" to standard error; the configuration is no good. */
void amld_config_fault(amld_config_reader_t *r, cfg_t *section,
                       const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void
amld_config_fault_line(amld_config_reader_t *r, int line, const char *text);

/* Of a string option, each with its fault; the caller frees what is char *.
 * NULL or 0 after a fault. */
char *amld_config_copy(amld_config_reader_t *r, const char *text);
const char *
amld_config_string(amld_config_reader_t *r, cfg_t *section, const char *name);
char *
amld_config_path(amld_config_reader_t *r, cfg_t *section, const char *name);
/* As amld_config_path(); where the option is not given, `installed` in
 * share/aml beside the bin or sbin that amld lies in, or of /usr where it lies
 * elsewhere. */
char *amld_config_shared(amld_config_reader_t *r, cfg_t *section,
                         const char *name, const char *installed);
unsigned amld_config_duration(amld_config_reader_t *r, cfg_t *section,
                              const char *name, unsigned least, unsigned most);
unsigned amld_config_number(amld_config_reader_t *r, cfg_t *section,
                            const char *name, unsigned least, unsigned most);
size_t
amld_config_size(amld_config_reader_t *r, cfg_t *section, const char *name);
char *
amld_config_name(amld_config_reader_t *r, cfg_t *section, const char *name,
                 size_t least, size_t most, const char *marks);

#endif /* AMLD_CONFIG_READ_H */
