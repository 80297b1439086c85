#include "computes/config/config_shares.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    char written[PATH_MAX];
    char real[PATH_MAX]; /* "": it is not there */
    int there;
    struct stat st;
} shares_place_t;

static void shares_place(shares_place_t *place, const char *path);
static void shares_written(char clean[PATH_MAX], const char *path);
static int
shares_overlap(const shares_place_t *one, const shares_place_t *other);
static int shares_within(const char *path, const char *above);


void
amld_config_shares(amld_config_reader_t *r, cfg_t *cfg, const amld_config_t *c)
{
    size_t i, j;
    shares_place_t *places;

    places = calloc(c->workspace_count + 1, sizeof(*places));
    if (places == NULL) {
        amld_config_fault(r, cfg, "workspace", "no memory");
        return;
    }

    for (i = 0; i < c->workspace_count; i++) {
        if (c->workspaces[i].share == NULL ||
            strlen(c->workspaces[i].share) >= PATH_MAX) {
            continue;
        }
        shares_place(&places[i], c->workspaces[i].share);

        for (j = 0; j < i; j++) {
            if (shares_overlap(&places[i], &places[j])) {
                amld_config_fault(
                    r, cfg_getnsec(cfg, "workspace", (unsigned) i), "share",
                    "%s and %s, of workspace \"%s\", are one, or "
                    "one is in the other: each workspace has its own",
                    c->workspaces[i].share, c->workspaces[j].share,
                    c->workspaces[j].name != NULL ? c->workspaces[j].name : "");
            }
        }
    }

    free(places);
}


static void
shares_place(shares_place_t *place, const char *path)
{
    char *real;

    shares_written(place->written, path);
    place->there = stat(path, &place->st) == 0;

    real = place->there ? realpath(path, NULL) : NULL;
    if (real != NULL && strlen(real) < PATH_MAX) {
        strcpy(place->real, real);
    }
    free(real);
}


/* Without "//", "/./", "/../" and a slash at its end; `path` is shorter than
 * PATH_MAX and begins with one. */
static void
shares_written(char clean[PATH_MAX], const char *path)
{
    size_t n, part;

    n = 0;

    while (*path != '\0') {
        path += strspn(path, "/");
        part = strcspn(path, "/");

        if (part == 2 && strncmp(path, "..", 2) == 0) {
            while (n > 0 && clean[--n] != '/') {
                /* void */
            }
        } else if (part > 0 && !(part == 1 && *path == '.')) {
            clean[n++] = '/';
            memcpy(clean + n, path, part);
            n += part;
        }
        path += part;
    }

    clean[n] = '\0';
}


static int
shares_overlap(const shares_place_t *one, const shares_place_t *other)
{
    if (other->written[0] == '\0' && !other->there) {
        return 0; /* a fault of its own */
    }

    if (shares_within(one->written, other->written) ||
        shares_within(other->written, one->written)) {
        return 1;
    }

    if (one->real[0] != '\0' && other->real[0] != '\0' &&
        (shares_within(one->real, other->real) ||
         shares_within(other->real, one->real))) {
        return 1;
    }

    /* mounted twice */
    return one->there && other->there && one->st.st_dev == other->st.st_dev &&
           one->st.st_ino == other->st.st_ino;
}


static int
shares_within(const char *path, const char *above)
{
    size_t n;

    n = strlen(above);
    if (n == 1) {
        n = 0; /* "/" */
    }

    return strncmp(path, above, n) == 0 && (path[n] == '\0' || path[n] == '/');
}
