/*
 * The studio page: a person's own instances, from the routes that the gateway
 * itself goes by.
 */

#include "auth/studio.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/pages.h"

/* ---- whose instances ---- */

typedef struct {
    const aml_principal_id_t *principal;
    amld_own_each_pt each;
    void *data;
} own_walk_t;


static int
own_each(void *data, aml_str_t key, aml_str_t value)
{
    const size_t family = sizeof("route/") - 1, port = sizeof("/0") - 1;
    const own_walk_t *walk = data;
    aml_route_t route;

    /* route/<lower-case name>/0 */
    if (key.n < family + port ||
        memcmp(key.p + key.n - port, "/0", port) != 0 ||
        aml_route_decode(value, &route) != AML_RECORD_OK ||
        !aml_principal_eq(&route.creator, walk->principal)) {
        return 0;
    }

    return walk->each(
        walk->data, (aml_str_t){key.p + family, key.n - family - port}, &route);
}


aml_registry_rc_t
amld_own_instances(aml_registry_txn_t *txn, const aml_principal_id_t *principal,
                   amld_own_each_pt each, void *data)
{
    own_walk_t walk = {principal, each, data};

    return aml_registry_each(txn, aml_str("route/"), (aml_str_t){NULL, 0},
                             own_each, &walk);
}


/* ---- the page ---- */

typedef struct {
    const amld_config_t *config;
    amld_page_instance_t *list;
    size_t n, size;
    int failed;
} studio_list_t;


static char *
studio_host(const studio_list_t *s, aml_str_t name)
{
    char *host;

    return asprintf(&host, "%.*s.%s%s", (int) name.n, name.p, s->config->apps,
                    s->config->apps_port) < 0
               ? NULL
               : host;
}


static int
studio_add(studio_list_t *s, aml_str_t name, const aml_route_t *route)
{
    amld_page_instance_t *i;
    size_t size;
    void *grown;

    if (s->n == s->size) {
        size = s->size == 0 ? 16 : s->size * 2;
        grown = realloc(s->list, size * sizeof(*s->list));
        if (grown == NULL) {
            return -1;
        }
        s->list = grown;
        s->size = size;
    }

    i = &s->list[s->n++];
    i->name = strndup(route->name.p, route->name.n);
    i->id = strndup(route->compute.p, route->compute.n);
    i->host = studio_host(s, name);
    i->state = route->state;

    return i->name != NULL && i->id != NULL && i->host != NULL ? 0 : -1;
}


static int
studio_each(void *data, aml_str_t name, const aml_route_t *route)
{
    studio_list_t *s = data;

    s->failed = studio_add(s, name, route) != 0;

    return s->failed;
}


int
amld_studio_page(amld_t *d, const amld_request_t *request,
                 amld_response_t *response)
{
    studio_list_t s = {.config = d->config};
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    size_t i;

    rc = aml_registry_read(d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_own_instances(txn, &request->principal, studio_each, &s);
        aml_registry_end(txn);
    }

    if (s.failed) {
        errno = ENOMEM;
        rc = AML_REGISTRY_FAILED;
    }

    if (rc == AML_REGISTRY_OK) {
        amld_page_studio(d, response, request->name, s.list, s.n);
    } else {
        amld_log(AMLD_LOG_ERROR, "studio: %s", aml_registry_strerror(rc));
    }

    for (i = 0; i < s.n; i++) {
        free((char *) s.list[i].name);
        free((char *) s.list[i].id);
        free((char *) s.list[i].host);
    }
    free(s.list);

    return rc == AML_REGISTRY_OK ? 0 : -1;
}
