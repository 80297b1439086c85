/*
 * amld role: who may do what where.
 */

#include "computes/cli/cli_role.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/assignments.h"
#include "auth/principals.h"
#include "auth/role_store.h"
#include "auth/roles.h"
#include "computes/instances/computes.h"

const char amld_cli_role_usage[] =
    "Usage: amld [-c FILE] role assign WHO --role ROLE --scope SCOPE "
    "[--type TYPE]\n"
    "       amld [-c FILE] role remove WHO --role ROLE --scope SCOPE\n"
    "       amld [-c FILE] role remove --id GUID\n"
    "       amld [-c FILE] role list [WHO]\n"
    "       amld [-c FILE] role check WHO --action ACTION --scope SCOPE\n"
    "       amld [-c FILE] role definitions\n"
    "       amld [-c FILE] role define FILE\n"
    "       amld [-c FILE] role undefine ROLE\n"
    "\n"
    "Who may do what.  WHO is one of\n"
    "  --account NAME                 a local account\n"
    "  --principal UUID               a principal\n"
    "  --group NAME --issuer NAME     a group of an issuer\n"
    "  --app-role NAME --issuer NAME  an app role of an issuer\n"
    "\n"
    "The issuer is a section of the configuration; --space TEXT in its place\n"
    "is its namespace, for Entra the tenant.  Groups and app roles need not\n"
    "have been seen before.  A principal that was not needs a TYPE: User,\n"
    "Group or ServicePrincipal.\n"
    "\n"
    "ROLE is a role's name, such as Contributor, or its UUID.  SCOPE is the\n"
    "path where it holds, and below: \"/\", or /subscriptions/… down to a\n"
    "workspace or a single compute.  A change holds from the next request on.\n"
    "\n"
    "check says which assignment, of theirs or of a group that their last "
    "sign-in\n"
    "told of, allows an action, such as\n"
    "Microsoft.MachineLearningServices/workspaces/computes/read; its exit\n"
    "status is 0 when one does, 1 when none does.\n"
    "\n"
    "define makes or replaces custom roles: FILE has one definition or an "
    "array\n"
    "of them, in either public format; \"-\" is standard input.\n";

typedef struct {
    amld_cli_who_t who;
    const char *role;
    const char *scope;
    const char *action;
    const char *id;
    const char *type;
} role_args_t;


static int
role_usage(int error)
{
    return amld_cli_usage(amld_cli_role_usage, error);
}


/* -1, or an exit status when there is nothing more to do. */
static int
role_args(role_args_t *args, int argc, char **argv)
{
    const amld_cli_option_t options[] = {
        {"role", &args->role, NULL},     {"scope", &args->scope, NULL},
        {"action", &args->action, NULL}, {"id", &args->id, NULL},
        {"type", &args->type, NULL},     {NULL, NULL, NULL},
    };
    int status;

    memset(args, 0, sizeof(*args));

    status = amld_cli_options(argc, argv, amld_cli_role_usage, options,
                              &args->who, NULL);
    if (status >= 0) {
        return status;
    }

    if (args->scope != NULL && !amld_scope_valid(args->scope)) {
        return amld_cli_fail(AMLD_EXIT_USAGE,
                             "%s: a scope is \"/\" or a path such as "
                             "/subscriptions/…, without a slash at its end",
                             args->scope);
    }
    if (args->type != NULL &&
        amld_principal_type_find(args->type) == AMLD_TYPE_COUNT) {
        return amld_cli_fail(AMLD_EXIT_USAGE,
                             "%s: a type is User, Group or ServicePrincipal",
                             args->type);
    }

    return -1;
}


int
amld_cli_role_begin(amld_cli_t *cli, const char *file, aml_registry_txn_t **txn)
{
    aml_registry_rc_t rc;
    int status;

    status = amld_cli_open(cli, file, 1);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    /* also before the daemon's first start */
    if (amld_roles_load(cli->registry, cli->config->roles) != 0 ||
        amld_assignments_tend(cli->registry) != 0) {
        amld_cli_close(cli);
        return AMLD_EXIT_FAILED;
    }

    rc = aml_registry_write(cli->registry, txn);
    if (rc == AML_REGISTRY_OK && amld_cli_keep(cli) != 0) {
        aml_registry_end(*txn);
        rc = AML_REGISTRY_FAILED;
    }
    if (rc != AML_REGISTRY_OK) {
        amld_cli_close(cli);
        return amld_cli_registry_fail(rc);
    }

    return AMLD_EXIT_OK;
}


