#include "server/pace.h"

static const float SMOOTHING = 0.1f;

static int size_of(int lanes)
{
    int i = 0;

    while (i < PACE_SIZES - 1 && 1 << i < lanes)
        i++;
    return i;
}

void pace_add(struct pace *p, int lanes, double seconds)
{
    _Atomic float *to = &p->tick_s[size_of(lanes)];
    float before = atomic_load(to);

    atomic_store(to, before + (before > 0 ? SMOOTHING : 1) * ((float)seconds - before));
}

double pace_tick_s(const struct pace *p, int lanes)
{
    int size = size_of(lanes);
    double least = atomic_load(&p->tick_s[size]), bound;

    if (least > 0)
        return least;
    for (int i = 0; i < PACE_SIZES; i++) {
        bound = atomic_load(&p->tick_s[i]);
        if (i > size)
            bound /= 1 << (i - size);
        least = bound > least ? bound : least;
    }
    return least;
}
