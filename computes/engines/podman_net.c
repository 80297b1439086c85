/*
 * Networks of the engine podman: one for each subnet that instances name, and
 * a default one.  What podman calls a bridge network is made here when its
 * first instance starts, and removed after its last.
 *
 * What is known of a network is in <state>/podman/<network>: the name of its
 * bridge.  Rules are one table of our own, written as a whole whenever that
 * changes, or the table is gone.
 */

#include "computes/engines/podman.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "computes/engines/podman_run.h"
#include "computes/files/files.h"

#define NET_BRIDGE 16   /* of an interface's name */
#define NET_SUBNET 2048 /* bytes of an id */
#define NET_DEFAULT "default"

typedef struct {
    char name[AMLD_PODMAN_NETWORKS][NET_BRIDGE];
    size_t count;
} net_bridges_t;

static int net_directory(const amld_podman_spec_t *s, char *path, size_t size);
static int net_lock(const amld_podman_spec_t *s, int how);
static int net_known(const amld_podman_spec_t *s, const char *network,
                     char bridge[NET_BRIDGE]);
static int net_remember(const amld_podman_spec_t *s, const char *network,
                        const char *bridge, char *err, size_t size);
static int net_ready(const amld_podman_spec_t *s, const char *network);
static int net_make(const amld_podman_spec_t *s, const char *network, char *err,
                    size_t size);
static int net_room(const amld_podman_spec_t *s, const char *network, char *err,
                    size_t size);
static int net_bridge_of(const amld_podman_spec_t *s, const char *network,
                         char bridge[NET_BRIDGE], char *err, size_t size);
static int net_apply(const amld_podman_spec_t *s, char *err, size_t size);
static int net_begin(const amld_podman_spec_t *s, net_bridges_t **b,
                     char **text, char *err, size_t size);
static int net_gather(const amld_podman_spec_t *s, net_bridges_t *b, char *err,
                      size_t size);
static int net_in_force(const amld_podman_spec_t *s, char *err, size_t size);
static int net_is_there(const char *bridge);
static int net_isolate(const char *path);
static int net_is_bridge(const char *name);


void
amld_podman_network_name(const amld_podman_spec_t *s, char *name, size_t size)
{
    size_t i;
    char part[13], id[NET_SUBNET];
    unsigned char hash[SHA256_DIGEST_LENGTH];

    if (*s->subnet == '\0') {
        snprintf(name, size, "aml-%s-" NET_DEFAULT, s->key);
        return;
    }

    /* Ids of ARM are the same in any case. */
    snprintf(id, sizeof(id), "%s", s->subnet);
    for (i = 0; id[i] != '\0'; i++) {
        id[i] = (char) tolower((unsigned char) id[i]);
    }

    SHA256((const unsigned char *) id, strlen(id), hash);
    for (i = 0; i < 6; i++) {
        snprintf(part + 2 * i, 3, "%02x", hash[i]);
    }
    snprintf(name, size, "aml-%s-%s", s->key, part);
}


int
amld_podman_network(const amld_podman_spec_t *s, int *lock, char *err,
                    size_t size)
{
    int i, fd;
    char network[64];

    *lock = -1;
    amld_podman_network_name(s, network, sizeof(network));

    /* Whoever removes one has the lock for themselves: so what is seen here
     * stays, as long as it is shared. */
    for (i = 0; i < 5; i++) {
        fd = net_lock(s, LOCK_SH);
        if (fd == -1) {
            snprintf(err, size, "%s/podman: %s", s->state, strerror(errno));
            return -1;
        }
        if (net_ready(s, network)) {
            *lock = fd;
            return 0;
        }
        close(fd);

        fd = net_lock(s, LOCK_EX);
        if (fd == -1) {
            snprintf(err, size, "%s/podman: %s", s->state, strerror(errno));
            return -1;
        }
        if (net_make(s, network, err, size) != 0) {
            close(fd);
            return -1;
        }
        close(fd);
    }

    snprintf(err, size, "network %s does not stay", network);

    return -1;
}


/* Ports of a bridge that are isolated talk to the bridge only: whatever the
 * protocol, and whatever address one gives oneself.  A new one is closed before
 * anything but `sleep` runs behind it. */
