/*
 * Device authorization: where programs ask, and where people answer.
 */

#include "auth/device_api.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "auth/audit.h"
#include "auth/credentials.h"
#include "auth/device.h"
#include "auth/role_definition.h"
#include "auth/site.h"

#define PAGE "/auth/device"
#define ANSWER PAGE "/answer"


/* ---- a program asks ---- */

const char *
amld_device_client(const amld_request_t *request)
{
    const char *client = amld_request_form(request, "client_id");

    return client != NULL && *client != '\0' &&
                   strlen(client) <= AMLD_DEVICE_CLIENT_MAX &&
                   amld_role_printable(client)
               ? client
               : NULL;
}


/* Each costs a commit, and a place among those under way. */
static int
device_may_ask(amld_t *d, const amld_request_t *request,
               amld_response_t *response)
{
    amld_attempt_t attempt;
    unsigned seconds;

    seconds = amld_attempt_begin(d, request, "device", NULL, &attempt);
    if (seconds != 0) {
        amld_site_later(d, request, response, seconds);
        return 0;
    }
    amld_attempt_end(d, &attempt, AMLD_ATTEMPT_WRONG);

    return 1;
}


static void
device_ask(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    char code[AMLD_SECRET_SIZE], user_code[AMLD_USER_CODE_SIZE];
    const char *agent = amld_request_header(request, "User-Agent");
    amld_device_t device = {.client = amld_device_client(request),
                            .address = request->client,
                            .agent = agent != NULL ? agent : "",
                            .created = (int64_t) time(NULL)};
    aml_registry_rc_t rc;

    if (!amld_site_is_studio(d, request)) {
        amld_site_say(d, request, response, AML_REASON_HOST_UNKNOWN);
        return;
    }

    if (device.client == NULL) {
        amld_grant_error(response, "invalid_request", AMLD_DEVICE_CLIENT_WRONG);
        return;
    }

    if (!device_may_ask(d, request, response)) {
        return;
    }

    rc = amld_device_create(d->registry, &device, code, user_code);
    if (rc == AML_REGISTRY_LIMIT) {
        amld_log(AMLD_LOG_WARN, "device: %d codes are under way already",
                 AMLD_DEVICES_MOST);
        amld_site_later(d, request, response, 60);
        return;
    }
    if (rc != AML_REGISTRY_OK) {
        amld_site_failed(d, request, response, "device", rc);
        return;
    }

    amld_response_json(response, 200,
                       json_pack("{s:s, s:s, s:o, s:o, s:i, s:i}",
                                 "device_code", code, "user_code", user_code,
                                 "verification_uri",
                                 json_sprintf("%s" PAGE, d->config->studio),
                                 "verification_uri_complete",
                                 json_sprintf("%s" PAGE "?user_code=%s",
                                              d->config->studio, user_code),
                                 "expires_in", AMLD_DEVICE_LIFETIME, "interval",
                                 AMLD_DEVICE_INTERVAL));
    OPENSSL_cleanse(code, sizeof(code));
}


/* ---- a person answers ---- */

static void
page_enter(amld_t *d, const amld_request_t *request, amld_response_t *response,
           unsigned status, const char *alert)
{
    amld_html_t html = {0};

    amld_page_begin(&html, AMLD_SITE_STUDIO, "Sign in a device", NULL);
    amld_page_header(&html, request->name);
    amld_html(&html,
              "<main class=\"narrow\">\n"
              "<h1>Sign in a device</h1>\n"
              "<form class=\"card\" method=\"get\" action=\"" PAGE "\">\n");
    if (alert != NULL) {
        amld_html(&html, "<p class=\"alert\" role=\"alert\">%s</p>\n", alert);
    }
    amld_html(&html, "<label>The code that your device shows\n"
                     "<input type=\"text\" name=\"user_code\" maxlength=\"20\" "
                     "autocapitalize=\"characters\" autocomplete=\"off\" "
                     "spellcheck=\"false\" required autofocus></label>\n"
                     "<button class=\"main wide\">Go on</button>\n"
                     "</form>\n"
                     "</main>\n");

    amld_page_end(d, response, status, &html);
}


/* Who asks, so that nobody approves what somebody else has begun. */
static void
page_confirm(amld_t *d, const amld_request_t *request,
             amld_response_t *response, const char *user_code,
             const amld_device_t *device)
{
    amld_html_t html = {0};
    char minutes[16];
    int64_t ago = (int64_t) time(NULL) - device->created;

    (void) snprintf(minutes, sizeof(minutes), "%d", (int) (ago / 60));

    amld_page_begin(&html, AMLD_SITE_STUDIO, "Sign in a device", NULL);
    amld_page_header(&html, request->name);
    amld_html(&html,
              "<main class=\"narrow\">\n"
              "<h1>Sign in a device?</h1>\n"
              "<form class=\"card\" method=\"post\" action=\"" ANSWER "\">\n"
              "<p>A program that calls itself <strong>%s</strong> asks to act "
              "as <strong>%s</strong>.</p>\n"
              "<dl>\n"
              "<dt>Code</dt><dd><code>%s</code></dd>\n"
              "<dt>From</dt><dd>%s</dd>\n"
              "<dt>Asked</dt><dd>%s minutes ago</dd>\n"
              "</dl>\n",
              device->client, request->name, user_code, device->address,
              minutes);
    if (!amld_backoff_same_address(device->address, request->client)) {
        amld_html(&html,
                  "<p class=\"alert\" role=\"alert\">It is at another address "
                  "than you are (%s).</p>\n",
                  request->client);
    }
    amld_html(&html,
              "<p>Approve only if you have just started it yourself, and it "
              "shows this code. Nobody else has a reason to send you here.</p>"
              "\n"
              "<input type=\"hidden\" name=\"user_code\" value=\"%s\">\n"
              "<button class=\"main\" name=\"answer\" value=\"approve\">"
              "Approve</button>\n"
              "<button name=\"answer\" value=\"deny\">Deny</button>\n"
              "</form>\n"
              "</main>\n",
              user_code);

    amld_page_end(d, response, 200, &html);
}


