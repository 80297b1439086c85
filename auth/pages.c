/*
 * Pages.
 */

#include "auth/pages.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/sign_in.h"
#include "computes/instances/computes.h"
#include "upstreams/application.h"


/* ---- putting a page together ---- */

static void
html_append(amld_html_t *html, const char *text, size_t n)
{
    size_t size;
    char *grown;

    if (html->failed) {
        return;
    }

    if (n >= html->size - html->n) {
        size = html->size == 0 ? 2048 : html->size;
        while (n >= size - html->n) {
            size *= 2;
        }

        grown = realloc(html->text, size);
        if (grown == NULL) {
            html->failed = 1;
            return;
        }
        html->text = grown;
        html->size = size;
    }

    memcpy(html->text + html->n, text, n);
    html->n += n;
    html->text[html->n] = '\0';
}


static void
html_escape(amld_html_t *html, const char *text)
{
    const char *p, *instead;

    for (p = text; *p != '\0'; p++) {
        switch (*p) {
        case '&':
            instead = "&amp;";
            break;
        case '<':
            instead = "&lt;";
            break;
        case '>':
            instead = "&gt;";
            break;
        case '"':
            instead = "&quot;";
            break;
        case '\'':
            instead = "&#39;";
            break;
        default:
            /* HTML has no way to write most control characters */
            instead = ((unsigned char) *p < 0x20 && *p != '\n' && *p != '\t') ||
                              *p == 0x7f
                          ? "\xef\xbf\xbd"
                          : NULL;
        }

        if (instead != NULL) {
            html_append(html, text, (size_t) (p - text));
            html_append(html, instead, strlen(instead));
            text = p + 1;
        }
    }

    html_append(html, text, (size_t) (p - text));
}


void
amld_html(amld_html_t *html, const char *format, ...)
{
    const char *p, *argument;
    va_list args;

    va_start(args, format);

    for (p = strchr(format, '%'); p != NULL; p = strchr(format, '%')) {
        html_append(html, format, (size_t) (p - format));

        if (p[1] == 's') {
            argument = va_arg(args, const char *);
            html_escape(html, argument != NULL ? argument : "");
        } else if (p[1] == '%') {
            html_append(html, "%", 1);
        } else {
            html->failed = 1;
            break;
        }

        format = p + 2;
    }

    va_end(args);

    html_append(html, format, strlen(format));
}


void
amld_html_free(amld_html_t *html)
{
    free(html->text);
    memset(html, 0, sizeof(*html));
}


static void
page_head(amld_html_t *html, amld_site_t site, const char *title)
{
    amld_html(html,
              "<!doctype html>\n"
              "<html lang=\"en\">\n"
              "<head>\n"
              "<meta charset=\"utf-8\">\n"
              "<meta name=\"viewport\" "
              "content=\"width=device-width, initial-scale=1\">\n"
              "<title>%s · AML Gateway</title>\n"
              "<link rel=\"icon\" href=\"data:,\">\n"
              "<link rel=\"stylesheet\" href=\"%s/style.css\">\n",
              title, site == AMLD_SITE_STUDIO ? "/auth" : "/.aml");
}


void
amld_page_begin(amld_html_t *html, amld_site_t site, const char *title,
                const char *script)
{
    page_head(html, site, title);

    if (script != NULL) {
        amld_html(html, "<script src=\"%s\" defer></script>\n", script);
    }

    amld_html(html, "</head>\n<body>\n");
}


void
amld_page_begin_again(amld_html_t *html, amld_site_t site, const char *title,
                      const char *script)
{
    page_head(html, site, title);
    amld_html(html,
              "<script src=\"%s\" defer></script>\n"
              "<noscript><meta http-equiv=\"refresh\" content=\"2\">"
              "</noscript>\n"
              "</head>\n<body>\n",
              script);
}


void
amld_page_begin_leading(amld_html_t *html, amld_site_t site, const char *title,
                        const char *url)
{
    page_head(html, site, title);
    amld_html(html,
              "<meta http-equiv=\"refresh\" content=\"0; url=%s\">\n"
              "</head>\n<body>\n",
              url);
}


