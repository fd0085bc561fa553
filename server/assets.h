/* Files that are part of the program, written by embed.py when it is built. */
#ifndef SERVER_ASSETS_H
#define SERVER_ASSETS_H

#include <stddef.h>

extern const unsigned char asset_index_html[];
extern const size_t asset_index_html_size;
extern const char asset_index_html_policy[]; /* Content-Security-Policy */
extern const char asset_index_html_tag[];    /* entity tag */
extern const unsigned char asset_openapi_json[];
extern const size_t asset_openapi_json_size;
extern const unsigned char asset_openapi_admin_json[];
extern const size_t asset_openapi_admin_json_size;

#endif
