/* Source: ITU-T H.273 (2023), tables 2 and 3; PNG (third edition), 11.3.2.6. */
#include "api/pictures/cicp.h"
#include "api/pictures/raster.h"

#include <stddef.h>
#include <string.h>

enum { UNSPECIFIED = 2, PRIMARIES_BT709 = 1, TRANSFER_SRGB = 13 };

#define D65 0.3127, 0.3290

static const struct {
    uint8_t code;
    double white[2], primaries[6];
} primaries[] = {
    {PRIMARIES_BT709, {D65}, {0.64, 0.33, 0.30, 0.60, 0.15, 0.06}},
    {4, {0.310, 0.316}, {0.67, 0.33, 0.21, 0.71, 0.14, 0.08}}, /* System M */
    {5, {D65}, {0.64, 0.33, 0.29, 0.60, 0.15, 0.06}},          /* BT.470 B, G */
    {6, {D65}, {0.630, 0.340, 0.310, 0.595, 0.155, 0.070}},    /* BT.601, 525 lines */
    {7, {D65}, {0.630, 0.340, 0.310, 0.595, 0.155, 0.070}},    /* SMPTE 240M */
    {9, {D65}, {0.708, 0.292, 0.170, 0.797, 0.131, 0.046}},    /* BT.2020, BT.2100 */
    {12, {D65}, {0.680, 0.320, 0.265, 0.690, 0.150, 0.060}},   /* P3 with the white of D65 */
};

/* As in struct raster_colors. */
#define BT709_CURVE                                        \
    {                                                      \
        1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081 \
    }

static const struct {
    uint8_t code;
    double curve[5];
} transfers[] = {
    {1, BT709_CURVE},       {4, {2.2, 1, 0, 0, 0}},
    {5, {2.8, 1, 0, 0, 0}}, {6, BT709_CURVE},
    {8, {1, 1, 0, 0, 0}},   {TRANSFER_SRGB, {2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045}},
    {14, BT709_CURVE},      {15, BT709_CURVE},
};

bool cicp_colors(const uint8_t codes[4], struct raster_colors *out)
{
    uint8_t of = codes[0] == UNSPECIFIED ? PRIMARIES_BT709 : codes[0];
    uint8_t by = codes[1] == UNSPECIFIED ? TRANSFER_SRGB : codes[1];
    struct raster_colors colors = {.given = of != PRIMARIES_BT709 || by != TRANSFER_SRGB};
    bool found = false, found_curve = false;

    for (size_t i = 0; i < sizeof(primaries) / sizeof(primaries[0]); i++) {
        if (primaries[i].code != of)
            continue;
        memcpy(colors.white, primaries[i].white, sizeof(colors.white));
        memcpy(colors.primaries, primaries[i].primaries, sizeof(colors.primaries));
        found = true;
    }
    for (size_t i = 0; i < sizeof(transfers) / sizeof(transfers[0]); i++) {
        if (transfers[i].code != by)
            continue;
        memcpy(colors.curve, transfers[i].curve, sizeof(colors.curve));
        found_curve = true;
    }
    if (!found || !found_curve || codes[2] != 0 || codes[3] != 1)
        return false;
    *out = colors;
    return true;
}
