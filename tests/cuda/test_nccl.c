/* The real NCCL is found, has what is asked of it, and says what is wrong where there is no GPU. */
#include "engine/cuda/nccl_call.h"
#include "engine/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void all_functions_are_found(void **state)
{
    const struct nccl_functions *f;
    struct error err;

    if (nccl_load(&f, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(f->get_unique_id && f->comm_init_rank && f->comm_destroy && f->all_reduce);
    assert_string_equal(f->get_error_string(ncclSuccess), "no error");
    assert_non_null(strstr(f->get_error_string(ncclInvalidUsage), "invalid usage"));
}

static void what_it_is_told_is_checked(void **state)
{
    const struct nccl_functions *f;
    ncclComm_t ranks = NULL;
    ncclUniqueId id;

    memset(&id, 0, sizeof(id));
    assert_int_equal(nccl_load(&f, NULL), 0);
    assert_int_not_equal(f->comm_init_rank(&ranks, 2, id, 5), ncclSuccess);
    assert_null(ranks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_functions_are_found),
        cmocka_unit_test(what_it_is_told_is_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
