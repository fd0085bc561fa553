/* A libmicrohttpd that says that it was built without TLS, to be preloaded. */
#include <microhttpd.h>

__attribute__((visibility("default"))) enum MHD_Result MHD_is_feature_supported(
    enum MHD_FEATURE feature)
{
    return MHD_NO;
}
