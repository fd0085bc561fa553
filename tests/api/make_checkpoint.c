/* Writes a small checkpoint: make_checkpoint OUT.safetensors CORRUPTION SIDE NF SEED */
#include "engine/base/error.h"
#include "tests/api/small_checkpoint.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    struct error err;

    if (argc != 6) {
        fprintf(stderr, "usage: make_checkpoint OUT.safetensors CORRUPTION SIDE NF SEED\n");
        return 2;
    }
    if (small_checkpoint_write(argv[1], argv[2], atoi(argv[3]), atoi(argv[4]),
                               strtoull(argv[5], NULL, 10), &err) < 0) {
        fprintf(stderr, "make_checkpoint: %s\n", err.text);
        return 1;
    }
    return 0;
}
