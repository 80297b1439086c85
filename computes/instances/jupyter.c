#include "computes/instances/jupyter.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "computes/time/timestamp.h"

typedef struct {
    char *p;
    size_t n;
} jupyter_answer_t;

static int jupyter_get(const char *socket, const char *path, long *status,
                       jupyter_answer_t *answer);
static size_t jupyter_write(char *p, size_t size, size_t n, void *data);
static json_t *jupyter_list(aml_str_t text);
static void jupyter_later(const json_t *item, int64_t *last);


int
amld_jupyter_ask(const char *socket, amld_jupyter_t *j)
{
    int rc;
    long status;
    jupyter_answer_t answer;

    memset(j, 0, sizeof(*j));

    rc = jupyter_get(socket, "/api/kernels", &status, &answer);
    if (rc == 0) {
        rc = status == 200
                 ? amld_jupyter_kernels((aml_str_t){answer.p, answer.n}, j)
                 : -1;
        free(answer.p);
    }
    if (rc != 0) {
        return -1;
    }

    rc = jupyter_get(socket, "/api/terminals", &status, &answer);
    if (rc == 0) {
        /* A server may have none. */
        rc = status == 404 ? 0
             : status == 200
                 ? amld_jupyter_terminals((aml_str_t){answer.p, answer.n}, j)
                 : -1;
        free(answer.p);
    }

    return rc;
}


int
amld_jupyter_kernels(aml_str_t text, amld_jupyter_t *j)
{
    size_t k;
    json_t *list;
    const char *state;
    const json_t *item;

    list = jupyter_list(text);
    if (list == NULL) {
        return -1;
    }

    j->kernels = (unsigned) json_array_size(list);

    json_array_foreach(list, k, item)
    {
        state = json_string_value(json_object_get(item, "execution_state"));
        j->busy += state != NULL && strcmp(state, "busy") == 0;
        jupyter_later(item, &j->kernel);
    }

    json_decref(list);

    return 0;
}


int
amld_jupyter_terminals(aml_str_t text, amld_jupyter_t *j)
{
    size_t k;
    json_t *list;
    const json_t *item;

    list = jupyter_list(text);
    if (list == NULL) {
        return -1;
    }

    j->terminals = (unsigned) json_array_size(list);

    json_array_foreach(list, k, item)
    {
        jupyter_later(item, &j->terminal);
    }

    json_decref(list);

    return 0;
}


static json_t *
jupyter_list(aml_str_t text)
{
    json_t *list;

    list = json_loadb(text.p, text.n, 0, NULL);
    if (!json_is_array(list)) {
        json_decref(list);
        return NULL;
    }

    return list;
}


static void
jupyter_later(const json_t *item, int64_t *last)
{
    int64_t t;
    const char *text;

    text = json_string_value(json_object_get(item, "last_activity"));
    if (text != NULL && amld_timestamp_read(text, NULL, &t) == 0 && t > *last) {
        *last = t;
    }
}


static int
jupyter_get(const char *socket, const char *path, long *status,
            jupyter_answer_t *answer)
{
    char url[128];
    CURL *curl;
    CURLcode rc;

    memset(answer, 0, sizeof(*answer));

    curl = curl_easy_init();
    if (curl == NULL) {
        return -1;
    }

    strcpy(url, "http://localhost");
    strncat(url, path, sizeof(url) - strlen(url) - 1);

    (void) curl_easy_setopt(curl, CURLOPT_URL, url);
    (void) curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
    (void) curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void) curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void) curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long) AMLD_JUPYTER_TIMEOUT);
    (void) curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, jupyter_write);
    (void) curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);

    rc = curl_easy_perform(curl);
    if (rc == CURLE_OK) {
        (void) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    } else {
        free(answer->p);
        memset(answer, 0, sizeof(*answer));
    }

    curl_easy_cleanup(curl);

    return rc == CURLE_OK ? 0 : -1;
}


static size_t
jupyter_write(char *p, size_t size, size_t n, void *data)
{
    char *more;
    jupyter_answer_t *answer;

    answer = data;
    n *= size;

    if (n > AMLD_JUPYTER_ANSWER - answer->n) {
        return 0;
    }

    more = realloc(answer->p, answer->n + n + 1);
    if (more == NULL) {
        return 0;
    }

    memcpy(more + answer->n, p, n);
    answer->p = more;
    answer->n += n;

    return n;
}
