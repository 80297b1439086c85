/*
 * What answers of a token endpoint mean: for the one who was asked for, and for
 * all others.
 */

#include "auth/oidc_provider.h"
#include "t/unit/fetch_fixture.h"

static const char *answer_head, *answer_body;


static void
answer(tls_conn_t *c)
{
    tls_reply(c, answer_head, answer_body);
}


static int
begin(void **state)
{
    return here_begin(state, answer);
}


/* Of a refresh, or of a code. */
static amld_oidc_fault_t
fault_of(const char *kind, int refresh, const char *head, const char *body)
{
    char url[64];
    amld_issuer_config_t issuer = {.name = "corp",
                                   .kind = amld_issuer_kind(kind),
                                   .client_id = "aml",
                                   .ca = here.ca_file};
    amld_discovery_t metadata = {.token_endpoint = url};
    amld_oidc_client_t client = {.issuer = &issuer, .metadata = &metadata};
    amld_oidc_tokens_t tokens;
    amld_oidc_fault_t fault;
    int rc;

    snprintf(url, sizeof(url), "https://localhost:%u/token", here.server->port);
    answer_head = head;
    answer_body = body;

    rc = refresh
             ? amld_oidc_refresh(&client, "r", &tokens, &fault)
             : amld_oidc_code(&client, "c", "https://a/", "v", &tokens, &fault);
    assert_int_equal(rc, -1);
    amld_oidc_tokens_clear(&tokens);

    return fault;
}


#define JSON "\r\nContent-Type: application/json"
#define ERROR(code) "{\"error\":\"" code "\"}"

enum {
    GRANT = 1,
    ANEW = 2,
    ONE = 4,
    LOST = 8
};


static int
marks(const amld_oidc_fault_t *f)
{
    return (f->invalid_grant ? GRANT : 0) | (f->anew ? ANEW : 0) |
           (f->one ? ONE : 0) | (f->lost ? LOST : 0);
}


static void
test_refresh(void **state)
{
    static const struct {
        const char *kind, *head, *body;
        int marks;
    } rows[] = {
        {"oidc", "400 X" JSON, ERROR("invalid_grant"), GRANT | ONE},
        {"oidc", "400 X" JSON, ERROR("invalid_request"), ONE},
        {"oidc", "400 X" JSON, ERROR("access_denied"), ONE},
        {"oidc", "403 X" JSON, ERROR("made_up"), ONE},
        {"oidc", "400 X" JSON, ERROR("interaction_required"), ANEW | ONE},
        {"entra", "400 X" JSON, ERROR("consent_required"), ANEW | ONE},
        {"oidc", "400 X" JSON, ERROR("login_required"), ANEW | ONE},
        {"oidc", "404 X" JSON, "{}", ONE},
        {"oidc", "302 X\r\nLocation: /", "", ONE},

        /* whoever it is asked for */
        {"oidc", "401 X" JSON, ERROR("invalid_client"), 0},
        {"oidc", "400 X" JSON, ERROR("unauthorized_client"), 0},
        {"oidc", "400 X" JSON, ERROR("temporarily_unavailable"), 0},
        {"oidc", "429 X" JSON, ERROR("invalid_grant"), 0},
        {"oidc", "503 X" JSON, ERROR("invalid_grant"), 0},

        /* maybe it was done all the same */
        {"oidc", "500 X" JSON, ERROR("invalid_request"), ONE | LOST},
        {"oidc", "502 X\r\nContent-Type: text/html", "<html>", ONE | LOST},
        {"dex", "502 X\r\nContent-Type: text/html", "<html>", ONE | LOST},
        {"oidc", "200 X\r\nContent-Type: text/html", "<html>", ONE | LOST},
        {"oidc", "200 X" JSON, "[]", ONE | LOST},
        {"oidc", "200 X" JSON, "{}", ONE | LOST},

        /* kinds with manners of their own */
        {"dex", "400 X" JSON, ERROR("invalid_request"), GRANT | ONE},
        {"dex", "401 X" JSON, ERROR("invalid_request"), ONE},
        {"dex", "500 X" JSON, ERROR("invalid_request"), ONE},
        {"glewlwyd", "400 X", "", GRANT | ONE},
        {"dex", "400 X", "", ONE},
    };
    amld_oidc_fault_t f;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        f = fault_of(rows[i].kind, 1, rows[i].head, rows[i].body);
        if (marks(&f) != rows[i].marks) {
            print_message("%s: %s: %s\n", rows[i].kind, rows[i].head,
                          rows[i].body);
        }
        assert_int_equal(marks(&f), rows[i].marks);
    }
}


/* What a refresh token's errors mean is not what a code's do. */
static void
test_code(void **state)
{
    amld_oidc_fault_t f;

    (void) state;

    f = fault_of("dex", 0, "400 X" JSON, ERROR("invalid_request"));
    assert_false(f.invalid_grant);
    assert_int_equal(f.reason, AML_REASON_PROVIDER_REFUSED);
    f = fault_of("dex", 0, "400 X" JSON, ERROR("invalid_grant"));
    assert_true(f.invalid_grant);
    assert_int_equal(f.reason, AML_REASON_SIGN_IN_STALE);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refresh),
        cmocka_unit_test(test_code),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("oidc_provider", tests, begin,
                                       here_finish);
}
