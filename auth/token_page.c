/*
 * The page of personal access tokens.
 */

#include <stdio.h>
#include <string.h>

#include "auth/pages.h"
#include "auth/token_api.h"

#define PAGE "/auth/tokens"


static const char *
text_of(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text != NULL ? text : "";
}


static void
page_list(amld_html_t *html, const char *label, const json_t *list)
{
    const json_t *v;
    size_t i;

    amld_html(html, "<dt>%s</dt><dd>", label);

    if (json_is_string(list)) {
        amld_html(html, "%s", json_string_value(list));
    } else if (json_array_size(list) == 0) {
        amld_html(html, "none");
    }
    json_array_foreach(list, i, v)
    {
        amld_html(html, i == 0 ? "%s" : ", %s", json_string_value(v));
    }

    amld_html(html, "</dd>\n");
}


static void
page_token(amld_html_t *html, const json_t *token)
{
    amld_html(html,
              "<li data-token=\"%s\">\n"
              "<h2>%s</h2>\n"
              "<form method=\"post\" action=\"" PAGE "\">\n"
              "<input type=\"hidden\" name=\"revoke\" value=\"%s\">\n"
              "<button aria-label=\"Revoke %s\">Revoke</button>\n"
              "</form>\n"
              "<dl>\n",
              text_of(token, "id"), text_of(token, "name"),
              text_of(token, "id"), text_of(token, "name"));
    page_list(html, "Instances", json_object_get(token, "instances"));
    page_list(html, "Actions", json_object_get(token, "actions"));
    amld_page_time(html, "Made", text_of(token, "created"), "");
    amld_page_time(html, "Last used", text_of(token, "lastUsed"), "never");
    amld_page_time(html, "Expires", text_of(token, "expires"), "");
    amld_html(html, "</dl>\n</li>\n");
}


/* ---- the form ---- */

static const char *
field(const amld_token_page_t *page, const char *name, const char *otherwise)
{
    const char *text =
        page->again != NULL ? amld_request_form(page->again, name) : NULL;

    return text != NULL ? text : otherwise;
}


static void
page_box(amld_html_t *html, const amld_token_page_t *page, const char *name,
         const char *label)
{
    amld_html(html,
              "<label class=\"choice\"><input type=\"checkbox\" "
              "name=\"%s\" value=\"1\"",
              name);
    amld_html(html,
              *field(page, name, "") != '\0' ? " checked> %s</label>\n"
                                             : "> %s</label>\n",
              label);
}


static void
page_reach(amld_html_t *html, const amld_token_page_t *page, const char *value,
           const char *label)
{
    amld_html(html,
              "<label class=\"choice\"><input type=\"radio\" name=\"reach\" "
              "value=\"%s\" required",
              value);
    amld_html(html,
              strcmp(field(page, "reach", ""), value) == 0
                  ? " checked> %s</label>\n"
                  : "> %s</label>\n",
              label);
}


static void
page_form(amld_html_t *html, const amld_token_page_t *page)
{
    char name[64], days[16], most[16];
    const json_t *v;
    size_t i;

    (void) snprintf(most, sizeof(most), "%u", page->most);
    (void) snprintf(days, sizeof(days), "%u",
                    page->most < 30 ? page->most : 30);

    amld_html(html,
              "<h2>A new token</h2>\n"
              "<form class=\"card\" method=\"post\" action=\"" PAGE
              "\" id=\"new\">\n"
              "<label>Name, to tell it by\n"
              "<input type=\"text\" name=\"name\" maxlength=\"100\" required "
              "value=\"%s\"></label>\n"
              "<label>Good for so many days, %s at most\n"
              "<input type=\"number\" name=\"days\" min=\"1\" max=\"%s\" "
              "required value=\"%s\"></label>\n"
              "<fieldset><legend>Instances that it opens</legend>\n",
              field(page, "name", ""), most, most, field(page, "days", days));

    page_reach(html, page, "none", "none");
    page_reach(html, page, "all", "all of mine, later ones too");
    if (json_array_size(page->instances) > 0) {
        page_reach(html, page, "some", "these:");
    }
    json_array_foreach(page->instances, i, v)
    {
        (void) snprintf(name, sizeof(name), "instance.%.31s",
                        json_string_value(v));
        page_box(html, page, name, json_string_value(v));
    }

    amld_html(html, "</fieldset>\n"
                    "<fieldset><legend>What it may do with the control "
                    "API, where my roles allow it</legend>\n");
    page_box(html, page, "do.see", "see workspaces and instances");
    page_box(html, page, "do.run", "start, stop and restart instances");
    amld_html(html,
              "<label>Further actions, one a line\n"
              "<textarea name=\"actions\" rows=\"2\" spellcheck=\"false\" "
              "autocapitalize=\"none\">%s</textarea></label>\n"
              "</fieldset>\n"
              "<button class=\"main\">Make the token</button>\n"
              "</form>\n",
              field(page, "actions", ""));
}


void
amld_token_page(const amld_t *d, amld_response_t *response, unsigned status,
                const amld_token_page_t *page)
{
    amld_html_t html = {0};
    const json_t *v;
    size_t i;

    amld_page_begin(&html, AMLD_SITE_STUDIO, "Tokens", NULL);
    amld_page_header(&html, page->person);
    amld_html(&html, "<main>\n"
                     "<h1>Personal access tokens</h1>\n"
                     "<p>For scripts: a token is sent as <code>Authorization: "
                     "Bearer</code>. Whoever has it acts as you, as far as it "
                     "reaches; revoke what you don't need.</p>\n");

    if (page->alert != NULL) {
        amld_html(&html, "<p class=\"alert\" role=\"alert\">%s</p>\n",
                  page->alert);
    }

    if (page->made != NULL) {
        amld_html(&html,
                  "<div class=\"card made\" role=\"status\">\n"
                  "<p>This is the token. Copy it now: it is not shown "
                  "again.</p>\n"
                  "<p><code id=\"token\">%s</code></p>\n"
                  "</div>\n",
                  page->made);
    }

    amld_html(&html, "<ul class=\"instances\">\n");
    json_array_foreach(page->tokens, i, v)
    {
        page_token(&html, v);
    }
    amld_html(&html, "</ul>\n");
    if (i == 0) {
        amld_html(&html, "<p class=\"soft\">You have none.</p>\n");
    }

    page_form(&html, page);
    amld_html(&html, "</main>\n");

    amld_page_end(d, response, status, &html);
}
