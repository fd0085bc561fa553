#include "tools/convert/onnx_graph.h"
#include "engine/base/error.h"
#include "engine/base/whole_file.h"
#include "tools/convert/protobuf.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IR_VERSION = 8, OPERATORS_VERSION = 18, NAME_BYTES = 32 };

/* Numbers of fields, by message. */
enum { MODEL_IR_VERSION = 1, MODEL_PRODUCER, MODEL_GRAPH = 7 };
enum { MODEL_OPERATORS = 8, MODEL_PROPERTIES = 14, OPERATORS_ID_VERSION = 2 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT };
enum { NODE_INPUT = 1, NODE_OUTPUT, NODE_TYPE = 4, NODE_ATTRIBUTE };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_FLOAT, ATTRIBUTE_INTEGER, ATTRIBUTE_TEXT };
enum { ATTRIBUTE_GRAPH = 6, ATTRIBUTE_INTEGERS = 8, ATTRIBUTE_TYPE = 20 };
enum { TYPE_FLOAT = 1, TYPE_INTEGER, TYPE_TEXT, TYPE_GRAPH = 5, TYPE_INTEGERS = 7 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE, TENSOR_NAME = 8, TENSOR_RAW };
enum { PAIR_KEY = 1, PAIR_VALUE };
enum { VALUE_NAME = 1, VALUE_KIND };
enum { KIND_TENSOR = 1, KIND_ELEMENT = 1, KIND_SHAPE = 2, SHAPE_DIM = 1, DIM_VALUE = 1, DIM_NAME };

struct onnx {
    struct protobuf whole, body; /* fields of graphs, in any order */
    struct protobuf *now;        /* one of these */
    struct protobuf properties;
    int next; /* number of the next value */
};

int onnx_create(struct onnx **out, struct error *err)
{
    struct onnx *o = calloc(1, sizeof(*o));

    if (!o)
        return error_set(err, -ENOMEM, "out of memory for a graph");
    o->now = &o->whole;
    *out = o;
    return 0;
}

void onnx_destroy(struct onnx *o)
{
    if (!o)
        return;
    protobuf_fini(&o->whole);
    protobuf_fini(&o->body);
    protobuf_fini(&o->properties);
    free(o);
}

static void value_name(int value, char text[NAME_BYTES])
{
    snprintf(text, NAME_BYTES, "v%d", value);
}

/* A ValueInfoProto as a field of the graph. */
static void end(struct onnx *o, int field, const char *name, enum onnx_type type, int n_dims,
                const int *dims)
{
    struct protobuf info = {0}, kind = {0}, tensor = {0}, shape = {0};

    for (int i = 0; i < n_dims; i++) {
        struct protobuf dim = {0};

        if (dims[i] < 0)
            protobuf_text(&dim, DIM_NAME, "n");
        else
            protobuf_integer(&dim, DIM_VALUE, dims[i]);
        protobuf_message(&shape, SHAPE_DIM, &dim);
    }
    protobuf_integer(&tensor, KIND_ELEMENT, type);
    protobuf_message(&tensor, KIND_SHAPE, &shape);
    protobuf_message(&kind, KIND_TENSOR, &tensor);
    protobuf_text(&info, VALUE_NAME, name);
    protobuf_message(&info, VALUE_KIND, &kind);
    protobuf_message(o->now, field, &info);
}

/* One output under a name, with no attributes yet. */
static void node_begin(struct protobuf *node, const char *type, int n_inputs, const int *inputs)
{
    for (int i = 0; i < n_inputs; i++) {
        char name[NAME_BYTES];

        value_name(inputs[i], name);
        protobuf_text(node, NODE_INPUT, inputs[i] < 0 ? "" : name);
    }
    protobuf_text(node, NODE_TYPE, type);
}

/* A name of the file for a value of ours, or the other way round. */
static void identity(struct onnx *o, const char *from, const char *to)
{
    struct protobuf node = {0};

    protobuf_text(&node, NODE_INPUT, from);
    protobuf_text(&node, NODE_OUTPUT, to);
    protobuf_text(&node, NODE_TYPE, "Identity");
    protobuf_message(o->now, GRAPH_NODE, &node);
}

