/* The parts of a ZIP file, byte by byte; that others read it is tried in tests/api. */
#include "api/zip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void test_crc(void **state)
{
    static const char check[] = "123456789"; /* of every catalogue of CRCs */
    uint8_t all[256];

    for (int i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    assert_int_equal(zip_crc((const uint8_t *)check, 9), 0xcbf43926);
    assert_int_equal(zip_crc(all, 256), 0x29058c73);
    assert_int_equal(zip_crc(all, 0), 0);
}

static void test_parts(void **state)
{
    static const uint8_t head[ZIP_HEAD_BYTES] =
        "PK\3\4\12\0\0\0\0\0\0\0\x21\0\x04\x03\x02\x01\x30\x20"
        "\0\0\x30\x20\0\0\x09\0\0\0"
        "00042.png";
    static const uint8_t directory[ZIP_DIRECTORY_BYTES] =
        "PK\1\2\x14\3\12\0\0\0\0\0\0\0\x21\0\x04\x03\x02\x01\x30\x20\0\0\x30\x20\0\0\x09\0\0\0\0\0"
        "\0\0\0"
        "\0\0\0\xa4\x81\x0d\x0c\x0b\xfa"
        "00042.png";
    static const uint8_t end[ZIP_END_BYTES] =
        "PK\5\6\0\0\0\0\x10\x27\x10\x27\x70\x64\x08\0\xef\xbe\xad\xde\0";
    const struct zip_entry e = {.crc = 0x01020304, .size = 0x2030, .offset = 0xfa0b0c0d};
    uint8_t out[ZIP_DIRECTORY_BYTES];

    zip_write_head(&e, 42, out);
    assert_memory_equal(out, head, sizeof(head));
    zip_write_directory(&e, 42, out);
    assert_memory_equal(out, directory, sizeof(directory));
    zip_write_end(10000, 0xdeadbeef, out);
    assert_memory_equal(out, end, sizeof(end));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_crc), cmocka_unit_test(test_parts)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
