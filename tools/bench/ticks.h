/* Ticks of a generator: how long they take with so many lanes busy, how much of it the host needs beside
 * the device, and how many bytes it sends.
 *
 * A tick is measured in the middle of its images, as most are: no lane is new, none ends. The rows of a
 * tick are written while the device computes the one before; that is host time which a GPU does not
 * wait for, and which a processor's device has one thread less meanwhile.
 */
#ifndef TOOLS_BENCH_TICKS_H
#define TOOLS_BENCH_TICKS_H

struct bench;
struct error;

/* Measures all combinations of the numbers of lanes that b's options name, its devices and its
 * precisions in turns: plain images, ones with previews and ones that restore a picture. Prints what came
 * out. 0, -EINVAL, -ENOTSUP, -ENOMEM or -EIO. */
int ticks_measure(struct bench *b, struct error *err);

#endif
