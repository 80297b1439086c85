/*
 * Servers that have been signed in to.
 */

#include "cli/credentials.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/paths.h"
#include "cli/text.h"

#define STORE_MOST (1024UL * 1024)
#define STORE_MORE (16UL * 1024) /* that tokens may grow by */
#define STORE_FORMAT (JSON_INDENT(1) | JSON_SORT_KEYS)


/* The directory, made where it is to be written; others must not get at it. */
static int
store_directory(int make)
{
    char *directory = cli_path_config(NULL), error[512];
    int rc = 0;

    if (directory == NULL) {
        return cli_fail(CLI_EXIT_FAILED, "there is no home directory");
    }
    if (make && cli_path_make(directory) != 0) {
        rc = cli_fail(CLI_EXIT_FAILED, "%s: %s", directory, strerror(errno));
    } else if ((make || access(directory, F_OK) == 0) &&
               cli_path_private(directory, 1, error, sizeof(error)) != 0) {
        rc = cli_fail(CLI_EXIT_FAILED, "%s", error);
    }
    free(directory);

    return rc;
}


static int
store_lock(cli_store_t *store)
{
    char *path = cli_path_config("credentials.lock");
    int rc = 0;

    if (path != NULL) {
        store->lock = cli_path_lock(path);
    }
    if (store->lock < 0) {
        rc = cli_fail(CLI_EXIT_FAILED, "%s: %s", path ? path : "no memory",
                      strerror(errno));
    }
    free(path);

    return rc;
}


static int
store_read(cli_store_t *store)
{
    char *text, error[512];
    unsigned long n;
    json_error_t wrong;

    if (access(store->path, F_OK) != 0 && errno == ENOENT) {
        store->root = json_pack("{s:i,s:{}}", "version", 1, "profiles");
        return store->root != NULL ? 0 : cli_fail(CLI_EXIT_FAILED, "no memory");
    }
    if (cli_path_private(store->path, 0, error, sizeof(error)) != 0) {
        return cli_fail(CLI_EXIT_FAILED, "%s", error);
    }

    text = cli_path_read(store->path, STORE_MOST, &n);
    if (text == NULL) {
        return cli_fail(CLI_EXIT_FAILED, "%s: %s", store->path,
                        strerror(errno));
    }
    store->root = json_loadb(text, n, 0, &wrong);
    explicit_bzero(text, n);
    free(text);

    if (!json_is_object(json_object_get(store->root, "profiles")) ||
        json_integer_value(json_object_get(store->root, "version")) != 1) {
        return cli_fail(CLI_EXIT_FAILED,
                        "%s can't be read; move it away and sign in again",
                        store->path);
    }

    return 0;
}


int
cli_store_open(cli_store_t *store, int lock)
{
    int rc;

    memset(store, 0, sizeof(*store));
    store->lock = store->next.fd = -1;
    rc = store_directory(lock);
    if (rc != 0) {
        return rc;
    }
    store->path = cli_path_config("credentials.json");
    if (store->path == NULL) {
        return cli_fail(CLI_EXIT_FAILED, "there is no home directory");
    }

    if (lock) {
        rc = store_lock(store);
    }
    if (rc == 0) {
        rc = store_read(store);
    }
    if (rc != 0) {
        cli_store_close(store);
    }

    return rc;
}


int
cli_store_reserve(cli_store_t *store)
{
    size_t n = json_dumpb(store->root, NULL, 0, STORE_FORMAT);

    return cli_replacement_begin(&store->next, store->path, n + STORE_MORE,
                                 0600) == 0
               ? 0
               : cli_fail(CLI_EXIT_FAILED,
                          "your sign-in can't be renewed now: %s: %s",
                          store->path, strerror(errno));
}


int
cli_store_save(cli_store_t *store)
{
    char *text = json_dumps(store->root, STORE_FORMAT);
    int rc;

    if (text == NULL) {
        return cli_fail(CLI_EXIT_FAILED, "no memory");
    }
    rc = store->next.fd >= 0
             ? cli_replacement_end(&store->next, text, strlen(text))
             : cli_path_replace(store->path, text, strlen(text), 0600);
    if (rc != 0) {
        rc = cli_fail(CLI_EXIT_FAILED, "%s: %s", store->path, strerror(errno));
    }
    explicit_bzero(text, strlen(text));
    free(text);

    return rc;
}


void
cli_store_close(cli_store_t *store)
{
    const char *name;
    json_t *profile;

    json_object_foreach(json_object_get(store->root, "profiles"), name, profile)
    {
        cli_profile_cleanse(profile);
    }
    json_decref(store->root);
    free(store->path);
    if (store->lock >= 0) {
        (void) close(store->lock);
    }
    cli_replacement_drop(&store->next);
    memset(store, 0, sizeof(*store));
    store->lock = store->next.fd = -1;
}


json_t *
cli_store_profile(const cli_store_t *store, const char *name)
{
    json_t *profile =
        json_object_get(json_object_get(store->root, "profiles"), name);

    return json_is_object(profile) ? profile : NULL;
}


const char *
cli_store_default(const cli_store_t *store)
{
    return json_string_value(json_object_get(store->root, "default"));
}


int
cli_profile_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
                            "XYZ0123456789._-");

    return n > 0 && n <= 64 && name[n] == '\0' && name[0] != '-' &&
           name[0] != '.';
}


void
cli_profile_cleanse(json_t *profile)
{
    static const char *const secrets[] = {"access_token", "refresh_token"};
    json_t *value;
    size_t i;

    for (i = 0; i < 2; i++) {
        value = json_object_get(profile, secrets[i]);
        if (value != NULL && value->refcount == 1 && json_is_string(value)) {
            explicit_bzero((char *) json_string_value(value),
                           json_string_length(value));
        }
    }
}