int
amld_cli_role_end(amld_cli_t *cli, aml_registry_txn_t *txn, int status,
                  const amld_audit_event_t *event)
{
    aml_registry_rc_t rc;

    if (status == AMLD_EXIT_OK) {
        rc = aml_registry_commit(txn);
        if (rc == AML_REGISTRY_OK) {
            amld_cli_audit(cli, event);
        } else {
            status = amld_cli_registry_fail(rc);
        }
    } else {
        aml_registry_end(txn);
    }
    if (amld_cli_kept(cli) != 0 && status == AMLD_EXIT_OK) {
        status = amld_cli_registry_fail(AML_REGISTRY_FAILED);
    }
    amld_cli_close(cli);

    return status;
}


int
amld_cli_role_find(aml_registry_txn_t *txn, const char *text,
                   aml_principal_id_t *role)
{
    aml_registry_rc_t rc;

    rc = amld_role_find(txn, text, role);
    if (rc == AML_REGISTRY_OK) {
        return AMLD_EXIT_OK;
    }
    if (rc != AML_REGISTRY_NOTFOUND) {
        return amld_cli_registry_fail(rc);
    }

    (void) amld_cli_fail(AMLD_EXIT_FAILED,
                         "%s: there is no such role; \"amld role "
                         "definitions\" prints those that there are",
                         text);

    return AMLD_EXIT_FAILED;
}


/* ---- assign and remove ---- */

/* A principal that has no record yet gets one where that can be meant. */
static int
assign_principal(aml_registry_txn_t *txn, const role_args_t *args,
                 const amld_cli_whom_t *whom, amld_principal_type_t *type)
{
    amld_principal_type_t asked;
    amld_principal_t p;
    aml_registry_rc_t rc;
    int group;

    asked = args->type != NULL ? amld_principal_type_find(args->type)
            : whom->group      ? AMLD_TYPE_GROUP
                               : AMLD_TYPE_COUNT;

    rc = amld_principal_load(txn, &whom->id, &p);
    group = (p.flags & AML_PRINCIPAL_GROUP) != 0;

    if (rc == AML_REGISTRY_NOTFOUND && asked != AMLD_TYPE_COUNT) {
        amld_principal_clear(&p);
        group = asked == AMLD_TYPE_GROUP;
        p.flags = group ? AML_PRINCIPAL_GROUP : 0;
        p.name = strdup(whom->group ? whom->label : "");
        p.issuer = strdup(whom->space);
        errno = ENOMEM;
        rc = p.name != NULL && p.issuer != NULL
                 ? amld_principal_store(txn, &whom->id, &p)
                 : AML_REGISTRY_FAILED;
    }
    amld_principal_clear(&p);

    if (rc == AML_REGISTRY_NOTFOUND) {
        return amld_cli_fail(AMLD_EXIT_FAILED,
                             "%s: there is no such principal; with --type it "
                             "is taken on trust",
                             whom->label);
    }
    if (rc != AML_REGISTRY_OK) {
        return amld_cli_registry_fail(rc);
    }
    if (asked != AMLD_TYPE_COUNT && group != (asked == AMLD_TYPE_GROUP)) {
        return amld_cli_fail(AMLD_EXIT_FAILED, "%s: is %s group", whom->label,
                             group ? "a" : "no");
    }

    *type = asked != AMLD_TYPE_COUNT ? asked
            : group                  ? AMLD_TYPE_GROUP
                                     : AMLD_TYPE_USER;

    return AMLD_EXIT_OK;
}