int onnx_input(struct onnx *o, const char *name, enum onnx_type type, int n_dims, const int *dims)
{
    char mine[NAME_BYTES];

    end(o, GRAPH_INPUT, name, type, n_dims, dims);
    value_name(o->next, mine);
    identity(o, name, mine);
    return o->next++;
}

void onnx_output(struct onnx *o, int value, const char *name, enum onnx_type type, int n_dims,
                 const int *dims)
{
    char mine[NAME_BYTES];

    value_name(value, mine);
    identity(o, mine, name);
    end(o, GRAPH_OUTPUT, name, type, n_dims, dims);
}

static int constant(struct onnx *o, enum onnx_type type, int n_dims, const int *dims,
                    const void *values, size_t size)
{
    struct protobuf tensor = {0};
    char name[NAME_BYTES];

    value_name(o->next, name);
    for (int i = 0; i < n_dims; i++)
        protobuf_integer(&tensor, TENSOR_DIMS, dims[i]);
    protobuf_integer(&tensor, TENSOR_TYPE, type);
    protobuf_text(&tensor, TENSOR_NAME, name);
    protobuf_bytes(&tensor, TENSOR_RAW, values, size);
    protobuf_message(&o->whole, GRAPH_INITIALIZER, &tensor);
    return o->next++;
}

int onnx_floats(struct onnx *o, int n_dims, const int *dims, const float *values)
{
    size_t count = 1;

    for (int i = 0; i < n_dims; i++)
        count *= (size_t)dims[i];
    return constant(o, ONNX_FLOAT, n_dims, dims, values, count * sizeof(*values));
}

int onnx_integers(struct onnx *o, int n, const int64_t *values)
{
    return constant(o, ONNX_INT64, 1, &n, values, (size_t)n * sizeof(*values));
}

int onnx_integer(struct onnx *o, int64_t value)
{
    return constant(o, ONNX_INT64, 0, NULL, &value, sizeof(value));
}

int onnx_number(struct onnx *o, float value)
{
    return constant(o, ONNX_FLOAT, 0, NULL, &value, sizeof(value));
}

static void write_attribute(struct protobuf *node, const struct onnx_attribute *a)
{
    struct protobuf attribute = {0};

    protobuf_text(&attribute, ATTRIBUTE_NAME, a->name);
    if (a->n == -2) {
        protobuf_text(&attribute, ATTRIBUTE_TEXT, a->text);
        protobuf_integer(&attribute, ATTRIBUTE_TYPE, TYPE_TEXT);
    } else if (a->n < 0) {
        protobuf_float(&attribute, ATTRIBUTE_FLOAT, a->number);
        protobuf_integer(&attribute, ATTRIBUTE_TYPE, TYPE_FLOAT);
    } else if (a->n == 0) {
        protobuf_integer(&attribute, ATTRIBUTE_INTEGER, a->integer);
        protobuf_integer(&attribute, ATTRIBUTE_TYPE, TYPE_INTEGER);
    } else {
        for (int i = 0; i < a->n; i++)
            protobuf_integer(&attribute, ATTRIBUTE_INTEGERS, a->ints[i]);
        protobuf_integer(&attribute, ATTRIBUTE_TYPE, TYPE_INTEGERS);
    }
    protobuf_message(node, NODE_ATTRIBUTE, &attribute);
}

int onnx_node(struct onnx *o, const char *type, int n_inputs, const int *inputs,
              const struct onnx_attribute *attributes)
{
    struct protobuf node = {0};
    char name[NAME_BYTES];

    node_begin(&node, type, n_inputs, inputs);
    value_name(o->next, name);
    protobuf_text(&node, NODE_OUTPUT, name);
    for (; attributes && attributes->name; attributes++)
        write_attribute(&node, attributes);
    protobuf_message(o->now, GRAPH_NODE, &node);
    return o->next++;
}