int
amld_podman_network_apart(const amld_podman_spec_t *s, size_t *closed,
                          char *err, size_t size)
{
    char ports[PATH_MAX], path[PATH_MAX], network[64], bridge[NET_BRIDGE];
    DIR *dir;
    int one, rc;
    struct dirent *entry;

    *closed = 0;
    if (*s->subnet != '\0') {
        return 0;
    }

    amld_podman_network_name(s, network, sizeof(network));
    if (net_known(s, network, bridge) != 0) {
        snprintf(err, size, "the bridge of network %s is not known", network);
        return -1;
    }

    snprintf(ports, sizeof(ports), "/sys/class/net/%s/brif", bridge);
    dir = opendir(ports);
    if (dir == NULL) {
        snprintf(err, size, "%s: %s", ports, strerror(errno));
        return -1;
    }

    rc = 0;
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof(path), "/sys/class/net/%s/brif/%s/isolated",
                 bridge, entry->d_name);
        one = net_isolate(path);
        if (one == -1) {
            snprintf(err, size,
                     "instances of network %s can't be kept apart: %s: %s",
                     network, path, strerror(errno));
            rc = -1;
        } else {
            *closed += (size_t) one;
        }
    }

    closedir(dir);

    return rc;
}


int
amld_podman_network_exists(const amld_podman_spec_t *s)
{
    char network[64], bridge[NET_BRIDGE];

    amld_podman_network_name(s, network, sizeof(network));

    return net_known(s, network, bridge) == 0 && net_is_there(bridge);
}


int
amld_podman_network_busy(const amld_podman_spec_t *s)
{
    int fd;

    fd = net_lock(s, LOCK_EX | LOCK_NB);
    if (fd == -1) {
        return 1;
    }
    close(fd);

    return 0;
}


/* Looked at without the lock: whoever has it makes or removes networks, and
 * what is wrong then is not wrong. */
int
amld_podman_network_tend(const amld_podman_spec_t *s, int anew, int *mended,
                         char *err, size_t size)
{
    int fd, rc;

    *mended = 0;

    rc = net_in_force(s, err, size);
    if (rc == -1 || (rc == 1 && !anew)) {
        return rc == 1 ? 0 : -1;
    }

    fd = net_lock(s, LOCK_EX | LOCK_NB);
    if (fd == -1) {
        return 1;
    }

    rc = net_in_force(s, err, size);
    if (rc == 0 || (rc == 1 && anew)) {
        *mended = rc == 0;
        rc = net_apply(s, err, size);
    } else {
        rc = rc == 1 ? 0 : -1;
    }

    close(fd);

    return rc;
}


void
amld_podman_network_doubt(const amld_podman_spec_t *s)
{
    char path[PATH_MAX], network[64];

    amld_podman_network_name(s, network, sizeof(network));
    if ((size_t) snprintf(path, sizeof(path), "%s/podman/%s", s->state,
                          network) < sizeof(path)) {
        unlink(path);
    }
}


void
amld_podman_network_drop(const amld_podman_spec_t *s)
{
    int fd;
    char err[512], network[64], bridge[NET_BRIDGE];
    amld_podman_args_t a;

    amld_podman_network_name(s, network, sizeof(network));

    /* In use as it seems, by a start that is under way; the last one that
     * leaves looks again. */
    fd = net_lock(s, LOCK_EX | LOCK_NB);
    if (fd == -1) {
        return;
    }

    if (net_known(s, network, bridge) != 0) {
        close(fd);
        return;
    }

    amld_podman_args(&a, s->podman);
    amld_podman_arg(&a, "network");
    amld_podman_arg(&a, "rm");
    amld_podman_arg(&a, "%s", network);

    /* It refuses as long as a container, running or not, is in there. */
    if (amld_podman_run(&a, NULL, s->timeout, NULL, 0, err, sizeof(err)) == 0) {
        printf("network %s is removed\n", network);
        amld_podman_network_doubt(s);
        if (net_apply(s, err, sizeof(err)) != 0) {
            fprintf(stderr, "%s\n", err);
        }
    }

    close(fd);
}