static int
assign_one(const amld_config_t *config, aml_registry_txn_t *txn,
           const role_args_t *args, amld_assignment_t *a)
{
    char err[64], key[AML_REGISTRY_KEY_MAX + 1];
    amld_principal_type_t type = AMLD_TYPE_USER;
    amld_cli_whom_t whom;
    aml_registry_rc_t rc;
    aml_role_t *role;
    aml_str_t value;
    int status;

    memset(a, 0, sizeof(*a));

    status = amld_cli_who_find(config, txn, &args->who, &whom);
    if (status == AMLD_EXIT_OK) {
        status = amld_cli_role_find(txn, args->role, &a->role);
    }
    if (status == AMLD_EXIT_OK) {
        status = assign_principal(txn, args, &whom, &type);
    }
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    rc = amld_assignment_find(txn, &whom.id, &a->role, args->scope, a);
    if (rc == AML_REGISTRY_OK) {
        return AMLD_EXIT_OK;
    }

    rc = aml_registry_get(txn, key, aml_key_role(key, &a->role), &value);
    role = rc == AML_REGISTRY_OK
               ? aml_role_parse(value.p, value.n, err, sizeof(err))
               : NULL;
    if (role != NULL && !aml_role_assignable(role, aml_str_of(args->scope))) {
        aml_role_free(role);
        return amld_cli_fail(AMLD_EXIT_FAILED,
                             "%s: is not assignable at %s, see its assignable "
                             "scopes",
                             args->role, args->scope);
    }
    aml_role_free(role);

    a->principal = whom.id;
    a->type = type;
    memcpy(a->scope, args->scope, strlen(args->scope) + 1);
    amld_time_now(a->created_on);
    amld_time_now(a->updated_on);

    rc = amld_assignment_id(txn, &a->principal, &a->role, a->scope, &a->id);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_assignment_add(txn, a);
    }
    if (rc == AML_REGISTRY_TOOLONG) {
        return amld_cli_fail(AMLD_EXIT_FAILED, "%s has too many roles already",
                             whom.label);
    }

    return rc == AML_REGISTRY_OK ? AMLD_EXIT_OK : amld_cli_registry_fail(rc);
}


static int
remove_one(const amld_config_t *config, aml_registry_txn_t *txn,
           const role_args_t *args, amld_assignment_t *a)
{
    aml_principal_id_t id;
    amld_cli_whom_t whom;
    aml_registry_rc_t rc;
    int status;

    if (args->id != NULL) {
        if (aml_uuid_parse(aml_str_of(args->id), &id) != 0) {
            return amld_cli_fail(AMLD_EXIT_USAGE, "%s: is not a GUID",
                                 args->id);
        }
        rc = amld_assignment_get(txn, &id, a);
        if (rc == AML_REGISTRY_NOTFOUND) {
            return amld_cli_fail(AMLD_EXIT_FAILED,
                                 "%s: there is no such assignment", args->id);
        }

    } else {
        status = amld_cli_who_find(config, txn, &args->who, &whom);
        if (status == AMLD_EXIT_OK) {
            /* A role that has no definition any more can be taken away. */
            status = aml_uuid_parse(aml_str_of(args->role), &id) == 0
                         ? AMLD_EXIT_OK
                         : amld_cli_role_find(txn, args->role, &id);
        }
        if (status != AMLD_EXIT_OK) {
            return status;
        }
        rc = amld_assignment_find(txn, &whom.id, &id, args->scope, a);
        if (rc == AML_REGISTRY_NOTFOUND) {
            return amld_cli_fail(AMLD_EXIT_FAILED,
                                 "%s does not have role %s at %s", whom.label,
                                 args->role, args->scope);
        }
    }

    if (rc == AML_REGISTRY_OK) {
        rc = amld_assignment_remove(txn, a);
    }

    return rc == AML_REGISTRY_OK ? AMLD_EXIT_OK : amld_cli_registry_fail(rc);
}


static int
role_change(const char *file, const role_args_t *args, int assign)
{
    char id[AML_UUID_TEXT + 1], principal[AML_UUID_TEXT + 1], name[160];
    amld_audit_event_t event = {.event = "role",
                                .action = assign ? "assign" : "remove"};
    aml_registry_txn_t *txn;
    amld_assignment_t a = {0};
    amld_cli_t cli;
    int status;

    status = amld_cli_role_begin(&cli, file, &txn);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    status = (assign ? assign_one : remove_one)(cli.config, txn, args, &a);
    if (status == AMLD_EXIT_OK) {
        amld_role_label(txn, &a.role, name, sizeof(name));
        event.of = &a.principal;
        event.id = &a.id;
        event.target = name;
        event.scope = a.scope;
    }

    status = amld_cli_role_end(&cli, txn, status, &event);
    if (status == AMLD_EXIT_OK) {
        aml_uuid_format(&a.id, id);
        aml_uuid_format(&a.principal, principal);
        fprintf(stderr, "amld: %s %s role %s at %s\n", principal,
                assign ? "has" : "no longer has", name, a.scope);
        printf("%s\n", id);
    }

    return fflush(stdout) == 0 ? status : AMLD_EXIT_FAILED;
}


