/* How many connections each client has. */
#include "server/clients.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static union address address(const char *text)
{
    union address a = {.v6 = {.sin6_family = 0}};

    a.any.sa_family = strchr(text, ':') ? AF_INET6 : AF_INET;
    if (a.any.sa_family == AF_INET)
        assert_int_equal(inet_pton(AF_INET, text, &a.v4.sin_addr), 1);
    else
        assert_int_equal(inet_pton(AF_INET6, text, &a.v6.sin6_addr), 1);
    return a;
}

static int set_up(void **state)
{
    *state = clients_create();
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    clients_destroy(*state);
    return 0;
}

static void a_client_has_its_share(void **state)
{
    struct clients *all = *state;
    union address a = address("192.0.2.1"), b = address("192.0.2.2");
    struct client *first, *second, *other, *again;

    assert_int_equal(clients_enter(all, &a.any, 2, &first), 0);
    assert_int_equal(clients_enter(all, &a.any, 2, &second), 0);
    assert_ptr_equal(first, second);
    assert_int_equal(clients_enter(all, &a.any, 2, &again), -EBUSY);
    assert_int_equal(clients_enter(all, &b.any, 2, &other), 0);
    clients_leave(all, first);
    assert_int_equal(clients_enter(all, &a.any, 2, &again), 0);
    clients_leave(all, second);
    clients_leave(all, again);
    clients_leave(all, other);
    assert_int_equal(clients_enter(all, &a.any, 1, &first), 0); /* as if it had never been here */
    clients_leave(all, first);
}

/* Whoever has an address of IPv6 has all of its half. */
static void neighbours_in_a_network_are_one(void **state)
{
    struct clients *all = *state;
    union address a = address("2001:db8::1"), b = address("2001:db8::ffff:1"),
                  c = address("2001:db8:0:1::1");
    struct client *first, *other;

    assert_int_equal(clients_enter(all, &a.any, 1, &first), 0);
    assert_int_equal(clients_enter(all, &b.any, 1, &other), -EBUSY);
    assert_int_equal(clients_enter(all, &c.any, 1, &other), 0);
    clients_leave(all, first);
    clients_leave(all, other);
}

static void zero_is_no_limit(void **state)
{
    struct clients *all = *state;
    union address a = address("192.0.2.1");
    struct client *client;

    for (int i = 0; i < 1000; i++)
        assert_int_equal(clients_enter(all, &a.any, 0, &client), 0);
    for (int i = 0; i < 1000; i++)
        clients_leave(all, client);
}

/* More of them than there are buckets, leaving in another order than they came. */
static void many_clients(void **state)
{
    enum { N = 5000 };
    static struct client *client[N];
    struct clients *all = *state;

    for (int i = 0; i < N; i++) {
        union address a = address("10.0.0.0");

        a.v4.sin_addr.s_addr |= htonl((uint32_t)i);
        assert_int_equal(clients_enter(all, &a.any, 1, &client[i]), 0);
        for (int j = 0; i % 500 == 0 && j < i; j++)
            assert_ptr_not_equal(client[i], client[j]);
    }
    for (int i = 0; i < N; i++)
        clients_leave(all, client[(i * 2003) % N]);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_client_has_its_share, set_up, tear_down),
        cmocka_unit_test_setup_teardown(neighbours_in_a_network_are_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(zero_is_no_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_clients, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