/*
 * A form's target may answer with a redirect to an instance's origin or back
 * to the studio's, and browsers hold that against form-action too.
 */
void
amld_page_end(const amld_t *d, amld_response_t *response, unsigned status,
              amld_html_t *html)
{
    const amld_config_t *c = d->config;

    amld_html(html, "</body>\n</html>\n");

    if (html->failed) {
        amld_html_free(html);
        amld_response_error(response, 500, "InternalServerError", NULL,
                            "There is no memory for this page.");
        return;
    }

    amld_response_html(response, status, html->text);
    amld_html_free(html);

    amld_response_header(response, "Content-Security-Policy",
                         "default-src 'none'; style-src 'self'; "
                         "script-src 'self'; connect-src 'self'; "
                         "img-src data:; form-action 'self' %s https://*.%s%s; "
                         "base-uri 'none'; frame-ancestors 'none'",
                         c->studio, c->apps, c->apps_port);
    amld_response_header(response, "X-Frame-Options", "DENY");

    /* not no-referrer: the browser would send "Origin: null" with forms */
    amld_response_header(response, "Referrer-Policy", "same-origin");
    amld_response_header(response, "Cross-Origin-Opener-Policy", "same-origin");
    amld_response_header(response, "Cross-Origin-Resource-Policy",
                         "same-origin");
}


void
amld_page_header(amld_html_t *html, const char *person)
{
    amld_html(html,
              "<header>\n"
              "<a class=\"brand\" href=\"/\">AML Gateway</a>\n"
              "<nav>\n"
              "<a href=\"/auth/sessions\">Sessions</a>\n"
              "<a href=\"/auth/tokens\">Tokens</a>\n"
              "</nav>\n"
              "<form method=\"post\" action=\"/auth/sign-out\">\n"
              "<span class=\"soft\">%s</span>\n"
              "<button>Sign out</button>\n"
              "</form>\n"
              "</header>\n",
              person);
}


void
amld_page_time(amld_html_t *html, const char *label, const char *time,
               const char *otherwise)
{
    char shown[] = "2026-11-23 09:07 UTC";

    if (strlen(time) != sizeof("2026-11-23T09:07:44Z") - 1) {
        amld_html(html, "<dt>%s</dt><dd>%s</dd>\n", label, otherwise);
        return;
    }

    memcpy(shown, time, 10);
    memcpy(shown + 11, time + 11, 5);
    amld_html(html, "<dt>%s</dt><dd><time datetime=\"%s\">%s</time></dd>\n",
              label, time, shown);
}


/* ---- pages ---- */

/* A link for each provider: links, as the policy for forms knows none. */
static size_t
page_providers(const amld_t *d, amld_html_t *html, const char *to)
{
    const amld_issuer_config_t *issuer;
    char encoded[8192];
    size_t i, n = 0;

    if (amld_sign_in_encode(encoded, sizeof(encoded), to) != 0) {
        (void) snprintf(encoded, sizeof(encoded), "/");
    }

    for (i = 0; i < d->config->issuer_count; i++) {
        issuer = &d->config->issuers[i];
        if (!issuer->sign_in) {
            continue;
        }

        amld_html(html, n++ == 0 ? "<div class=\"card ways\">\n" : "");
        amld_html(html,
                  "<a class=\"button main wide\" "
                  "href=\"/auth/oidc/%s?to=%s\">%s</a>\n",
                  issuer->name, encoded, issuer->label);
    }

    amld_html(html, n > 0 ? "</div>\n" : "");

    return n;
}


/* Beside providers it is the lesser way, which takes no keyboard's focus (on a
 * telephone its keys would cover them) unless it was begun. */