static int
role_assign(const char *file, int argc, char **argv)
{
    role_args_t args;
    int status;

    status = role_args(&args, argc, argv);
    if (status >= 0) {
        return status;
    }

    return amld_cli_who_named(&args.who) != 1 || args.who.subject != NULL ||
                   args.role == NULL || args.scope == NULL ||
                   args.action != NULL || args.id != NULL
               ? role_usage(1)
               : role_change(file, &args, 1);
}


static int
role_remove(const char *file, int argc, char **argv)
{
    role_args_t args;
    int status, named;

    status = role_args(&args, argc, argv);
    if (status >= 0) {
        return status;
    }

    named = amld_cli_who_named(&args.who);

    return args.action != NULL || args.type != NULL ||
                   (args.id != NULL
                        ? named != 0 || args.role != NULL || args.scope != NULL
                        : named != 1 || args.role == NULL || args.scope == NULL)
               ? role_usage(1)
               : role_change(file, &args, 0);
}


/* ---- list ---- */

typedef struct {
    aml_registry_txn_t *txn;
    const aml_assignment_t *entry;
    aml_principal_id_t id;
    int found;
} list_find_t;


static int
list_find(void *data, const amld_assignment_entry_t *entry)
{
    list_find_t *find = data;

    if (aml_principal_eq(&entry->role, &find->entry->role) &&
        aml_str_caseeq(entry->scope, find->entry->scope)) {
        find->id = entry->id;
        find->found = 1;
    }

    return find->found;
}


/* What decides is the principal's list; that is what is printed. */
static void
list_print(aml_registry_txn_t *txn, const aml_principal_id_t *id,
           const aml_principal_t *p)
{
    char guid[AML_UUID_TEXT + 1], principal[AML_UUID_TEXT + 1], role[160];
    amld_principal_type_t type;
    aml_assignment_t entry;
    amld_assignment_t a;
    list_find_t find;
    aml_str_t rest, name;

    aml_uuid_format(id, principal);
    name = p->name.n != 0 ? p->name : aml_str_of(principal);

    rest = p->assignments;
    while (aml_assignment_next(&rest, &entry)) {
        find = (list_find_t){.txn = txn, .entry = &entry};
        type =
            p->flags & AML_PRINCIPAL_GROUP ? AMLD_TYPE_GROUP : AMLD_TYPE_USER;
        (void) snprintf(guid, sizeof(guid), "%-*s", AML_UUID_TEXT, "-");

        if (amld_assignments_of(txn, id, (aml_str_t){NULL, 0}, list_find,
                                &find) == AML_REGISTRY_OK &&
            find.found) {
            aml_uuid_format(&find.id, guid);
            if (amld_assignment_get(txn, &find.id, &a) == AML_REGISTRY_OK) {
                type = a.type;
            }
        }

        amld_role_label(txn, &entry.role, role, sizeof(role));
        printf("%s  %-16s  ", guid, amld_principal_type_name(type));
        amld_cli_print(name.p, name.n);
        printf("%*s  ", name.n < 24 ? (int) (24 - name.n) : 0, "");
        amld_cli_print(role, strlen(role));
        printf("%*s  ", strlen(role) < 24 ? (int) (24 - strlen(role)) : 0, "");
        amld_cli_print(entry.scope.p, entry.scope.n);
        putchar('\n');
    }
}


static int
list_each(void *data, aml_str_t key, aml_str_t value)
{
    aml_principal_id_t id;
    aml_principal_t p;

    if (key.n < AML_UUID_TEXT ||
        aml_uuid_parse(
            (aml_str_t){key.p + key.n - AML_UUID_TEXT, AML_UUID_TEXT}, &id) !=
            0 ||
        aml_principal_decode(value, &p) != AML_RECORD_OK) {
        (void) amld_cli_fail(AMLD_EXIT_FAILED, "%.*s: can't be read",
                             (int) key.n, key.p);
        return 0;
    }

    list_print(data, &id, &p);

    return 0;
}


static int
list_one(const amld_config_t *config, aml_registry_txn_t *txn,
         const amld_cli_who_t *who)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    amld_cli_whom_t whom;
    aml_registry_rc_t rc;
    aml_str_t value;
    int status;

    status = amld_cli_who_find(config, txn, who, &whom);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    rc = aml_registry_get(txn, key, aml_key_principal(key, &whom.id), &value);
    if (rc == AML_REGISTRY_OK) {
        (void) list_each(txn, aml_str_of(key), value);
    }

    return rc == AML_REGISTRY_OK || rc == AML_REGISTRY_NOTFOUND
               ? AMLD_EXIT_OK
               : amld_cli_registry_fail(rc);
}


