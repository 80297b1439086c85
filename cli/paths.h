/*
 * Where aml keeps what, by the XDG base directory specification: an
 * XDG_…_HOME that is not absolute counts as not set.
 */

#ifndef CLI_PATHS_H
#define CLI_PATHS_H

/*
 * $XDG_CONFIG_HOME/aml, or ~/.config/aml; state is $XDG_STATE_HOME/aml, or
 * ~/.local/state/aml.  With "/name" behind it where `name` is not NULL.  The
 * caller's to free; NULL where there is no home, or no memory.
 */
char *cli_path_config(const char *name);
char *cli_path_state(const char *name);

/* $HOME, or what the account says; NULL where neither is absolute. */
const char *cli_path_home(void);

/* Makes a directory and those above it, mode 0700; 0, or -1 with errno. */
int cli_path_make(const char *directory);

/*
 * Is this a directory or file (as `directory` says) of one's own, that nobody
 * else may read or write?  0, or -1 after `error` was filled.
 */
int cli_path_private(const char *path, int directory, char *error,
                     unsigned long size);

/*
 * Replaces a file: written beside it, synced, renamed.  A symbolic link is
 * followed; mode is that of a new file, what exists keeps its own.  0, or -1
 * with errno.
 */
int cli_path_replace(const char *path, const char *text, unsigned long n,
                     unsigned mode);

/*
 * The same in two steps, where it must be known before that there is room: the
 * file beside it is made and has `room` bytes; what is written then takes its
 * place.  Dropped, it is as if nothing had been.
 */
typedef struct {
    char *real, *temporary;
    int fd; /* -1: not begun */
    unsigned mode;
} cli_replacement_t;

int cli_replacement_begin(cli_replacement_t *r, const char *path,
                          unsigned long room, unsigned mode);
int
cli_replacement_end(cli_replacement_t *r, const char *text, unsigned long n);
void cli_replacement_drop(cli_replacement_t *r);

/* Waits until nobody else has the lock of this file, and takes it until the
 * descriptor is closed; -1 with errno. */
int cli_path_lock(const char *path);

/* A whole file of at most `most` bytes, ended by NUL; NULL with errno. */
char *cli_path_read(const char *path, unsigned long most, unsigned long *n);

#endif /* CLI_PATHS_H */
