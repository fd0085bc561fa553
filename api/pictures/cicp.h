/* Colours by code points, as the chunk cICP of a PNG names them. */
#ifndef API_PICTURES_CICP_H
#define API_PICTURES_CICP_H

#include <stdbool.h>
#include <stdint.h>

struct raster_colors;

/* codes: primaries, transfer characteristics, matrix coefficients, full range. sRGB leaves out as it
 * is, as do colours whose code says that they are not specified. False: of colours that cannot be
 * shown as sRGB by numbers alone (PQ and HLG, whose light has no fixed white), not RGB, not of full
 * range, or reserved. */
bool cicp_colors(const uint8_t codes[4], struct raster_colors *out);

#endif