static void
page_password(amld_html_t *html, int lesser, const char *to, const char *name,
              const char *alert)
{
    amld_html(html, "<form class=\"card\" method=\"post\" "
                    "action=\"/auth/sign-in\">\n");
    amld_html(html, lesser ? "<h2>With a name and password</h2>\n" : "");

    if (alert != NULL) {
        amld_html(html,
                  "<p class=\"alert\" role=\"alert\" id=\"alert\">%s</p>\n",
                  alert);
    }

    amld_html(html,
              "<input type=\"hidden\" name=\"to\" value=\"%s\">\n"
              "<label>Name\n"
              "<input type=\"text\" name=\"name\" value=\"%s\" "
              "autocomplete=\"username\" "
              "autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"64\" "
              "required",
              to, name);
    amld_html(html, *name == '\0' && !lesser ? " autofocus>" : ">");
    amld_html(html,
              "</label>\n"
              "<label>Password\n"
              "<input type=\"password\" name=\"password\" "
              "autocomplete=\"current-password\" maxlength=\"511\" required");
    amld_html(html, *name == '\0' ? ">" : " autofocus>");
    amld_html(html,
              "</label>\n"
              "<button class=\"%s\">Sign in</button>\n"
              "</form>\n",
              lesser ? "wide" : "main wide");
}


void
amld_page_sign_in(const amld_t *d, amld_response_t *response, unsigned status,
                  const char *code, const char *to, const char *name,
                  const char *alert)
{
    amld_html_t html = {0};
    size_t providers;

    amld_page_begin(&html, AMLD_SITE_STUDIO, "Sign in", NULL);
    amld_html(&html, "<main class=\"narrow\">\n"
                     "<h1>Sign in</h1>\n");

    providers = page_providers(d, &html, to);

    if (d->config->local_sign_in) {
        page_password(&html, providers > 0, to, name, alert);
    } else if (providers == 0) {
        amld_html(&html, "<p class=\"card\">There is no way to sign in: amld's "
                         "configuration has none.</p>\n");
    }

    if (code != NULL) {
        amld_page_why(&html, code, NULL, amld_response_request(response));
    }

    amld_html(&html,
              "<p class=\"soft\">AML Gateway at %s</p>\n"
              "</main>\n",
              d->config->studio_host);

    amld_page_end(d, response, status, &html);
}


void
amld_page_why(amld_html_t *html, const char *code, const char *detail,
              const char *request)
{
    amld_html(html, "<p class=\"soft\">Reason: <code>%s</code>", code);
    if (detail != NULL) {
        amld_html(html, " (<code>%s</code>)", detail);
    }
    amld_html(html, "<br>Request: <code>%s</code></p>\n", request);
}


void
amld_page_message(const amld_t *d, amld_response_t *response, amld_site_t site,
                  unsigned status, const char *code, const char *title,
                  const char *text, const char *link, const char *label)
{
    amld_html_t html = {0};

    amld_page_begin(&html, site, title, NULL);
    amld_html(&html,
              "<main class=\"narrow\">\n"
              "<h1>%s</h1>\n"
              "<div class=\"card\">\n"
              "<p>%s</p>\n",
              title, text);

    if (link != NULL) {
        amld_html(&html, "<p><a class=\"button main\" href=\"%s\">%s</a></p>\n",
                  link, label);
    }

    amld_html(&html, "</div>\n");
    if (code != NULL) {
        amld_page_why(&html, code, NULL, amld_response_request(response));
    }
    amld_html(&html, "</main>\n");

    amld_page_end(d, response, status, &html);
}


void
amld_page_signed_out(const amld_t *d, amld_response_t *response)
{
    amld_page_message(d, response, AMLD_SITE_STUDIO, 200, NULL,
                      "You are signed out",
                      "Your sessions here and on your compute instances have "
                      "ended. What runs on them goes on running.",
                      "/auth/sign-in", "Sign in again");
}


