/*
 * One question to PAM: authentication and account management, no session.
 */

#include "auth/pam.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/sign_ins.h"
#include "computes/amld.h"
#include "registry/records.h"

#define PAM_DIRECTORY "/etc/pam.d"
#define PAM_TERMINAL "aml"
#define PASSWD_SIZE 16384 /* where the system names no size */
#define GROUP_ROOM (1024 * 1024)


int
amld_pam_service_exists(const amld_pam_config_t *pam)
{
    char path[PATH_MAX];
    struct stat st;

    return snprintf(path, sizeof(path), "%s/%s",
                    pam->directory != NULL ? pam->directory : PAM_DIRECTORY,
                    pam->service) < (int) sizeof(path) &&
           stat(path, &st) == 0 && S_ISREG(st.st_mode);
}


int
amld_pam_principal(const char *name, aml_principal_id_t *principal)
{
    return aml_principal_derive(aml_str(AMLD_PAM_SPACE), aml_str_of(name),
                                principal);
}


void
amld_pam_user_clear(amld_pam_user_t *user)
{
    free(user->groups);
    user->groups = NULL;
    user->group_count = 0;
}


/* ---- the conversation ---- */

static void
replies_free(struct pam_response *replies, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        if (replies[i].resp != NULL) {
            explicit_bzero(replies[i].resp, strlen(replies[i].resp));
            free(replies[i].resp);
        }
    }
    free(replies);
}


/* Whatever is asked for in secret is the password; what else is asked for,
 * nobody is there to say. */
static int
converse(int n, const struct pam_message **messages,
         struct pam_response **response, void *data)
{
    struct pam_response *replies;
    int i;

    if (n <= 0 || n > PAM_MAX_NUM_MSG) {
        return PAM_CONV_ERR;
    }

    replies = calloc((size_t) n, sizeof(*replies));
    if (replies == NULL) {
        return PAM_BUF_ERR;
    }

    for (i = 0; i < n; i++) {
        switch (messages[i]->msg_style) {

        case PAM_PROMPT_ECHO_OFF:
            replies[i].resp = strdup(data);
            if (replies[i].resp == NULL) {
                replies_free(replies, n);
                return PAM_BUF_ERR;
            }
            break;

        case PAM_ERROR_MSG:
        case PAM_TEXT_INFO:
            break;

        default:
            replies_free(replies, n);
            return PAM_CONV_ERR;
        }
    }

    *response = replies;

    return PAM_SUCCESS;
}


/* How long a wrong password takes is our own back-off's. */
static void
no_delay(int rc, unsigned delay, void *data)
{
    (void) rc;
    (void) delay;
    (void) data;
}


/* ---- who it is ---- */

/* 1 when there is an entry, 0 when not, -1 without memory.  `room`, which the
 * caller frees, is what its strings are in. */
static int
passwd_find(const char *name, struct passwd *entry, char **room)
{
    long size = sysconf(_SC_GETPW_R_SIZE_MAX);
    struct passwd *found = NULL;
    char *grown;
    int rc;

    *room = NULL;
    size = size > 0 ? size : PASSWD_SIZE;

    do {
        grown = realloc(*room, (size_t) size);
        if (grown == NULL) {
            errno = ENOMEM;
            return -1;
        }
        *room = grown;
        rc = getpwnam_r(name, entry, *room, (size_t) size, &found);
        size *= 2;
    } while (rc == ERANGE && size < GROUP_ROOM);

    return found != NULL;
}


/* The name of a group, the caller frees; NULL when it has none. */
static char *
group_name(gid_t gid)
{
    struct group entry, *found = NULL;
    size_t size = PASSWD_SIZE;
    char *room = NULL, *name = NULL;
    int rc;

    do {
        free(room);
        room = malloc(size);
        if (room == NULL) {
            return NULL;
        }
        rc = getgrgid_r(gid, &entry, room, size, &found);
        size *= 2;
    } while (rc == ERANGE && size <= GROUP_ROOM);

    if (found != NULL) {
        name = strdup(found->gr_name);
    }
    free(room);

    return name;
}


static int
group_allowed(const amld_pam_config_t *pam, const char *name)
{
    size_t i;

    for (i = 0; i < pam->group_count; i++) {
        if (strcmp(pam->groups[i], name) == 0) {
            return 1;
        }
    }

    return pam->group_count == 0;
}


/* Principals of the groups; 1 when one of them is allowed, 0, or -1 without
 * memory. */
static int
groups_of(const amld_pam_config_t *pam, const struct passwd *pw,
          amld_pam_user_t *user)
{
    gid_t gids[AML_GRANT_GROUPS + 1];
    int n = AML_GRANT_GROUPS + 1, i, allowed = 0;
    char *name;

    /* -1: there are more, and the first ones are here */
    if (getgrouplist(pw->pw_name, pw->pw_gid, gids, &n) < 0) {
        user->groups_unknown = 1;
        n = AML_GRANT_GROUPS;
    }

    user->groups = calloc((size_t) n + 1, sizeof(*user->groups));
    if (user->groups == NULL) {
        return -1;
    }

    for (i = 0; i < n && user->group_count < AML_GRANT_GROUPS; i++) {
        name = group_name(gids[i]);
        if (name == NULL) {
            continue;
        }
        allowed |= group_allowed(pam, name);
        user->group_count +=
            aml_group_derive(AML_GROUP, aml_str(AMLD_PAM_SPACE),
                             aml_str_of(name),
                             &user->groups[user->group_count]) == 0;
        free(name);
    }

    return allowed;
}


