/*
 * Metadata of providers.
 */

#include "auth/discovery.h"

#include <stdlib.h>
#include <string.h>

#include "auth/json.h"

#define URL_MAX 2048


/* Printable ASCII without blanks, and a host; no name and password before it,
 * which would get into logs. */
static int
is_https(aml_str_t url)
{
    size_t i, authority = 1;

    if (url.n <= 8 || url.n > URL_MAX || memcmp(url.p, "https://", 8) != 0 ||
        url.p[8] == '/' || url.p[8] == '?' || url.p[8] == '#') {
        return 0;
    }

    for (i = 0; i < url.n; i++) {
        if (url.p[i] <= ' ' || url.p[i] >= 0x7f || url.p[i] == '\\' ||
            (authority && url.p[i] == '@')) {
            return 0;
        }
        authority = authority && (i < 8 || strchr("/?#", url.p[i]) == NULL);
    }

    return 1;
}


/* 0, also when there is none that can be used; -1 without memory. */
static int
take_url(const json_t *json, const char *name, char **url)
{
    const json_t *v = json_object_get(json, name);

    if (!json_is_string(v) || !is_https(aml_json_string(v))) {
        return 0;
    }

    *url = strdup(json_string_value(v));

    return *url != NULL ? 0 : -1;
}


/* 1: it is in the list; 0: it is not; -1: there is no list. */
static int
lists(const json_t *json, const char *name, const char *value)
{
    const json_t *list = json_object_get(json, name), *v;
    size_t i;

    if (!json_is_array(list)) {
        return -1;
    }

    json_array_foreach(list, i, v)
    {
        if (json_is_string(v) && strcmp(json_string_value(v), value) == 0) {
            return 1;
        }
    }

    return 0;
}


const char *
amld_discovery_parse(const char *text, size_t n, const char *issuer,
                     const char *any, amld_discovery_t *d)
{
    const char *wrong = NULL;
    aml_str_t said;
    json_t *json;

    memset(d, 0, sizeof(*d));

    json = aml_json_object((aml_str_t){text, n});
    if (json == NULL) {
        return "its metadata is no JSON object";
    }

    said = aml_json_string(json_object_get(json, "issuer"));
    if (!aml_str_eq(said, aml_str_of(issuer)) &&
        (any == NULL || !aml_str_eq(said, aml_str_of(any)))) {
        json_decref(json);
        return "its metadata names another issuer";
    }

    d->issuer = strdup(issuer);

    if (d->issuer == NULL || take_url(json, "jwks_uri", &d->jwks_uri) != 0 ||
        take_url(json, "authorization_endpoint", &d->authorization_endpoint) !=
            0 ||
        take_url(json, "token_endpoint", &d->token_endpoint) != 0 ||
        take_url(json, "userinfo_endpoint", &d->userinfo_endpoint) != 0 ||
        take_url(json, "end_session_endpoint", &d->end_session_endpoint) != 0) {
        wrong = "no memory";

    } else if (d->jwks_uri == NULL) {
        wrong = "its metadata has no jwks_uri of https";
    }

    d->no_s256 = lists(json, "code_challenge_methods_supported", "S256") == 0;
    d->iss_parameter = json_is_true(json_object_get(
        json, "authorization_response_iss_parameter_supported"));

    /* where it says nothing it is Basic, by the specification */
    d->basic = lists(json, "token_endpoint_auth_methods_supported",
                     "client_secret_basic") != 0;

    json_decref(json);

    return wrong;
}


void
amld_discovery_clear(amld_discovery_t *d)
{
    free(d->issuer);
    free(d->jwks_uri);
    free(d->authorization_endpoint);
    free(d->token_endpoint);
    free(d->userinfo_endpoint);
    free(d->end_session_endpoint);
    memset(d, 0, sizeof(*d));
}


static int
copy(char **to, const char *from)
{
    *to = from != NULL ? strdup(from) : NULL;

    return from == NULL || *to != NULL ? 0 : -1;
}


int
amld_discovery_copy(amld_discovery_t *to, const amld_discovery_t *from)
{
    int failed;

    *to = *from;

    /* all of them, so that none of them is the other's */
    failed = copy(&to->issuer, from->issuer);
    failed |= copy(&to->jwks_uri, from->jwks_uri);
    failed |= copy(&to->authorization_endpoint, from->authorization_endpoint);
    failed |= copy(&to->token_endpoint, from->token_endpoint);
    failed |= copy(&to->userinfo_endpoint, from->userinfo_endpoint);
    failed |= copy(&to->end_session_endpoint, from->end_session_endpoint);

    if (failed) {
        amld_discovery_clear(to);
        return -1;
    }

    return 0;
}