static int
role_list(const char *file, int argc, char **argv)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    role_args_t args;
    amld_cli_t cli;
    int named, status;

    status = role_args(&args, argc, argv);
    if (status >= 0) {
        return status;
    }

    named = amld_cli_who_named(&args.who);
    if (named < 0 || args.who.subject != NULL || args.role != NULL ||
        args.scope != NULL || args.action != NULL || args.id != NULL ||
        args.type != NULL) {
        return role_usage(1);
    }

    status = amld_cli_open(&cli, file, 0);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    rc = amld_cli_read(&cli, &txn);
    if (rc == AML_REGISTRY_OK) {
        if (named) {
            status = list_one(cli.config, txn, &args.who);
        } else {
            rc = aml_registry_each(txn, aml_str("principal/"),
                                   (aml_str_t){NULL, 0}, list_each, txn);
        }
        rc = amld_cli_end(&cli, txn, rc);
    }
    if (rc != AML_REGISTRY_OK) {
        status = amld_cli_registry_fail(rc);
    }
    amld_cli_close(&cli);

    return fflush(stdout) == 0 ? status : AMLD_EXIT_FAILED;
}


/* ---- check ---- */

typedef enum {
    CHECK_SILENT,
    CHECK_TAKES_BACK,
    CHECK_ALLOWS
} check_t;


static check_t
check_entry(aml_registry_txn_t *txn, const aml_assignment_t *entry,
            aml_str_t action)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    check_t verdict = CHECK_SILENT;
    aml_role_t *role;
    aml_str_t value;

    if (aml_registry_get(txn, key, aml_key_role(key, &entry->role), &value) !=
        AML_REGISTRY_OK) {
        return CHECK_SILENT;
    }

    role = aml_role_parse(value.p, value.n, NULL, 0);
    if (role != NULL) {
        verdict = aml_role_allows(role, action)       ? CHECK_ALLOWS
                  : aml_role_takes_back(role, action) ? CHECK_TAKES_BACK
                                                      : CHECK_SILENT;
    }
    aml_role_free(role);

    return verdict;
}


typedef struct {
    aml_registry_txn_t *txn;
    const role_args_t *args;
    int allowed;
    int disabled;
    size_t covers;
} check_state_t;


/* The assignments of one principal, themselves or a group of theirs. */
static aml_registry_rc_t
check_one(check_state_t *s, const aml_principal_id_t *id, int group)
{
    static const char *const words[] = {
        [CHECK_SILENT] = "does not allow it",
        [CHECK_TAKES_BACK] = "takes it away by its NotActions",
        [CHECK_ALLOWS] = "allows it",
    };
    char guid[AML_UUID_TEXT + 1], uuid[AML_UUID_TEXT + 1], role[160];
    aml_str_t scope;
    amld_assignment_t a;
    amld_principal_t p;
    aml_registry_rc_t rc;
    check_t verdict;
    size_t i;

    rc = amld_principal_load(s->txn, id, &p);
    if (rc == AML_REGISTRY_NOTFOUND) {
        rc = AML_REGISTRY_OK;
    }
    if (p.flags & AML_PRINCIPAL_DISABLED) {
        s->disabled |= !group;
        amld_principal_clear(&p);
        return rc;
    }

    for (i = 0; i < p.count; i++) {
        scope = p.list[i].scope;
        if (!aml_scope_covers(scope, aml_str_of(s->args->scope))) {
            continue;
        }
        s->covers++;

        (void) snprintf(a.scope, sizeof(a.scope), "%.*s", (int) scope.n,
                        scope.p);
        (void) snprintf(guid, sizeof(guid), "-");
        if (amld_assignment_find(s->txn, id, &p.list[i].role, a.scope, &a) ==
            AML_REGISTRY_OK) {
            aml_uuid_format(&a.id, guid);
        }

        verdict = check_entry(s->txn, &p.list[i], aml_str_of(s->args->action));
        s->allowed |= verdict == CHECK_ALLOWS;
        amld_role_label(s->txn, &p.list[i].role, role, sizeof(role));
        printf("%s  ", guid);
        amld_cli_print(role, strlen(role));
        printf(" at ");
        amld_cli_print(scope.p, scope.n);
        if (group) {
            aml_uuid_format(id, uuid);
            printf(" of the group ");
            amld_cli_print(p.name[0] != '\0' ? p.name : uuid,
                           strlen(p.name[0] != '\0' ? p.name : uuid));
        }
        printf(" %s\n", words[verdict]);
    }
    amld_principal_clear(&p);

    return rc;
}