const char *
amld_page_state(aml_instance_state_t state)
{
    switch (state) {
    case AML_INSTANCE_CREATING:
        return "Creating";
    case AML_INSTANCE_STARTING:
        return "Starting";
    case AML_INSTANCE_RUNNING:
        return "Running";
    case AML_INSTANCE_STOPPING:
        return "Stopping";
    case AML_INSTANCE_STOPPED:
        return "Stopped";
    case AML_INSTANCE_RESTARTING:
        return "Restarting";
    case AML_INSTANCE_DELETING:
        return "Deleting";
    case AML_INSTANCE_FAILED:
        return "Unusable";
    case AML_INSTANCE_UNKNOWN:
        break;
    }

    return "Unknown";
}


/* Buttons of applications that are started when they are asked for. */
static void
page_on_demand(const amld_t *d, amld_html_t *html,
               const amld_page_instance_t *i)
{
    const aml_application_t *a;
    char host[512];
    size_t k, n;

    n = strcspn(i->host, ".");

    for (k = 0; aml_applications[k] != NULL; k++) {
        a = aml_applications[k];

        if (!a->on_demand || amld_compute_program(d->config, a) == NULL ||
            (size_t) snprintf(host, sizeof(host), "%.*s-%u%s", (int) n, i->host,
                              a->port, i->host + n) >= sizeof(host)) {
            continue;
        }

        amld_html(html,
                  "<form method=\"post\" action=\"/auth/open\">\n"
                  "<input type=\"hidden\" name=\"host\" value=\"%s\">\n"
                  "<button aria-label=\"%s on %s\">%s</button>\n"
                  "</form>\n",
                  host, a->links[0].display_name, i->name,
                  a->links[0].display_name);
    }
}


static void
page_instance(const amld_t *d, amld_html_t *html, const amld_page_instance_t *i)
{
    const char *state = amld_page_state(i->state);
    int running = i->state == AML_INSTANCE_RUNNING;

    amld_html(html,
              "<li data-id=\"%s\" data-state=\"%s\">\n"
              "<h2>%s</h2>\n"
              "<span class=\"state\" role=\"status\">%s</span>\n"
              "<span class=\"links actions\"",
              i->id, state, i->name, state);
    amld_html(html, running ? ">\n" : " hidden>\n");
    amld_html(html,
              "<a class=\"button main\" href=\"https://%s/lab\" "
              "aria-label=\"JupyterLab on %s\">JupyterLab</a>\n"
              "<a class=\"button\" href=\"https://%s/tree\" "
              "aria-label=\"Jupyter on %s\">Jupyter</a>\n",
              i->host, i->name, i->host, i->name);
    page_on_demand(d, html, i);
    amld_html(html,
              "</span>\n"
              "<span class=\"actions\">\n"
              "<button data-action=\"start\" aria-label=\"Start %s\" hidden>"
              "Start</button>\n"
              "<button data-action=\"stop\" aria-label=\"Stop %s\" hidden>"
              "Stop</button>\n"
              "</span>\n"
              "<p class=\"alert\" role=\"alert\" hidden></p>\n"
              "</li>\n",
              i->name, i->name);
}


void
amld_page_studio(const amld_t *d, amld_response_t *response, const char *person,
                 const amld_page_instance_t *list, size_t n)
{
    amld_html_t html = {0};
    size_t i;

    amld_page_begin(&html, AMLD_SITE_STUDIO, "Compute instances",
                    "/auth/studio.js");
    amld_page_header(&html, person);
    amld_html(&html, "<main>\n<h1>Your compute instances</h1>\n");

    if (n == 0) {
        amld_html(&html, "<p class=\"card\">You have no compute instance "
                         "yet. Create one with the control API or ask your "
                         "administrator.</p>\n");
    } else {
        amld_html(&html, "<ul class=\"instances\">\n");
        for (i = 0; i < n; i++) {
            page_instance(d, &html, &list[i]);
        }
        amld_html(&html, "</ul>\n"
                         "<noscript><p class=\"soft\">Starting and stopping "
                         "from this page needs JavaScript.</p></noscript>\n");
    }

    amld_html(&html, "</main>\n");

    amld_page_end(d, response, 200, &html);
}
