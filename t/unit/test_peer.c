#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <unistd.h>

#include "upstreams/peer.h"


static void
test_unix(void **state)
{
    aml_peer_t p, q;

    (void) state;

    assert_int_equal(aml_peer_of(aml_str("unix:/run/a.sock"), 7, &p), 0);
    assert_int_equal(p.addr.sa.sa_family, AF_UNIX);
    assert_string_equal(p.addr.un.sun_path, "/run/a.sock");

    /* the same again is the same to keepalive */
    assert_int_equal(aml_peer_of(aml_str("unix:/run/a.sock"), 7, &q), 0);
    assert_int_equal(p.len, q.len);
    assert_memory_equal(&p.addr, &q.addr, p.len);

    /* another generation is not, though its path is */
    assert_int_equal(aml_peer_of(aml_str("unix:/run/a.sock"), 8, &q), 0);
    assert_int_equal(p.len, q.len);
    assert_memory_not_equal(&p.addr, &q.addr, p.len);
    assert_string_equal(q.addr.un.sun_path, "/run/a.sock");

    /* every bit of the generation counts */
    assert_int_equal(
        aml_peer_of(aml_str("unix:/run/a.sock"), 7 | UINT64_C(1) << 63, &q), 0);
    assert_memory_not_equal(&p.addr, &q.addr, p.len);

    /* a longer path never looks like a shorter one and its generation */
    assert_int_equal(aml_peer_of(aml_str("unix:/run/a.sockx"), 7, &q), 0);
    assert_int_not_equal(p.len, q.len);
}


static void
test_unix_length(void **state)
{
    size_t n;
    char address[256];
    aml_peer_t p;

    (void) state;

    memset(address, 'x', sizeof(address));
    memcpy(address, "unix:/", 6);

    for (n = 7; n < 5 + AML_PEER_PATH_MAX + 20; n++) {
        if (n - 5 <= AML_PEER_PATH_MAX) {
            assert_int_equal(aml_peer_of((aml_str_t){address, n}, 1, &p), 0);
            assert_int_equal(strlen(p.addr.un.sun_path), n - 5);
            assert_true(p.len <= sizeof(struct sockaddr_un));
        } else {
            assert_int_equal(aml_peer_of((aml_str_t){address, n}, 1, &p), -1);
        }
    }
}


/* The kernel takes the length with the generation, and ignores it. */
static void
test_unix_connects(void **state)
{
    int listener, fd;
    char directory[] = "/tmp/aml-peer-XXXXXX", address[64];
    aml_peer_t p;
    struct sockaddr_un un;

    (void) state;

    assert_non_null(mkdtemp(directory));
    memset(&un, 0, sizeof(un));
    un.sun_family = AF_UNIX;
    snprintf(un.sun_path, sizeof(un.sun_path), "%s/s", directory);
    snprintf(address, sizeof(address), "unix:%s/s", directory);

    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *) &un, sizeof(un)), 0);
    assert_int_equal(listen(listener, 1), 0);

    assert_int_equal(
        aml_peer_of(aml_str_of(address), UINT64_C(0x0102030405060708), &p), 0);

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, &p.addr.sa, p.len), 0);

    close(fd);
    close(listener);
    unlink(un.sun_path);
    rmdir(directory);
}


static void
test_inet(void **state)
{
    char text[INET6_ADDRSTRLEN];
    aml_peer_t p, q;

    (void) state;

    assert_int_equal(aml_peer_of(aml_str("10.88.0.7:8888"), 1, &p), 0);
    assert_int_equal(p.addr.sa.sa_family, AF_INET);
    assert_int_equal(p.len, sizeof(struct sockaddr_in));
    assert_int_equal(ntohs(p.addr.in.sin_port), 8888);
    inet_ntop(AF_INET, &p.addr.in.sin_addr, text, sizeof(text));
    assert_string_equal(text, "10.88.0.7");

    assert_int_equal(aml_peer_of(aml_str("10.88.0.7:8888"), 2, &q), 0);
    assert_memory_not_equal(&p.addr, &q.addr, p.len);

    assert_int_equal(aml_peer_of(aml_str("[fd00::7]:65535"), 1, &p), 0);
    assert_int_equal(p.addr.sa.sa_family, AF_INET6);
    assert_int_equal(p.len, sizeof(struct sockaddr_in6));
    assert_int_equal(ntohs(p.addr.in6.sin6_port), 65535);
    inet_ntop(AF_INET6, &p.addr.in6.sin6_addr, text, sizeof(text));
    assert_string_equal(text, "fd00::7");
}


static void
test_refused(void **state)
{
    static const aml_str_t bad[] = {
        aml_str(""),
        aml_str(":"),
        aml_str(":80"),
        aml_str("unix:"),
        aml_str("unix:/"),
        aml_str("unix:relative"),
        aml_str("unix:@abstract"),
        aml_str("unix:\0abstract"),
        aml_str("unix:/a\0b"),
        aml_str("unix:/a\0"),
        aml_str("UNIX:/a"),
        aml_str("/run/a.sock"),
        aml_str("localhost:80"),
        aml_str("127.0.0.1"),
        aml_str("127.0.0.1:"),
        aml_str("127.0.0.1:0"),
        aml_str("127.0.0.1:080"),
        aml_str("127.0.0.1:65536"),
        aml_str("127.0.0.1:99999"),
        aml_str("127.0.0.1:100000"),
        aml_str("127.0.0.1:-1"),
        aml_str("127.0.0.1:+1"),
        aml_str("127.0.0.1: 80"),
        aml_str("127.0.0.1:80 "),
        aml_str("127.0.0.1:8\0"),
        aml_str("127.0.0.1\0:80"),
        aml_str("127.0.0.1\0x:80"),
        aml_str("127.1:80"),
        aml_str("127.0.0.256:80"),
        aml_str("127.0.0.01:80"),
        aml_str("0x7f.0.0.1:80"),
        aml_str("1.2.3.4.5:80"),
        aml_str("::1:80"),
        aml_str("[::1]"),
        aml_str("[::1]80"),
        aml_str("[::1:80"),
        aml_str("[]:80"),
        aml_str("[:80"),
        aml_str("]:80"),
        aml_str("[127.0.0.1]:80"),
        aml_str("[fe80::1%lo]:80"),
        aml_str("[::1]]:80"),
        aml_str("[[::1]]:80"),
        aml_str("[11111111111111111111111111111111111111111111111111]:80"),
        aml_str("11111111111111111111111111111111111111111111111111:80")};
    size_t i;
    aml_peer_t p;

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (aml_peer_of(bad[i], 1, &p) != -1) {
            fail_msg("%.*s is taken", (int) bad[i].n, bad[i].p);
        }
    }
}


/* What is cut off anywhere is refused or another, whole address: no byte
 * behind the end is looked at. */
static void
test_cut(void **state)
{
    static const char *const whole[] = {
        "unix:/run/aml/instances/lab/8888.sock", "192.168.100.200:65535",
        "[2001:db8:1234:5678:9abc:def0:1234:5678]:65535"};
    size_t i, n;
    char *copy;
    aml_peer_t p;

    (void) state;

    for (i = 0; i < 3; i++) {
        for (n = 0; n <= strlen(whole[i]); n++) {
            copy = malloc(n != 0 ? n : 1);
            assert_non_null(copy);
            memcpy(copy, whole[i], n);
            (void) aml_peer_of((aml_str_t){copy, n}, 1, &p);
            free(copy);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unix),
        cmocka_unit_test(test_unix_length),
        cmocka_unit_test(test_unix_connects),
        cmocka_unit_test(test_inet),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cut),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