/* Whoever PAM says it is, which may not be what was typed. */
static amld_pam_rc_t
identify(const amld_pam_config_t *pam, const char *name, amld_pam_user_t *user)
{
    struct passwd entry;
    int allowed, found;
    char *room;

    found = passwd_find(name, &entry, &room);
    if (found > 0) {
        name = entry.pw_name;
    }

    allowed = found > 0    ? groups_of(pam, &entry, user)
              : found == 0 ? pam->group_count == 0
                           : -1;

    if (allowed > 0 && found && entry.pw_uid == 0) {
        amld_log(AMLD_LOG_WARN, "pam: \"%.64s\" is root, who is not let in",
                 name);
        allowed = 0;
    } else if (allowed == 0) {
        amld_log(AMLD_LOG_WARN, "pam: \"%.64s\" is in no group that is let in",
                 name);
    }

    if (allowed > 0 && !amld_account_name_valid(name)) {
        amld_log(AMLD_LOG_WARN, "pam: \"%.64s\" is a name that can't be one",
                 name);
        allowed = 0;
    }

    if (allowed > 0) {
        strcpy(user->name, name);
        allowed = amld_pam_principal(name, &user->principal) == 0 ? 1 : -1;
    }
    if (allowed < 0) {
        amld_log(AMLD_LOG_ERROR, "pam: no memory");
    }
    free(room);

    return allowed > 0    ? AMLD_PAM_OK
           : allowed == 0 ? AMLD_PAM_REFUSED
                          : AMLD_PAM_FAILED;
}


/* ---- one check ---- */

/* What PAM's answer comes to. */
static amld_pam_rc_t
pam_answer(pam_handle_t *handle, const char *what, const char *name, int rc)
{
    switch (rc) {

    case PAM_SUCCESS:
        return AMLD_PAM_OK;

    case PAM_AUTH_ERR:
    case PAM_USER_UNKNOWN:
    case PAM_MAXTRIES:
        return AMLD_PAM_REFUSED;

    /* the password was right: the log says what is in the way */
    case PAM_PERM_DENIED:
    case PAM_CRED_INSUFFICIENT:
    case PAM_CRED_EXPIRED:
    case PAM_ACCT_EXPIRED:
    case PAM_AUTHTOK_EXPIRED:
    case PAM_NEW_AUTHTOK_REQD:
        amld_log(AMLD_LOG_WARN, "pam: %s: \"%.64s\": %s", what, name,
                 pam_strerror(handle, rc));
        return AMLD_PAM_REFUSED;

    default:
        amld_log(AMLD_LOG_ERROR, "pam: %s: %s", what, pam_strerror(handle, rc));
        return AMLD_PAM_FAILED;
    }
}


static amld_pam_rc_t
pam_ask(pam_handle_t *handle, const amld_pam_config_t *pam, const char *name,
        const char *address, amld_pam_user_t *user)
{
    /* through a union: PAM takes a function for an item */
    union {
        void (*function)(int, unsigned, void *);
        const void *item;
    } delay = {no_delay};
    const void *who = NULL;
    amld_pam_rc_t answer;
    int rc;

    rc = pam_set_item(handle, PAM_RHOST, address);
    if (rc == PAM_SUCCESS) {
        rc = pam_set_item(handle, PAM_TTY, PAM_TERMINAL);
    }
    if (rc == PAM_SUCCESS) {
        rc = pam_set_item(handle, PAM_FAIL_DELAY, delay.item);
    }
    if (rc != PAM_SUCCESS) {
        return pam_answer(handle, "start", name, rc);
    }

    rc = pam_authenticate(handle, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
    answer = pam_answer(handle, "authentication", name, rc);

    if (answer == AMLD_PAM_OK) {
        rc = pam_acct_mgmt(handle, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
        answer = pam_answer(handle, "account", name, rc);
    }

    if (answer == AMLD_PAM_OK) {
        rc = pam_get_item(handle, PAM_USER, &who);
        answer = pam_answer(handle, "user", name, rc);
    }

    if (answer == AMLD_PAM_OK) {
        answer = identify(pam, who != NULL ? who : name, user);
    }

    (void) pam_end(handle, rc);

    return answer;
}


amld_pam_rc_t
amld_pam_check(const amld_pam_config_t *pam, const char *name,
               const char *password, const char *address, amld_pam_user_t *user)
{
    struct pam_conv conversation = {converse, (void *) password};
    pam_handle_t *handle = NULL;
    int rc;

    memset(user, 0, sizeof(*user));

    /* PAM asks for a name where there is none, and modules take an empty
     * password for an answer */
    if (!amld_account_name_valid(name) || *password == '\0' ||
        strlen(password) > AML_PASSWORD_MAX) {
        return AMLD_PAM_REFUSED;
    }

    if (!amld_pam_service_exists(pam)) {
        amld_log(AMLD_LOG_ERROR, "pam: there is no service \"%s\"",
                 pam->service);
        return AMLD_PAM_FAILED;
    }

    rc = pam->directory != NULL
             ? pam_start_confdir(pam->service, name, &conversation,
                                 pam->directory, &handle)
             : pam_start(pam->service, name, &conversation, &handle);
    if (rc != PAM_SUCCESS) {
        amld_log(AMLD_LOG_ERROR, "pam: service \"%s\": %s", pam->service,
                 pam_strerror(handle, rc));
        return AMLD_PAM_FAILED;
    }

    return pam_ask(handle, pam, name, address, user);
}
