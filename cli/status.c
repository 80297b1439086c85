/*
 * Who one is where, and the token for other programs.
 */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/base64url.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/text.h"

/* What a profile says of itself, without secrets. */
static json_t *
status_of(const char *name, const json_t *profile, int used)
{
    return json_pack(
        "{s:s,s:b,s:s,s:s,s:s,s:I,s:b}", "profile", name, "default", used,
        "server", cli_str(profile, "server"), "workspace",
        cli_str(profile, "workspace"), "signedInBy", cli_str(profile, "kind"),
        "tokenExpires", json_integer_value(json_object_get(profile, "expires")),
        "renewed", json_object_get(profile, "refresh_token") != NULL);
}


static json_t *
status_list(void)
{
    cli_store_t store;
    const char *name, *used;
    json_t *profile, *list;

    if (cli_store_open(&store, 0) != 0) {
        return NULL;
    }
    list = json_array();
    used = cli_store_default(&store);
    json_object_foreach(json_object_get(store.root, "profiles"), name, profile)
    {
        json_array_append_new(
            list,
            status_of(name, profile, used != NULL && strcmp(used, name) == 0));
    }
    cli_store_close(&store);

    return list;
}


static const char *
status_token(const json_t *one, char *text, size_t size)
{
    json_int_t expires =
        json_integer_value(json_object_get(one, "tokenExpires"));
    json_int_t left = expires - (json_int_t) time(NULL);

    if (json_is_true(json_object_get(one, "renewed"))) {
        return "renewed by itself";
    }
    if (expires == 0) {
        return "until it is revoked";
    }
    if (left <= 0) {
        return "expired";
    }
    snprintf(text, size, "for %lld min", (long long) (left + 59) / 60);

    return text;
}


int
cli_profiles(cli_t *cli)
{
    static const char *const headings[] = {"PROFILE", "SERVER", "SIGNED IN BY",
                                           "TOKEN"};
    char text[64];
    cli_table_t table;
    json_t *list = status_list(), *one;
    size_t i;
    int rc;

    if (list == NULL) {
        return CLI_EXIT_FAILED;
    }
    if (cli->json) {
        rc = cli_print_json(list);
    } else if (json_array_size(list) == 0) {
        rc = cli_fail(CLI_EXIT_SIGN_IN,
                      "you are not signed in: aml login --server URL");
    } else {
        cli_table_begin(&table, 4, headings);
        json_array_foreach(list, i, one)
        {
            snprintf(text, sizeof(text), "%s%s", cli_str(one, "profile"),
                     json_is_true(json_object_get(one, "default")) ? " *" : "");
            cli_table_add(&table, text);
            cli_table_add(&table, cli_str(one, "server"));
            cli_table_add(&table, cli_str(one, "signedInBy"));
            cli_table_add(&table, status_token(one, text, sizeof(text)));
        }
        rc = cli_table_end(&table, stdout, cli_table_width());
    }
    json_decref(list);

    return rc;
}


/* The claims of a JSON Web Token, as they are: only the server can say whether
 * they are true. */
static json_t *
status_claims(const char *token)
{
    unsigned char *decoded;
    const char *p = strchr(token, '.'), *end;
    json_t *claims = NULL;
    size_t n;

    end = p != NULL ? strchr(p + 1, '.') : NULL;
    if (end == NULL) {
        return NULL;
    }
    p++;
    n = (size_t) (end - p);
    decoded = malloc(aml_base64url_room(n) + 1);
    if (decoded != NULL && aml_base64url_decode(decoded, &n, p, n) == 0) {
        claims = json_loadb((char *) decoded, n, 0, NULL);
    }
    free(decoded);

    return claims;
}


int
cli_status(cli_t *cli)
{
    json_t *claims, *sessions = NULL, *answer;
    const char *name;
    int rc;

    rc = cli_token(cli);
    if (rc != 0) {
        return rc;
    }
    claims = status_claims(cli->token);
    name = cli_str(claims, "name");
    if (name[0] == '\0') {
        name = cli_str(claims, "preferred_username");
    }
    if (claims != NULL) {
        /* whether it is still good is the server's to say */
        rc = cli_get(cli, "/auth/sessions", &sessions);
        json_decref(sessions);
    }

    if (rc == 0 && cli->json) {
        answer = json_pack("{s:s,s:s,s:s*,s:s*,s:s,s:s}", "server", cli->server,
                           "workspace", cli->workspace ? cli->workspace : "",
                           "profile", cli->profile, "apps", cli->apps, "name",
                           name, "subject", cli_str(claims, "sub"));
        rc = cli_print_json(answer);
        json_decref(answer);
    } else if (rc == 0) {
        name = name[0] != '\0' ? name : "whoever has this token";
        cli_text_write(stdout, name, strlen(name), 0);
        (void) printf(" at %s\n", cli->server);
        (void) printf("workspace %s\n", cli->workspace != NULL
                                            ? cli->workspace
                                            : "not chosen: --workspace");
    }
    json_decref(claims);

    return rc;
}


int
cli_print_token(cli_t *cli)
{
    int rc = cli_token(cli);

    if (rc == 0 && (printf("%s\n", cli->token) < 0 || fflush(stdout) != 0)) {
        rc = cli_fail(CLI_EXIT_FAILED, "standard output can't be written");
    }

    return rc;
}