int
amld_podman_rules(const amld_podman_spec_t *s, const char *const *bridges,
                  size_t count, char *text, size_t size)
{
    FILE *f;
    size_t i;
    json_t *value;
    char *made = NULL;
    size_t length;
    int rc;

    f = open_memstream(&made, &length);
    if (f == NULL) {
        return -1;
    }

    /* Declared, so that it can be deleted whether it was there or not. */
    fprintf(f, "table inet aml_%s {}\ndelete table inet aml_%s\n", s->key,
            s->key);

    if (count > 0) {
        fprintf(f,
                "table inet aml_%s {\n  set bridges {\n    type ifname\n"
                "    elements = { ",
                s->key);
        for (i = 0; i < count; i++) {
            fprintf(f, "%s\"%s\"", i > 0 ? ", " : "", bridges[i]);
        }
        fprintf(f, " }\n  }\n");

        /* From an instance to the machine, at whichever of its addresses:
         * names, and the ports that are configured. */
        fprintf(f, "  chain input {\n"
                   "    type filter hook input priority -10; policy accept;\n"
                   "    iifname != @bridges accept\n"
                   "    ct state { established, related } accept\n"
                   "    udp dport 53 fib daddr . iif type local accept\n"
                   "    tcp dport 53 fib daddr . iif type local accept\n");
        json_array_foreach((json_t *) s->host_ports, i, value)
        {
            fprintf(f, "    tcp dport %d accept\n",
                    (int) json_integer_value(value));
        }
        fprintf(f, "    reject with icmpx type admin-prohibited\n  }\n");

        /* Through the machine: not to another of its networks, not to what a
         * cloud tells its machines, and from nowhere else in. */
        fprintf(f, "  chain forward {\n"
                   "    type filter hook forward priority -10; policy accept;\n"
                   "    iifname @bridges ip daddr 169.254.0.0/16 reject with "
                   "icmpx type admin-prohibited\n");
        for (i = 0; i < count; i++) {
            fprintf(f,
                    "    iifname \"%s\" oifname @bridges oifname != \"%s\" "
                    "reject with icmpx type admin-prohibited\n",
                    bridges[i], bridges[i]);
        }
        fprintf(f, "    iifname != @bridges oifname @bridges ct state "
                   "{ new, invalid } drop\n  }\n");

        /* From the machine's own accounts: root's and the gateway's only. */
        fprintf(f, "  chain output {\n"
                   "    type filter hook output priority -10; policy accept;\n"
                   "    oifname @bridges ct state new meta skuid != { 0");
        json_array_foreach((json_t *) s->gateway, i, value)
        {
            if (json_integer_value(value) != 0) {
                fprintf(f, ", %lld", (long long) json_integer_value(value));
            }
        }
        fprintf(f, " } reject with icmpx type admin-prohibited\n  }\n}\n");
    }

    rc = fclose(f) == 0 && made != NULL && length < size ? 0 : -1;
    if (rc == 0) {
        memcpy(text, made, length + 1);
    }
    free(made);

    return rc;
}


static int
net_directory(const amld_podman_spec_t *s, char *path, size_t size)
{
    if ((size_t) snprintf(path, size, "%s/podman", s->state) >= size) {
        errno = ENAMETOOLONG;
        return -1;
    }

    return amld_files_mkdir(path, 0700);
}


static int
net_lock(const amld_podman_spec_t *s, int how)
{
    int fd, rc;
    char path[PATH_MAX], file[PATH_MAX];

    if (net_directory(s, path, sizeof(path)) != 0) {
        return -1;
    }
    if ((size_t) snprintf(file, sizeof(file), "%s/lock", path) >=
        sizeof(file)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd == -1) {
        return -1;
    }

    do {
        rc = flock(fd, how);
    } while (rc == -1 && errno == EINTR);

    if (rc == -1) {
        close(fd);
        return -1;
    }

    return fd;
}


static int
net_known(const amld_podman_spec_t *s, const char *network,
          char bridge[NET_BRIDGE])
{
    char path[PATH_MAX];
    FILE *f;

    if ((size_t) snprintf(path, sizeof(path), "%s/podman/%s", s->state,
                          network) >= sizeof(path)) {
        return -1;
    }

    f = fopen(path, "re");
    if (f == NULL) {
        return -1;
    }
    if (fgets(bridge, NET_BRIDGE, f) == NULL) {
        bridge[0] = '\0';
    }
    fclose(f);
    bridge[strcspn(bridge, "\n")] = '\0';

    return net_is_bridge(bridge) ? 0 : -1;
}


static int
net_remember(const amld_podman_spec_t *s, const char *network,
             const char *bridge, char *err, size_t size)
{
    char path[PATH_MAX], next[PATH_MAX];
    FILE *f;
    int rc;

    if ((size_t) snprintf(path, sizeof(path), "%s/podman/%s", s->state,
                          network) >= sizeof(path) ||
        (size_t) snprintf(next, sizeof(next), "%s.new", path) >= sizeof(next)) {
        snprintf(err, size, "%s: too long", s->state);
        return -1;
    }

    f = fopen(next, "we");
    rc = f != NULL ? fprintf(f, "%s\n", bridge) : -1;
    if (f != NULL && fclose(f) != 0) {
        rc = -1;
    }
    if (rc < 0 || rename(next, path) != 0) {
        snprintf(err, size, "%s: %s", path, strerror(errno));
        return -1;
    }

    return 0;
}


