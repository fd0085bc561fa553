/* Content negotiation by the Accept header (RFC 9110, section 12.5.1). */
#ifndef API_ACCEPT_H
#define API_ACCEPT_H

/* How much a client wants a media type, 0 (not at all) to 1000: the weight of the most specific
 * range that covers it. type "image/png", lower case; accept NULL: anything goes, 1000. Parameters
 * other than q are ignored, and so are elements that do not parse. Thread: any. */
int accept_weight(const char *accept, const char *type);

#endif