int onnx_1(struct onnx *o, const char *type, int a)
{
    return onnx_node(o, type, 1, &a, NULL);
}

int onnx_2(struct onnx *o, const char *type, int a, int b)
{
    return onnx_node(o, type, 2, (const int[]){a, b}, NULL);
}

int onnx_3(struct onnx *o, const char *type, int a, int b, int c)
{
    return onnx_node(o, type, 3, (const int[]){a, b, c}, NULL);
}

int onnx_reshape(struct onnx *o, int x, int n, const int64_t *dims)
{
    return onnx_2(o, "Reshape", x, onnx_integers(o, n, dims));
}

int onnx_transpose(struct onnx *o, int x, int n, const int64_t *order)
{
    const struct onnx_attribute attributes[] = {ONNX_INTEGERS("perm", n, order), {0}};

    return onnx_node(o, "Transpose", 1, &x, attributes);
}

int onnx_cast(struct onnx *o, int x, enum onnx_type type)
{
    const struct onnx_attribute attributes[] = {ONNX_INTEGER("to", type), {0}};

    return onnx_node(o, "Cast", 1, &x, attributes);
}

void onnx_body_begin(struct onnx *o)
{
    o->now = &o->body;
}

void onnx_body_end(struct onnx *o, int rounds, int n, const int *first, int *out)
{
    struct protobuf node = {0}, attribute = {0};

    protobuf_text(&o->body, GRAPH_NAME, "step");
    o->now = &o->whole;
    node_begin(&node, "Loop", 2, (const int[]){rounds, -1});
    for (int i = 0; i < n; i++) {
        char name[NAME_BYTES];

        value_name(first[i], name);
        protobuf_text(&node, NODE_INPUT, name);
        out[i] = o->next++;
        value_name(out[i], name);
        protobuf_text(&node, NODE_OUTPUT, name);
    }
    protobuf_text(&attribute, ATTRIBUTE_NAME, "body");
    protobuf_message(&attribute, ATTRIBUTE_GRAPH, &o->body);
    protobuf_integer(&attribute, ATTRIBUTE_TYPE, TYPE_GRAPH);
    protobuf_message(&node, NODE_ATTRIBUTE, &attribute);
    protobuf_message(&o->whole, GRAPH_NODE, &node);
}

void onnx_property(struct onnx *o, const char *key, const char *text)
{
    struct protobuf pair = {0};

    protobuf_text(&pair, PAIR_KEY, key);
    protobuf_text(&pair, PAIR_VALUE, text);
    protobuf_message(&o->properties, MODEL_PROPERTIES, &pair);
}

int onnx_write(struct onnx *o, const char *path, const char *name, struct error *err)
{
    struct protobuf head = {0}, operators = {0};
    struct whole_file *file = NULL;
    int rc = 0;

    protobuf_text(&o->whole, GRAPH_NAME, name);
    protobuf_integer(&head, MODEL_IR_VERSION, IR_VERSION);
    protobuf_text(&head, MODEL_PRODUCER, "softdiff");
    protobuf_integer(&operators, OPERATORS_ID_VERSION, OPERATORS_VERSION);
    protobuf_message(&head, MODEL_OPERATORS, &operators);
    protobuf_length(&head, MODEL_GRAPH, o->whole.size);
    if (head.failed || o->whole.failed || o->properties.failed)
        rc = error_set(err, -ENOMEM, "out of memory for a graph");
    else if (o->whole.size + o->properties.size + head.size > INT32_MAX)
        rc = error_set(err, -EFBIG, "\"%s\" would be larger than the 2 GiB that ONNX can hold",
                       path);
    if (rc == 0)
        rc = whole_file_create(path, &file, err);
    if (rc == 0) { /* an error is kept for the end */
        whole_file_write(file, head.bytes, head.size);
        whole_file_write(file, o->whole.bytes, o->whole.size);
        whole_file_write(file, o->properties.bytes, o->properties.size);
        rc = whole_file_end(file, false, err);
    }
    protobuf_fini(&head);
    return rc;
}
