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

typedef struct {
    const amld_config_t *config;
    const aml_principal_id_t *principal;
    amld_page_instance_t *list;
    size_t n, size;
    int failed;
} studio_list_t;


static char *
studio_host(const studio_list_t *s, aml_str_t key)
{
    const char *name, *slash;
    char *host;

    /* route/<lower-case name>/0 */
    name = memchr(key.p, '/', key.n);
    slash = name != NULL
                ? memchr(name + 1, '/', key.n - (size_t) (name + 1 - key.p))
                : NULL;
    if (slash == NULL ||
        asprintf(&host, "%.*s.%s%s", (int) (slash - name - 1), name + 1,
                 s->config->apps, s->config->apps_port) < 0) {
        return NULL;
    }

    return host;
}


static int
studio_add(studio_list_t *s, aml_str_t key, const aml_route_t *route)
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
    i->host = studio_host(s, key);
    i->state = route->state;

    return i->name != NULL && i->id != NULL && i->host != NULL ? 0 : -1;
}


static int
studio_each(void *data, aml_str_t key, aml_str_t value)
{
    studio_list_t *s = data;
    aml_route_t route;

    if (key.n < 2 || memcmp(key.p + key.n - 2, "/0", 2) != 0 ||
        aml_route_decode(value, &route) != AML_RECORD_OK ||
        !aml_principal_eq(&route.creator, s->principal)) {
        return 0;
    }

    if (studio_add(s, key, &route) != 0) {
        s->failed = 1;
    }

    return s->failed;
}


int
amld_studio_page(amld_t *d, const amld_request_t *request,
                 amld_response_t *response)
{
    studio_list_t s = {.config = d->config, .principal = &request->principal};
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    size_t i;

    rc = aml_registry_read(d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_each(txn, aml_str("route/"), (aml_str_t){NULL, 0},
                               studio_each, &s);
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