/* Its name is known, and the rules that name its bridge are in force. */
static int
net_ready(const amld_podman_spec_t *s, const char *network)
{
    char err[512], bridge[NET_BRIDGE], quoted[NET_BRIDGE + 2], *rules;
    amld_podman_args_t a;
    int rc;

    if (net_known(s, network, bridge) != 0) {
        return 0;
    }

    rules = malloc(AMLD_PODMAN_RULES);
    if (rules == NULL) {
        return 0;
    }

    amld_podman_args(&a, "nft");
    amld_podman_arg(&a, "list");
    amld_podman_arg(&a, "set");
    amld_podman_arg(&a, "inet");
    amld_podman_arg(&a, "aml_%s", s->key);
    amld_podman_arg(&a, "bridges");

    snprintf(quoted, sizeof(quoted), "\"%s\"", bridge);
    rc = amld_podman_run(&a, NULL, s->timeout, rules, AMLD_PODMAN_RULES, err,
                         sizeof(err)) == 0 &&
         strstr(rules, quoted) != NULL;
    free(rules);

    return rc;
}


static int
net_make(const amld_podman_spec_t *s, const char *network, char *err,
         size_t size)
{
    char bridge[NET_BRIDGE], ignored[512];
    amld_podman_args_t a;

    if (net_room(s, network, err, size) != 0) {
        return -1;
    }

    if (net_bridge_of(s, network, bridge, ignored, sizeof(ignored)) != 0) {
        amld_podman_args(&a, s->podman);
        amld_podman_arg(&a, "network");
        amld_podman_arg(&a, "create");
        amld_podman_arg(&a, "--label=aml.state=%s", s->key);
        amld_podman_arg(&a, "--label=aml.subnet=%s", s->subnet);
        amld_podman_arg(&a, "%s", network);

        if (amld_podman_run(&a, NULL, s->timeout, NULL, 0, err, size) != 0 ||
            net_bridge_of(s, network, bridge, err, size) != 0) {
            return -1;
        }
        printf("network %s is made\n", network);
    }

    return net_remember(s, network, bridge, err, size) == 0 &&
                   net_apply(s, err, size) == 0
               ? 0
               : -1;
}


static int
net_bridge_of(const amld_podman_spec_t *s, const char *network,
              char bridge[NET_BRIDGE], char *err, size_t size)
{
    char out[NET_BRIDGE + 8];
    amld_podman_args_t a;

    amld_podman_args(&a, s->podman);
    amld_podman_arg(&a, "network");
    amld_podman_arg(&a, "inspect");
    amld_podman_arg(&a, "--format={{.NetworkInterface}}");
    amld_podman_arg(&a, "%s", network);

    if (amld_podman_run(&a, NULL, s->timeout, out, sizeof(out), err, size) !=
        0) {
        return -1;
    }

    if (!net_is_bridge(out)) {
        snprintf(err, size,
                 "podman names no bridge of network %s, but \"%.16s\"", network,
                 out);
        return -1;
    }

    snprintf(bridge, NET_BRIDGE, "%.15s", out);

    return 0;
}


static int
net_apply(const amld_podman_spec_t *s, char *err, size_t size)
{
    int rc;
    size_t i;
    char *text;
    const char *names[AMLD_PODMAN_NETWORKS] = {NULL};
    amld_podman_args_t a;
    net_bridges_t *b;

    rc = net_begin(s, &b, &text, err, size);
    if (b == NULL) {
        return -1;
    }

    for (i = 0; i < b->count; i++) {
        names[i] = b->name[i];
    }

    amld_podman_args(&a, "nft");
    amld_podman_arg(&a, "-f");
    amld_podman_arg(&a, "-");

    if (rc == 0) {
        rc = amld_podman_rules(s, names, b->count, text, AMLD_PODMAN_RULES);
        if (rc != 0) {
            snprintf(err, size, "no room for the rules of %zu networks",
                     b->count);
        } else {
            rc = amld_podman_run(&a, text, s->timeout, NULL, 0, err, size);
        }
    }

    free(text);
    free(b);

    return rc == 0 ? 0 : -1;
}


/* As net_gather(), with room for it and for the text of rules, which are the
 * caller's to free; *b is NULL without memory. */
static int
net_begin(const amld_podman_spec_t *s, net_bridges_t **b, char **text,
          char *err, size_t size)
{
    *b = calloc(1, sizeof(**b));
    *text = malloc(AMLD_PODMAN_RULES);

    if (*b == NULL || *text == NULL) {
        snprintf(err, size, "no memory");
        free(*b);
        free(*text);
        *b = NULL;
        return -1;
    }

    return net_gather(s, *b, err, size);
}


