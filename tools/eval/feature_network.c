#include "tools/eval/feature_network.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/error.h"
#include "tools/eval/efficientnet.h"
#include "tools/eval/face_network.h"
#include "tools/eval/inception.h"
#include "tools/eval/squeezenet.h"

enum { ENLARGED = 128, SIDE_MAX = 1024 }; /* SqueezeNet was trained on larger pictures than most */

const struct feature_network feature_network_default = {
    .name = "squeezenet11",
    .n_features = SQUEEZENET_FEATURES,
    .side_min = ENLARGED,
    .side_max = SIDE_MAX,
    .resize = FEATURE_RESIZE_BYTES,
    .blue_first = true,
    .range = {{123.68f, 116.779f, 103.939f}, 1},
    .append = squeezenet_append,
    .n_maps = SQUEEZENET_MAPS,
    .append_maps = squeezenet_append_maps,
};

static const struct feature_network face = {
    .name = "face-dlib",
    .n_features = FACE_NETWORK_FEATURES,
    .side_min = FACE_NETWORK_SIDE,
    .side_max = FACE_NETWORK_SIDE,
    .resize = FEATURE_RESIZE_BYTES,
    .range = {{122.782f, 117.001f, 104.298f}, 1 / 256.0f},
    .append = face_network_append,
};

static const struct feature_network inception = {
    .name = "inception",
    .n_features = INCEPTION_FEATURES,
    .side_min = INCEPTION_SIDE,
    .side_max = INCEPTION_SIDE,
    .resize = FEATURE_RESIZE_BILINEAR,
    .range = {{127.5f, 127.5f, 127.5f}, 1 / 127.5f},
    .other_range = {{128, 128, 128}, 1 / 128.0f},
    .append = inception_append,
    .source = "tools/convert/inception.py makes them of pytorch-fid's "
              "pt_inception-2015-12-05-6726825d.pth",
    .published = "pt_inception-2015-12-05",
};

static const struct feature_network efficientnet = {
    .name = "efficientnet-lite0",
    .n_features = EFFICIENTNET_FEATURES,
    .side_min = EFFICIENTNET_SIDE,
    .side_max = EFFICIENTNET_SIDE,
    .resize = FEATURE_RESIZE_BYTES,
    .range = {{127, 127, 127}, 1 / 128.0f},
    .append = efficientnet_append,
};

static const struct feature_network *const networks[] = {&feature_network_default, &face,
                                                         &efficientnet, &inception};

enum { N_NETWORKS = sizeof(networks) / sizeof(networks[0]) };

const struct feature_range *feature_network_range(const struct feature_network *network,
                                                  enum feature_resize resize)
{
    bool other = resize == FEATURE_RESIZE_TENSORFLOW || resize == FEATURE_RESIZE_BICUBIC;

    return other && network->other_range.scale != 0 ? &network->other_range : &network->range;
}

int feature_network_parse(const char *name, const struct feature_network **out, struct error *err)
{
    for (int i = 0; i < N_NETWORKS; i++) {
        if (strcmp(networks[i]->name, name) == 0) {
            *out = networks[i];
            return 0;
        }
    }
    return error_set(err, -EINVAL, "there is no feature network \"%s\", but %s, %s, %s and %s",
                     name, networks[0]->name, networks[1]->name, networks[2]->name,
                     networks[3]->name);
}

int feature_network_path(const struct feature_network *network, char path[FEATURE_NETWORK_PATH],
                         struct error *err)
{
    snprintf(path, FEATURE_NETWORK_PATH, "%s/%s.safetensors", ZOO_CHECKOUT, network->name);
    if (access(path, R_OK) < 0)
        snprintf(path, FEATURE_NETWORK_PATH, "%s/%s.safetensors", ZOO_INSTALLED, network->name);
    if (network->source && access(path, R_OK) < 0)
        return error_set(err, -ENOENT,
                         "the weights of \"%s\" do not come with softdiff: %s; give them as "
                         "--network",
                         network->name, network->source);
    return 0;
}
