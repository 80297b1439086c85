#include "computes/files/share.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "computes/amld.h"

static size_t share_look(const char *workspace, const char *path);


size_t
amld_share_check(const amld_config_t *c)
{
    size_t i, n;

    for (i = 0, n = 0; i < c->workspace_count; i++) {
        n += amld_share_check_one(&c->workspaces[i]);
    }

    return n;
}


size_t
amld_share_check_one(const amld_workspace_t *w)
{
    char users[PATH_MAX];
    size_t n;

    if (access(w->share, F_OK) != 0) {
        amld_log(AMLD_LOG_WARN,
                 "workspace %s: its share %s is not there: %s: until it is, "
                 "nothing starts",
                 w->name, w->share, strerror(errno));
        return 1;
    }

    n = share_look(w->name, w->share);
    if ((size_t) snprintf(users, sizeof(users), "%s/Users", w->share) <
        sizeof(users)) {
        n += share_look(w->name, users);
    }

    return n;
}


static size_t
share_look(const char *workspace, const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0) {
        return 0;
    }

    if (st.st_uid != 0 && st.st_uid != geteuid()) {
        amld_log(AMLD_LOG_WARN,
                 "workspace %s: %s belongs to uid %lu, who can take anybody's "
                 "folder in it: chown it to root",
                 workspace, path, (unsigned long) st.st_uid);
        return 1;
    }

    /* the sticky bit keeps nobody from being there first */
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        amld_log(AMLD_LOG_WARN,
                 "workspace %s: others may write to %s, and so can make "
                 "somebody's folder before they do: chmod go-w",
                 workspace, path);
        return 1;
    }

    return 0;
}
