#include "api/response.h"

#include "api/permalink.h"
#include "api/pictures/png.h"
#include "api/request.h"
#include "api/seed.h"
#include "engine/base/error.h"
#include "engine/base/json_memory.h"

#include <errno.h>
#include <jansson.h>
#include <nettle/base64.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* No time and no names: the same image has the same bytes. */
static const char provenance[] =
    "<?xpacket begin=\"\xef\xbb\xbf\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>"
    "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">"
    "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">"
    "<rdf:Description rdf:about=\"\" "
    "xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\" "
    "xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\" xmp:CreatorTool=\"softdiff\" "
    "Iptc4xmpExt:DigitalSourceType="
    "\"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia\"/>"
    "</rdf:RDF></x:xmpmeta><?xpacket end=\"r\"?>";

/* Evaluations that image i was to have and had not: it is no more what its settings say. */
static bool is_partial(const struct samples_response *r, int i)
{
    return r->nfe_done && r->nfe_done[i] < r->nfe;
}

/* NULL without memory. */
static json_t *restoration_to_json(const struct response_restoration *r)
{
    json_t *json =
        json_pack("{s:s, s:f, s:f, s:s}", "degradation", r->degradation, "strength", r->strength,
                  "consistency", r->consistency, "image_sha256", r->image_sha256);

    if (json && r->std > 0) {
        json_object_set_new(json, "std", json_real(r->std));
        json_object_set_new(json, "estimated", json_boolean(r->estimated));
    }
    if (json && *r->mask_sha256)
        json_object_set_new(json, "mask_sha256", json_string(r->mask_sha256));
    return json;
}

void samples_response_add_restoration(const struct samples_response *r, json_t *json)
{
    if (r->restoration)
        json_object_set_new(json, "restoration", restoration_to_json(r->restoration));
}

void samples_response_add_mix(const struct samples_response *r, int i, json_t *json)
{
    if (r->mix == 0)
        return;
    json_object_set_new(json, "seed_b", seed_to_json(r->seed_b + (uint64_t)(i < 0 ? 0 : i)));
    json_object_set_new(json, "mix", json_real((double)r->mix / REQUEST_MIX_WHOLE));
}

void samples_response_add_label(const struct samples_response *r, json_t *json)
{
    if (r->label > 0)
        json_object_set_new(json, "label", json_integer(r->label));
    if (r->guidance > 0)
        json_object_set_new(json, "guidance",
                            json_real((double)r->guidance / REQUEST_GUIDANCE_ONE));
}

/* Parts of a whole are written as such: 0.3. */
static size_t flags_of(const struct samples_response *r)
{
    return r->mix > 0 || r->guidance > 0 ? JSON_COMPACT | JSON_REAL_PRECISION(6) : JSON_COMPACT;
}

/* What image i follows from; of all images with i < 0. */
static json_t *params(const struct samples_response *r, int i)
{
    uint64_t seed = r->seed + (uint64_t)(i < 0 ? 0 : i);
    json_t *json =
        json_pack("{s:s, s:s#, s:s, s:s, s:s, s:i, s:s, s:o}", "model", r->model, "checkpoint",
                  r->checkpoint, RESPONSE_DIGEST_CHARS, "precision", r->precision, "corruption",
                  r->corruption, "sampler", r->sampler, "nfe", r->nfe, "determinism",
                  r->determinism, "seed", seed_to_json(seed));

    if (json)
        samples_response_add_mix(r, i, json);
    if (json)
        samples_response_add_label(r, json);
    if (json && i >= 0 && is_partial(r, i))
        json_object_set_new(json, "nfe_done", json_integer(r->nfe_done[i]));
    if (json)
        samples_response_add_restoration(r, json);
    return json;
}

int samples_response_png(const struct samples_response *r, int i, uint8_t **out, size_t *size,
                         struct error *err)
{
    size_t image_bytes = (size_t)r->side_px * (size_t)r->side_px * (size_t)r->channels;
    char *text = json_memory_dump(params(r, i), flags_of(r));
    int rc = -ENOMEM;

    if (text)
        rc = png_encode(r->side_px, r->side_px, r->channels, r->pixels + (size_t)i * image_bytes,
                        (struct png_note[]){
                            {"softdiff:params", text, false},
                            {"XML:com.adobe.xmp", provenance, true},
                        },
                        2, out, size, err);
    else
        error_set(err, rc, "out of memory describing an image");
    free(text);
    return rc;
}

static json_t *base64_to_json(const uint8_t *png, size_t size)
{
    size_t n = BASE64_ENCODE_RAW_LENGTH(size);
    char *text = malloc(n);
    json_t *json = NULL;

    if (text) {
        base64_encode_raw(text, size, png);
        json = json_stringn_nocheck(text, n);
    }
    free(text);
    return json;
}

/* png NULL: the image had not begun. */
static json_t *image_to_json(const struct samples_response *r, int i, const uint8_t *png,
                             size_t size)
{
    json_t *json = json_pack("{s:o}", "seed", seed_to_json(r->seed + (uint64_t)i));
    char url[PERMALINK_BYTES];
    int rc = json ? 0 : -1;

    permalink_write(r, i, url);
    if (rc == 0 && is_partial(r, i))
        rc = json_object_set_new(json, "nfe_done", json_integer(r->nfe_done[i]));
    else if (rc == 0 && !r->restoration)
        rc = json_object_set_new(json, "url", json_string(url));
    if (rc == 0)
        rc = json_object_set_new(json, "png", png ? base64_to_json(png, size) : json_null());
    if (rc == 0)
        return json;
    json_decref(json);
    return NULL;
}

static int add_image(const struct samples_response *r, int i, json_t *images, struct error *err)
{
    uint8_t *png = NULL;
    size_t size = 0;
    int rc = 0;

    if (!r->nfe_done || r->nfe_done[i] > 0)
        rc = samples_response_png(r, i, &png, &size, err);
    if (rc == 0 && json_array_append_new(images, image_to_json(r, i, png, size)) < 0)
        rc = error_set(err, -ENOMEM, "out of memory writing an answer");
    free(png);
    return rc;
}

static int encode_all(const struct samples_response *r, uint8_t **out, size_t *size,
                      struct error *err)
{
    json_t *root = params(r, -1), *images = json_array();
    char *text;
    int rc = 0;

    for (int i = 0; i < r->n && rc == 0; i++)
        rc = add_image(r, i, images, err);
    json_object_set_new(root, "images", images);
    if (rc < 0) {
        json_memory_drop(root);
        return rc;
    }
    text = json_memory_dump(root, flags_of(r));
    if (!text)
        return error_set(err, -ENOMEM, "out of memory writing an answer");
    *out = (uint8_t *)text;
    *size = strlen(text);
    return 0;
}

int samples_response_encode(const struct samples_response *r, bool bare_png, uint8_t **out,
                            size_t *size, struct error *err)
{
    return bare_png ? samples_response_png(r, 0, out, size, err) : encode_all(r, out, size, err);
}