/* Guessing codes is slowed down, for each person and each address. */
static int
code_may_try(amld_t *d, const amld_request_t *request,
             amld_response_t *response, char who[AML_UUID_TEXT + 1],
             amld_attempt_t *attempt)
{
    unsigned seconds;

    aml_uuid_format(&request->principal, who);
    seconds = amld_attempt_begin(d, request, "code", who, attempt);
    if (seconds != 0) {
        amld_site_later(d, request, response, seconds);
        return 0;
    }

    return 1;
}


/* A right one forgives nothing: everybody can have one of their own. */
static void
code_tried(amld_t *d, amld_attempt_t *attempt, aml_registry_rc_t rc)
{
    amld_attempt_end(d, attempt,
                     rc == AML_REGISTRY_NOTFOUND ? AMLD_ATTEMPT_WRONG
                                                 : AMLD_ATTEMPT_NONE);
}


static void
code_wrong(amld_t *d, const amld_request_t *request, amld_response_t *response,
           aml_registry_rc_t rc)
{
    if (rc == AML_REGISTRY_NOTFOUND) {
        page_enter(d, request, response, 404,
                   "That code is not known, or it is over. Look at your device "
                   "again.");
        amld_response_refuses(response, "wrong_code");
    } else {
        amld_site_failed(d, request, response, "device", rc);
    }
}


static void
device_page(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    const char *typed = amld_request_query(request, "user_code");
    char to[64] = PAGE, user_code[AMLD_USER_CODE_SIZE], who[AML_UUID_TEXT + 1];
    int good = amld_user_code(typed, user_code) == 0;
    aml_registry_txn_t *txn;
    amld_attempt_t attempt;
    amld_device_t device;
    aml_registry_rc_t rc;
    json_t *json = NULL;

    if (good) {
        (void) snprintf(to, sizeof(to), PAGE "?user_code=%s", user_code);
    }
    if (!amld_site_person(d, request, response, 1, to)) {
        return;
    }

    if (typed == NULL) {
        page_enter(d, request, response, 200, NULL);
        return;
    }
    if (!code_may_try(d, request, response, who, &attempt)) {
        return;
    }

    rc = good ? aml_registry_read(d->registry, &txn) : AML_REGISTRY_NOTFOUND;
    if (rc == AML_REGISTRY_OK) {
        rc = amld_device_find(txn, user_code, (int64_t) time(NULL), &device,
                              &json);
        aml_registry_end(txn);
    }
    code_tried(d, &attempt, rc);

    if (rc == AML_REGISTRY_OK) {
        page_confirm(d, request, response, user_code, &device);
    } else {
        code_wrong(d, request, response, rc);
    }
    json_decref(json);
}


static void
device_answer(amld_t *d, const amld_request_t *request,
              amld_response_t *response)
{
    const char *answer = amld_request_form(request, "answer");
    char user_code[AMLD_USER_CODE_SIZE], who[AML_UUID_TEXT + 1];
    aml_registry_rc_t rc = AML_REGISTRY_NOTFOUND;
    amld_attempt_t attempt;
    int approved;

    if (!amld_site_person(d, request, response, 1, PAGE) ||
        !code_may_try(d, request, response, who, &attempt)) {
        return;
    }

    approved = answer != NULL && strcmp(answer, "approve") == 0;

    if (amld_user_code(amld_request_form(request, "user_code"), user_code) ==
        0) {
        rc = amld_device_answer(d->registry, user_code, &request->sign_in,
                                approved, (int64_t) time(NULL));
    }
    code_tried(d, &attempt, rc);

    if (rc != AML_REGISTRY_OK) {
        code_wrong(d, request, response, rc);
        return;
    }

    amld_log(AMLD_LOG_INFO, "device: %s %s one from %s", request->name,
             approved ? "approved" : "denied", request->client);
    amld_audit_request(
        d, request,
        &(amld_audit_event_t){.event = "device-answer",
                              .target = approved ? "approved" : "denied"});
    amld_page_message(
        d, response, AMLD_SITE_STUDIO, 200, NULL,
        approved ? "Your device is signed in" : "Denied",
        approved ? "Go back to it; this page can be closed. You see it, and "
                   "sign it out, where you see your sessions."
                 : "The device gets nothing. If you did not start it, somebody "
                   "else has tried to sign in as you.",
        "/auth/sessions", "Sessions");
}


const amld_http_route_t amld_device_routes[] = {
    {"POST", PAGE, device_ask},
    {"GET", PAGE, device_page},
    {"POST", ANSWER, device_answer},
    {NULL, NULL, NULL},
};
