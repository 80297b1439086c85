/*
 * The TLS policy's enforcement: "nginx -t" fails for a server that asks
 * something of its requests and yet lets them come in unprotected.
 */

#include "ngx_http_aml_module.h"

#include "tls/policy.h"


static ngx_int_t
ngx_http_aml_tls_listen(ngx_conf_t *cf, ngx_http_conf_addr_t *addr);
static ngx_int_t
ngx_http_aml_tls_server(ngx_conf_t *cf, ngx_http_core_srv_conf_t *cscf,
                        ngx_http_core_srv_conf_t *user);
static ngx_uint_t
ngx_http_aml_tls_line(ngx_conf_t *cf, ngx_http_core_srv_conf_t *cscf,
                      const char *directive, const char *without);
static ngx_uint_t ngx_http_aml_used(ngx_http_core_srv_conf_t *cscf);


ngx_int_t
ngx_http_aml_tls_enforce(ngx_conf_t *cf)
{
    ngx_uint_t p, a;
    ngx_http_conf_port_t *port;
    ngx_http_conf_addr_t *addr;
    ngx_http_core_main_conf_t *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    if (cmcf->ports == NULL) {
        return NGX_OK;
    }

    port = cmcf->ports->elts;

    for (p = 0; p < cmcf->ports->nelts; p++) {
        addr = port[p].addrs.elts;

        for (a = 0; a < port[p].addrs.nelts; a++) {
            if (ngx_http_aml_tls_listen(cf, &addr[a]) != NGX_OK) {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_aml_tls_listen(ngx_conf_t *cf, ngx_http_conf_addr_t *addr)
{
    ngx_uint_t s, ssl;
    ngx_http_core_srv_conf_t **server;

    ssl = addr->opt.ssl;
#if (NGX_HTTP_V3)
    ssl |= addr->opt.quic;
#endif

    server = addr->servers.elts;

    for (s = 0; s < addr->servers.nelts; s++) {

        if (!ngx_http_aml_used(server[s])) {
            continue;
        }

        if (!ssl) {
            ngx_log_error(
                NGX_LOG_EMERG, cf->log, 0,
                "\"listen %V\" without \"ssl\" in a server that "
                "uses \"aml_require\": add \"ssl\", or let a "
                "server of its own redirect to https, in %s:%ui",
                &addr->opt.addr_text, server[s]->file_name,
                ngx_http_aml_tls_line(cf, server[s], "listen", " ssl"));
            return NGX_ERROR;
        }

        /* the handshake begins with the default server's settings */

        if (ngx_http_aml_tls_server(cf, server[s], server[s]) != NGX_OK ||
            ngx_http_aml_tls_server(cf, addr->default_server, server[s]) !=
                NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_aml_tls_server(ngx_conf_t *cf, ngx_http_core_srv_conf_t *cscf,
                        ngx_http_core_srv_conf_t *user)
{
    char what[128];
    ngx_uint_t line;
    const char *directive;
    aml_tls_rc_t rc;
    ngx_http_ssl_srv_conf_t *sscf;

    sscf = cscf->ctx->srv_conf[ngx_http_ssl_module.ctx_index];

    what[0] = '\0';

    if (sscf->ssl.ctx == NULL) {
        rc = AML_TLS_NO_CERTIFICATE;

    } else {
        rc = aml_tls_check(sscf->ssl.ctx, what, sizeof(what));

        /* certificates named by variables are loaded at the handshake */

        if (rc == AML_TLS_NO_CERTIFICATE && sscf->certificates != NULL) {
            rc = AML_TLS_OK;
        }
    }

    switch (rc) {

    case AML_TLS_OK:
        return NGX_OK;

    case AML_TLS_PROTOCOL:
        directive = "ssl_protocols";
        break;

    case AML_TLS_CIPHER:
        directive = "ssl_ciphers";
        break;

    default:

        /* the default server of an address may refuse every handshake */

        if (cscf != user) {
            return NGX_OK;
        }

        directive = "ssl_certificate";
        break;
    }

    line = ngx_http_aml_tls_line(cf, cscf, directive, NULL);

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"%s\" allows less than a server that uses "
                  "\"aml_require\" may%s%s: write \"%s\", in %s:%ui",
                  directive, what[0] ? ", " : "", what, aml_tls_advice(rc),
                  cscf->file_name, line);

    return NGX_ERROR;
}


/*
 * The line of a directive within the server's block, for the error message
 * only; where there are several, one that has not `without`; the server's own
 * line where it is inherited or included.
 */
static ngx_uint_t
ngx_http_aml_tls_line(ngx_conf_t *cf, ngx_http_core_srv_conf_t *cscf,
                      const char *directive, const char *without)
{
    FILE *file;
    char text[1024], *p;
    size_t n;
    ngx_int_t depth;
    ngx_uint_t line, found;

    file = fopen((char *) cscf->file_name, "r");
    if (file == NULL) {
        return cscf->line;
    }

    n = ngx_strlen(directive);
    depth = 0;
    found = 0;

    for (line = 1; fgets(text, sizeof(text), file) != NULL; line++) {

        if (line < cscf->line) {
            continue;
        }

        for (p = text; *p == ' ' || *p == '\t'; p++) { /* void */
        }

        if (ngx_strncmp(p, directive, n) == 0 &&
            (p[n] == ' ' || p[n] == '\t') &&
            (without == NULL || ngx_strstr(p, without) == NULL)) {
            found = line;
            break;
        }

        for (/* void */; *p != '\0' && *p != '#'; p++) {
            depth += (*p == '{') - (*p == '}');
        }

        if (depth <= 0 && line > cscf->line) {
            break;
        }
    }

    fclose(file);

    return found ? found : cscf->line;
}


static ngx_uint_t
ngx_http_aml_used(ngx_http_core_srv_conf_t *cscf)
{
    ngx_http_aml_srv_conf_t *ascf;

    ascf = cscf->ctx->srv_conf[ngx_http_aml_module.ctx_index];

    return ascf->used;
}
