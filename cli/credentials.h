/*
 * Servers that have been signed in to, by a name each: a file of mode 0600 in
 * a directory of mode 0700, replaced as a whole.
 *
 *   {"version": 1, "default": "demo",
 *    "profiles": {"demo": {"server": "https://aml.example.org",
 *      "workspace": "/subscriptions/…", "ca": "/…/ca.pem", "apps": "…",
 *      "kind": "device", "client": "aml on box", "access_token": "…",
 *      "expires": 1790000000, "lifetime": 3600, "refresh_token": "…"}}}
 *
 * kind is how it was signed in: device, account (no refresh token), or token
 * (a personal access token, expires 0: not known).
 */

#ifndef CLI_CREDENTIALS_H
#define CLI_CREDENTIALS_H

#include <jansson.h>

#include "cli/paths.h"

typedef struct {
    json_t *root;
    char *path;
    int lock;               /* -1 without */
    cli_replacement_t next; /* cli_store_reserve() */
} cli_store_t;

/*
 * Reads the file; nothing where there is none yet.  With `lock` nobody else
 * has it until it is closed, and it can be saved.  0, or an exit status after
 * the reason was said: also where others could read it.
 */
int cli_store_open(cli_store_t *store, int lock);
int cli_store_save(cli_store_t *store);

/* Takes the room that saving will need, so that a full disk shows before what
 * is to be saved is there. */
int cli_store_reserve(cli_store_t *store);

void cli_store_close(cli_store_t *store);

/* Borrowed; NULL where there is none of this name. */
json_t *cli_store_profile(const cli_store_t *store, const char *name);

/* What is used where nothing is said; NULL where there is none. */
const char *cli_store_default(const cli_store_t *store);

/* Is it 1 to 64 letters, digits, '.', '_' or '-', the first no '-' or '.'? */
int cli_profile_name(const char *name);

/* Forgets strings of a profile's secrets before it is freed. */
void cli_profile_cleanse(json_t *profile);

#endif /* CLI_CREDENTIALS_H */
