/*
 * From a committed route to the first request that uses it.
 *
 *   first_use --registry DIR --connect 127.0.0.1:PORT --apps DOMAIN --ca FILE
 *             --space SPACE --subject SUB --token FILE --address unix:PATH
 *             [--samples N]
 *
 * For each sample, over one keepalive connection: asks for an instance that
 * is not there (the gateway must say 404, so that it has seen that there is
 * none), commits its route, and asks again until the answer is 200.  Measured
 * is the time from the return of the commit to that answer.  "retries" counts
 * requests behind the commit that were not answered 200.
 *
 * Writes one line of JSON; all times in microseconds.
 */

#include <getopt.h>

#include "auth/principal.h"
#include "bench/client.h"
#include "registry/records.h"
#include "registry/registry.h"

#define FIRST_RETRIES 1000 /* then the route counts as never seen */

typedef struct {
    SSL *ssl;
    aml_registry_t *registry;
    aml_principal_id_t me;
    const char *apps;
    const char *address;
    char token[16384];
    unsigned long retries;
} first_t;


/* One request to the instance; the answer's status. */
static int
first_ask(first_t *f, const char *name)
{
    int n, status;
    char buf[65536], *end, *p;
    size_t have, got, length;

    n = snprintf(buf, sizeof(buf),
                 "GET /api/status HTTP/1.1\r\nHost: %s.%s\r\n"
                 "Authorization: Bearer %s\r\n\r\n",
                 name, f->apps, f->token);
    errno = 0;
    if (SSL_write(f->ssl, buf, n) != n) {
        client_die("write");
    }

    end = NULL;
    have = length = 0;
    do {
        if (have == sizeof(buf) - 1 ||
            SSL_read_ex(f->ssl, buf + have, sizeof(buf) - 1 - have, &got) !=
                1) {
            client_die("read");
        }
        have += got;
        if (end == NULL) {
            buf[have] = '\0';
            end = strstr(buf, "\r\n\r\n");
            if (end != NULL) {
                end += 4;
                p = strcasestr(buf, "\r\nContent-Length:");
                if (p == NULL || p > end) {
                    errno = EPROTO;
                    client_die("an answer without a length");
                }
                length =
                    strtoul(p + sizeof("\r\nContent-Length:") - 1, NULL, 10);
            }
        }
    } while (end == NULL || have < (size_t) (end - buf) + length);

    if (sscanf(buf, "HTTP/1.1 %d ", &status) != 1) {
        errno = EPROTO;
        client_die("status line");
    }

    return status;
}


static void
first_put(aml_registry_txn_t *txn, const aml_route_t *route)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    uint8_t buf[1024];
    size_t klen, vlen;

    klen = aml_key_route(key, route->name, route->port);
    vlen = aml_route_encode(route, buf, sizeof(buf));
    if (klen == 0 || vlen == 0 ||
        aml_registry_put(txn, key, klen, buf, vlen) != AML_REGISTRY_OK) {
        client_die("put");
    }
}


static void
first_commit(first_t *f, const char *name, uint64_t generation)
{
    aml_route_t r = {0};
    aml_registry_txn_t *txn;

    if (aml_registry_write(f->registry, &txn) != AML_REGISTRY_OK) {
        client_die("write transaction");
    }

    r.state = AML_INSTANCE_RUNNING;
    r.generation = generation;
    r.creator = f->me;
    r.name = aml_str_of(name);
    r.compute = aml_str("/subscriptions/s/resourceGroups/g/providers/"
                        "Microsoft.MachineLearningServices/workspaces/w/"
                        "computes/first-use");
    first_put(txn, &r);

    r.port = 8888;
    r.address = aml_str_of(f->address);
    r.compute = aml_str("");
    first_put(txn, &r);

    if (aml_registry_commit(txn) != AML_REGISTRY_OK) {
        client_die("commit");
    }
}