/* Those that the last sign-in told of; `*unknown` when they are not all. */
static aml_registry_rc_t
check_groups(check_state_t *s, const aml_principal_id_t *id, int *unknown)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_principal_id_t group;
    aml_registry_rc_t rc;
    aml_grant_t grant;
    aml_str_t value;
    unsigned i;

    *unknown = 0;

    rc = aml_registry_get(s->txn, key, aml_key_grant(key, id), &value);
    if (rc != AML_REGISTRY_OK) {
        return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
    }
    if (aml_grant_decode(value, &grant) != AML_RECORD_OK) {
        return AML_REGISTRY_CORRUPT;
    }

    *unknown = (grant.flags & AML_GRANT_UNKNOWN) != 0;
    if (grant.expires <= (int64_t) time(NULL)) {
        *unknown |= grant.group_count != 0;
        return AML_REGISTRY_OK;
    }

    for (i = 0; i < grant.group_count && rc == AML_REGISTRY_OK; i++) {
        group = aml_grant_group(&grant, i);
        rc = check_one(s, &group, 1);
    }

    return rc;
}


static int
check_principal(aml_registry_txn_t *txn, const role_args_t *args,
                const aml_principal_id_t *id)
{
    check_state_t s = {.txn = txn, .args = args};
    aml_registry_rc_t rc;
    int unknown = 0;

    rc = check_one(&s, id, 0);
    if (rc == AML_REGISTRY_OK && !s.disabled) {
        rc = check_groups(&s, id, &unknown);
    }
    if (rc != AML_REGISTRY_OK) {
        return amld_cli_registry_fail(rc);
    }

    if (s.disabled) {
        printf("denied: the principal is disabled\n");
    } else if (s.allowed) {
        printf("allowed\n");
    } else if (unknown) {
        printf("not known: their provider has not told all of their groups\n");
    } else {
        printf("denied%s\n",
               s.covers == 0 ? ": no role is assigned there" : "");
    }

    return s.allowed && !s.disabled ? AMLD_EXIT_OK : AMLD_EXIT_FAILED;
}


static int
role_check(const char *file, int argc, char **argv)
{
    aml_registry_txn_t *txn;
    amld_cli_whom_t whom;
    aml_registry_rc_t rc;
    role_args_t args;
    amld_cli_t cli;
    int status;

    status = role_args(&args, argc, argv);
    if (status >= 0) {
        return status;
    }

    if (amld_cli_who_named(&args.who) != 1 || args.action == NULL ||
        args.scope == NULL || args.role != NULL || args.id != NULL ||
        args.type != NULL) {
        return role_usage(1);
    }
    if (strchr(args.action, '/') == NULL || strchr(args.action, '*') != NULL) {
        return amld_cli_fail(AMLD_EXIT_USAGE,
                             "%s: an action is one such as "
                             "Microsoft.MachineLearningServices/workspaces/"
                             "computes/read",
                             args.action);
    }

    status = amld_cli_open(&cli, file, 0);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    rc = amld_cli_read(&cli, &txn);
    if (rc == AML_REGISTRY_OK) {
        status = amld_cli_who_find(cli.config, txn, &args.who, &whom);
        if (status == AMLD_EXIT_OK) {
            status = check_principal(txn, &args, &whom.id);
        }
        rc = amld_cli_end(&cli, txn, rc);
    }
    if (rc != AML_REGISTRY_OK) {
        status = amld_cli_registry_fail(rc);
    }
    amld_cli_close(&cli);

    return fflush(stdout) == 0 ? status : AMLD_EXIT_FAILED;
}


int
amld_cli_role(const char *file, int argc, char **argv)
{
    static const amld_cli_command_t commands[] = {
        {"assign", role_assign},
        {"remove", role_remove},
        {"list", role_list},
        {"check", role_check},
        {"definitions", amld_cli_role_definitions},
        {"define", amld_cli_role_define},
        {"undefine", amld_cli_role_undefine},
        {NULL, NULL},
    };

    return amld_cli_dispatch(commands, amld_cli_role_usage, file, argc, argv);
}