/* All or none: one that is left out has no rules. */
static int
net_gather(const amld_podman_spec_t *s, net_bridges_t *b, char *err,
           size_t size)
{
    char path[PATH_MAX], prefix[32], bridge[NET_BRIDGE];
    DIR *dir;
    int rc;
    size_t n;
    struct dirent *entry;

    b->count = 0;

    if (net_directory(s, path, sizeof(path)) != 0 ||
        (dir = opendir(path)) == NULL) {
        snprintf(err, size, "%s/podman: %s", s->state, strerror(errno));
        return -1;
    }

    n = (size_t) snprintf(prefix, sizeof(prefix), "aml-%s-", s->key);

    rc = 0;
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, prefix, n) != 0 ||
            strchr(entry->d_name, '.') != NULL ||
            net_known(s, entry->d_name, bridge) != 0) {
            continue;
        }
        if (b->count == AMLD_PODMAN_NETWORKS) {
            snprintf(err, size, "there are more than %d networks",
                     AMLD_PODMAN_NETWORKS);
            rc = -1;
        } else {
            memcpy(b->name[b->count++], bridge, NET_BRIDGE);
        }
    }

    closedir(dir);

    return rc;
}


/* Is there room for the rules of one more, unless it has some already? */
static int
net_room(const amld_podman_spec_t *s, const char *network, char *err,
         size_t size)
{
    int rc;
    char bridge[NET_BRIDGE];
    net_bridges_t *b;

    if (net_known(s, network, bridge) == 0) {
        return 0;
    }

    b = calloc(1, sizeof(*b));
    if (b == NULL) {
        snprintf(err, size, "no memory");
        return -1;
    }

    rc = net_gather(s, b, err, size);
    if (rc == 0 && b->count == AMLD_PODMAN_NETWORKS) {
        snprintf(err, size,
                 "there are %d networks, and no more can be: one of another "
                 "subnet has to go first",
                 AMLD_PODMAN_NETWORKS);
        rc = -1;
    }
    free(b);

    return rc;
}


/* The rules of all networks that have a bridge: 1, 0 when something is missing,
 * or -1 when that can't be told. */
static int
net_in_force(const amld_podman_spec_t *s, char *err, size_t size)
{
    int rc;
    size_t i, k, n;
    char *text, quoted[NET_BRIDGE + 2];
    amld_podman_args_t a;
    net_bridges_t *b;

    static const char *const parts[] = {"hook input", "hook forward",
                                        "hook output", "169.254.0.0/16"};

    rc = net_begin(s, &b, &text, err, size);
    if (b == NULL) {
        return -1;
    }


    /* After a boot there are notes and no bridges yet. */
    for (n = 0, i = 0; i < b->count; i++) {
        if (net_is_there(b->name[i])) {
            memmove(b->name[n++], b->name[i], NET_BRIDGE);
        }
    }

    if (rc == 0 && n == 0) {
        rc = 1;

    } else if (rc == 0) {
        amld_podman_args(&a, "nft");
        amld_podman_arg(&a, "list");
        amld_podman_arg(&a, "table");
        amld_podman_arg(&a, "inet");
        amld_podman_arg(&a, "aml_%s", s->key);

        rc = amld_podman_run(&a, NULL, s->timeout, text, AMLD_PODMAN_RULES, err,
                             size);
        if (rc == 0 || rc == 1) {
            rc = rc == 0;
        } else {
            rc = -1;
        }

        for (i = 0; rc == 1 && i < n; i++) {
            snprintf(quoted, sizeof(quoted), "\"%s\"", b->name[i]);
            rc = strstr(text, quoted) != NULL;
        }
        for (k = 0; rc == 1 && k < sizeof(parts) / sizeof(*parts); k++) {
            rc = strstr(text, parts[k]) != NULL;
        }
    }

    free(text);
    free(b);

    return rc;
}


/* Its ports go before it does. */
static int
net_is_there(const char *bridge)
{
    char path[64];

    snprintf(path, sizeof(path), "/sys/class/net/%s/brif", bridge);

    return access(path, F_OK) == 0;
}


/* 1 when it was not, and is now; -1. */
static int
net_isolate(const char *path)
{
    char was;
    int fd, rc;

    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd == -1) {
        /* An instance that ends meanwhile takes its port with it. */
        return errno == ENOENT ? 0 : -1;
    }

    rc = 0;
    if (pread(fd, &was, 1, 0) != 1 || was != '1') {
        rc = write(fd, "1", 1) == 1 ? 1 : -1;
    }
    close(fd);

    return rc;
}


static int
net_is_bridge(const char *name)
{
    size_t n;

    n = strlen(name);

    return n > 0 && n < NET_BRIDGE &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789_.-") == n;
}
