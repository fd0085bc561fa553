/* The colours of a picture as sRGB, which models are trained in and browsers show, with Little CMS:
 * what ICC profiles, code points, gamma and chromaticities mean by numbers.
 */
#ifndef API_PICTURES_SRGB_H
#define API_PICTURES_SRGB_H

struct error;
struct raster;

/* Makes r sRGB of 8 bits, RGB or GREY, alpha kept, without profile. By the perceptual intent where a
 * profile has several. A profile that cannot be read or is of other colours than the picture is
 * passed over, as viewers do; one that means sRGB leaves the numbers as they are. CMYK without a
 * profile becomes (1 - ink) (1 - black).
 * 0 or -ENOMEM: r is then as it was. Thread: any. */
int srgb_convert(struct raster *r, struct error *err);

#endif
