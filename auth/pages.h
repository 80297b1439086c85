/*
 * The pages that amld shows: sign-in, signed out, messages, the studio.
 *
 * Pages are put together by amld_html(), whose every "%s" is escaped: there is
 * no way to put text in that is not.  They work without script; only the
 * studio page's buttons need it.
 */

#ifndef AMLD_PAGES_H
#define AMLD_PAGES_H

#include "computes/http/http.h"
#include "registry/records.h"

typedef struct {
    char *text; /* NUL-ended; NULL when there is nothing or no memory */
    size_t n;
    size_t size;
    int failed;
} amld_html_t;

/* Appends; "%s" takes a string and escapes it, "%%" is a percent sign, and
 * there is nothing else. */
void amld_html(amld_html_t *html, const char *format, ...);
void amld_html_free(amld_html_t *html);


/* Where a page is shown; style sheet and forms follow. */
typedef enum {
    AMLD_SITE_STUDIO,
    AMLD_SITE_INSTANCE
} amld_site_t;

/*
 * What is around every page: put together what is between them, and answer
 * with it; `html` is freed.  `script` is a path, or NULL.
 */
void amld_page_begin(amld_html_t *html, amld_site_t site, const char *title,
                     const char *script);
/* The same; without script the browser asks for it again in two seconds. */
void amld_page_begin_again(amld_html_t *html, amld_site_t site,
                           const char *title, const char *script);
/* The same for a page that the browser leaves for `url` by itself. */
void amld_page_begin_leading(amld_html_t *html, amld_site_t site,
                             const char *title, const char *url);
void amld_page_end(const amld_t *d, amld_response_t *response, unsigned status,
                   amld_html_t *html);
/* The studio's bar: where one can go, who one is, and out. */
void amld_page_header(amld_html_t *html, const char *person);

/* What people are to tell whom they ask for help: a reason, with a provider's
 * own word for it unless NULL, and the request's id. */
void amld_page_why(amld_html_t *html, const char *code, const char *detail,
                   const char *request);

/* An entry of a list of facts: a time of amld_label_time(), for people without
 * the seconds; `otherwise` where it is "". */
void amld_page_time(amld_html_t *html, const char *label, const char *time,
                    const char *otherwise);

typedef struct {
    const char *name; /* as it was given */
    const char *id;   /* its ARM id */
    const char *host; /* authority of its origin, port included */
    aml_instance_state_t state;
} amld_page_instance_t;

/* As ARM's clients know the state. */
const char *amld_page_state(aml_instance_state_t state);

/* Each answers with the page; `d` for the hosts that its policy allows. */
void amld_page_sign_in(const amld_t *d, amld_response_t *response,
                       unsigned status, const char *code, const char *to,
                       const char *name, const char *alert);
void amld_page_signed_out(const amld_t *d, amld_response_t *response);
/* `code`, unless NULL: why it is refused, which is shown with the request's id.
 * `link` and `label`, unless NULL: where to go from here. */
void
amld_page_message(const amld_t *d, amld_response_t *response, amld_site_t site,
                  unsigned status, const char *code, const char *title,
                  const char *text, const char *link, const char *label);
void
amld_page_studio(const amld_t *d, amld_response_t *response, const char *person,
                 const amld_page_instance_t *list, size_t n);

#endif /* AMLD_PAGES_H */