static void
first_sample(first_t *f, unsigned long number, double *use, double *commit)
{
    int status;
    char name[32];
    double start, committed;
    unsigned long tries;

    snprintf(name, sizeof(name), "f%08lxu", number);

    status = first_ask(f, name);
    if (status != 404) {
        fprintf(stderr, "first_use: %d instead of 404 before the commit\n",
                status);
        exit(1);
    }

    start = (client_seconds(CLOCK_MONOTONIC) * 1e6);
    first_commit(f, name, number + 2);
    committed = (client_seconds(CLOCK_MONOTONIC) * 1e6);

    for (tries = 0; (status = first_ask(f, name)) != 200; tries++) {
        if (tries == FIRST_RETRIES) {
            fprintf(stderr, "first_use: still %d after the commit\n", status);
            exit(1);
        }
    }
    *use = (client_seconds(CLOCK_MONOTONIC) * 1e6) - committed;
    *commit = committed - start;
    f->retries += tries;
}


static int
first_compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}


static void
first_print(const char *name, double *list, unsigned long n)
{
    qsort(list, n, sizeof(list[0]), first_compare);
    printf("\"%s\":{\"min\":%.1f,\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f}", name,
           list[0], list[n / 2], list[n * 99 / 100], list[n - 1]);
}


static void
first_read_token(first_t *f, const char *file)
{
    FILE *in = fopen(file, "r");

    if (in == NULL || fgets(f->token, sizeof(f->token), in) == NULL) {
        client_die(file);
    }
    fclose(in);
    f->token[strcspn(f->token, "\r\n")] = '\0';
}


int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"registry", required_argument, NULL, 'r'},
        {"connect", required_argument, NULL, 'c'},
        {"apps", required_argument, NULL, 'd'},
        {"ca", required_argument, NULL, 'A'},
        {"space", required_argument, NULL, 'S'},
        {"subject", required_argument, NULL, 's'},
        {"token", required_argument, NULL, 't'},
        {"address", required_argument, NULL, 'u'},
        {"samples", required_argument, NULL, 'n'},
        {NULL, 0, NULL, 0}};

    int o;
    double *use, *commit;
    char sni[256];
    first_t f = {0};
    struct sockaddr_in addr;
    const char *dir = NULL, *to = NULL, *ca = NULL, *space = NULL, *sub = NULL;
    const char *token = NULL;
    unsigned long i, base, samples = 1500;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 'r':
            dir = optarg;
            break;
        case 'c':
            to = optarg;
            break;
        case 'd':
            f.apps = optarg;
            break;
        case 'A':
            ca = optarg;
            break;
        case 'S':
            space = optarg;
            break;
        case 's':
            sub = optarg;
            break;
        case 't':
            token = optarg;
            break;
        case 'u':
            f.address = optarg;
            break;
        case 'n':
            samples = strtoul(optarg, NULL, 10);
            break;
        default:
            return 2;
        }
    }
    if (dir == NULL || to == NULL || f.apps == NULL || ca == NULL ||
        space == NULL || sub == NULL || token == NULL || f.address == NULL ||
        samples == 0) {
        fputs("first_use: an option is missing\n", stderr);
        return 2;
    }

    first_read_token(&f, token);
    use = calloc(samples, sizeof(*use));
    commit = calloc(samples, sizeof(*commit));
    if (use == NULL || commit == NULL ||
        aml_principal_derive(aml_str_of(space), aml_str_of(sub), &f.me) != 0 ||
        aml_registry_open_writer(dir, (size_t) 8 << 30, (gid_t) -1,
                                 &f.registry) != AML_REGISTRY_OK) {
        client_die("start");
    }
    addr = client_address(to);
    snprintf(sni, sizeof(sni), "any.%s", f.apps);
    f.ssl = client_connect(client_context(ca), &addr, sni, 10);

    /* names that no earlier run used */
    base = (unsigned long) time(NULL) << 12 & 0xffffffff;
    for (i = 0; i < samples; i++) {
        first_sample(&f, base + i, &use[i], &commit[i]);
    }

    printf("{\"samples\":%lu,\"retries\":%lu,", samples, f.retries);
    first_print("use_us", use, samples);
    putchar(',');
    first_print("commit_us", commit, samples);
    puts("}");

    free(use);
    free(commit);
    aml_registry_close(f.registry);

    return 0;
}
