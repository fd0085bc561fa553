/* The arithmetic of plans: convolutions as products of matrices, and what is fused to them. Everything is
 * a dense float array while a graph runs, in the order n, h, w, c. */
#include "tests/cudasim/cudnn.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <math.h>

namespace cudasim
{

using values = std::vector<float>;

static size_t bytes_of(cudnnDataType_t type)
{
    switch (type) {
    case CUDNN_DATA_HALF:
    case CUDNN_DATA_BFLOAT16:
        return 2;
    case CUDNN_DATA_FLOAT:
        return 4;
    default:
        fail("cuDNN: data type %d is not simulated", (int)type);
    }
}

tensor tensor_of(const descriptor *d)
{
    tensor t = {attribute_of(d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_DATA_FLOAT),
                numbers_of(d, CUDNN_ATTR_TENSOR_DIMENSIONS),
                numbers_of(d, CUDNN_ATTR_TENSOR_STRIDES),
                attribute_of<bool>(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, false),
                attribute_of<int64_t>(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, -1),
                attribute_of<int64_t>(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1),
                0,
                1};
    int64_t last = 0;

    if (t.dims.size() != 4 || t.strides.size() != 4)
        fail("cuDNN: a tensor of %zu dimensions is not simulated", t.dims.size());
    for (size_t i = 0; i < 4; i++) {
        last += (t.dims[i] - 1) * t.strides[i];
        t.count *= (size_t)t.dims[i];
    }
    t.bytes = ((size_t)last + 1) * bytes_of(t.type);
    return t;
}

static float read_element(const void *p, cudnnDataType_t type, size_t i)
{
    switch (type) {
    case CUDNN_DATA_HALF:
        return __half2float(static_cast<const __half *>(p)[i]);
    case CUDNN_DATA_BFLOAT16:
        return __bfloat162float(static_cast<const __nv_bfloat16 *>(p)[i]);
    default:
        return static_cast<const float *>(p)[i];
    }
}

static void write_element(void *p, cudnnDataType_t type, size_t i, float value)
{
    switch (type) {
    case CUDNN_DATA_HALF:
        static_cast<__half *>(p)[i] = __float2half_rn(value);
        break;
    case CUDNN_DATA_BFLOAT16:
        static_cast<__nv_bfloat16 *>(p)[i] = __float2bfloat16_rn(value);
        break;
    default:
        static_cast<float *>(p)[i] = value;
    }
}

/* Calls f(i, place) for each element: i-th in our order, and its place in memory. */
template <class F> static void each_element(const tensor &t, F f)
{
    size_t i = 0;

    for (int64_t n = 0; n < t.dims[0]; n++)
        for (int64_t h = 0; h < t.dims[2]; h++)
            for (int64_t w = 0; w < t.dims[3]; w++)
                for (int64_t c = 0; c < t.dims[1]; c++)
                    f(i++, (size_t)(n * t.strides[0] + c * t.strides[1] + h * t.strides[2] +
                                    w * t.strides[3]));
}

/* A graph that runs: the values of its tensors so far. */
class running
{
  public:
    explicit running(const execution *e) : execution_(e)
    {
    }

    const values &read(const tensor &t)
    {
        auto found = values_.find(t.uid);

        if (found != values_.end())
            return found->second;
        const void *p = execution_->pointers.at(t.uid);
        values v(t.count);

        each_element(t, [&](size_t i, size_t at) { v[i] = read_element(p, t.type, at); });
        return values_[t.uid] = std::move(v);
    }

    void write(const tensor &t, values v)
    {
        char one[4];

        if (t.is_virtual) {
            for (float &x : v) {
                write_element(one, t.type, 0, x);
                x = read_element(one, t.type, 0);
            }
        } else {
            void *p = execution_->pointers.at(t.uid);

            each_element(t, [&](size_t i, size_t at) { write_element(p, t.type, at, v[i]); });
        }
        values_[t.uid] = std::move(v);
    }

  private:
    const execution *execution_;
    std::map<int64_t, values> values_;
};

struct convolution {
    tensor x, w, y;
    std::vector<int64_t> padding, stride;
    float alpha;

    size_t pixels() const /* of an image of y */
    {
        return (size_t)(y.dims[2] * y.dims[3]);
    }
    size_t taps() const /* of an output: w is [k][r][s][c] */
    {
        return w.count / (size_t)w.dims[0];
    }
};

/* Calls f(tap, x element) for each run of channels that an output pixel of an image sees. */
template <class F> static void each_tap(const convolution &v, size_t pixel, F f)
{
    const int64_t c = v.x.dims[1], height = v.x.dims[2], width = v.x.dims[3];
    const int64_t q = v.y.dims[3], top = (int64_t)pixel / q * v.stride[0] - v.padding[0],
                  left = (int64_t)pixel % q * v.stride[1] - v.padding[1];

    for (int64_t r = 0; r < v.w.dims[2]; r++)
        for (int64_t s = 0; s < v.w.dims[3]; s++)
            if (top + r >= 0 && top + r < height && left + s >= 0 && left + s < width)
                f((size_t)((r * v.w.dims[3] + s) * c),
                  (size_t)(((top + r) * width + left + s) * c));
}

/* [pixels][taps] of an image. */
static values gather(const convolution &v, const float *image)
{
    const size_t c = (size_t)v.x.dims[1];
    values patches(v.pixels() * v.taps());

    for (size_t p = 0; p < v.pixels(); p++)
        each_tap(v, p, [&](size_t tap, size_t at) {
            memcpy(&patches[p * v.taps() + tap], image + at, c * sizeof(float));
        });
    return patches;
}

static values transpose(const float *m, size_t rows, size_t columns)
{
    values t(rows * columns);

    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            t[j * rows + i] = m[i * columns + j];
    return t;
}

/* matrix_multiply_add() with sums that are rounded after every term. */
static void multiply_add_half(size_t m, size_t n, size_t k, const float *a, const float *b,
                              float *c)
{
    for (size_t row = 0; row < m; row++)
        for (size_t column = 0; column < n; column++) {
            float sum = c[row * n + column];

            for (size_t i = 0; i < k; i++)
                sum = __half2float(__float2half_rn(sum + a[row * k + i] * b[i * n + column]));
            c[row * n + column] = sum;
        }
}

static values forward(const convolution &v, const values &x, const values &w, bool half_sums)
{
    const auto multiply_add = half_sums ? multiply_add_half : matrix_multiply_add;
    const size_t k = (size_t)v.w.dims[0], n = (size_t)v.x.dims[0];
    values filters = transpose(w.data(), k, v.taps());
    values y(v.y.count);

    /* An engine that rounds otherwise for several images, as some real ones do. */
    if (n > 1 && strcmp(cudnn_fault(), "unsteady") == 0)
        for (float &filter : filters)
            filter *= 1 + 0x1p-10f;

    for (size_t i = 0; i < n; i++)
        multiply_add(v.pixels(), k, v.taps(), gather(v, &x[i * (x.size() / n)]).data(),
                     filters.data(), &y[i * (y.size() / n)]);
    return y;
}

static values backward_data(const convolution &v, const values &w, const values &y)
{
    const size_t k = (size_t)v.w.dims[0], n = (size_t)v.x.dims[0], c = (size_t)v.x.dims[1];
    values x(v.x.count);

    for (size_t i = 0; i < n; i++) {
        float *image = &x[i * (x.size() / n)];
        values patches(v.pixels() * v.taps());

        matrix_multiply_add(v.pixels(), v.taps(), k, &y[i * (y.size() / n)], w.data(),
                            patches.data());
        for (size_t p = 0; p < v.pixels(); p++)
            each_tap(v, p, [&](size_t tap, size_t at) {
                for (size_t j = 0; j < c; j++)
                    image[at + j] += patches[p * v.taps() + tap + j];
            });
    }
    return x;
}

static values backward_filter(const convolution &v, const values &x, const values &y)
{
    const size_t k = (size_t)v.w.dims[0], n = (size_t)v.x.dims[0];
    values w(v.w.count);

    for (size_t i = 0; i < n; i++)
        matrix_multiply_add(k, v.taps(), v.pixels(),
                            transpose(&y[i * (y.size() / n)], v.pixels(), k).data(),
                            gather(v, &x[i * (x.size() / n)]).data(), w.data());
    return w;
}

/* Where a kind of convolution keeps what. */
struct names {
    cudnnBackendDescriptorType_t type;
    int x, w, y, description, alpha, beta;
};
static const names NAMES[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

static void run_convolution(running *r, const descriptor *operation, const names &names)
{
    const descriptor *description = descriptor_at(operation, names.description);
    const convolution v = {tensor_of(descriptor_at(operation, names.x)),
                           tensor_of(descriptor_at(operation, names.w)),
                           tensor_of(descriptor_at(operation, names.y)),
                           numbers_of(description, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS),
                           numbers_of(description, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES),
                           attribute_of(operation, names.alpha, 1.0f)};
    const bool half_sums = strcmp(cudnn_fault(), "half-sums") == 0 ||
                           attribute_of(description, CUDNN_ATTR_CONVOLUTION_COMP_TYPE,
                                        CUDNN_DATA_FLOAT) == CUDNN_DATA_HALF;
    values result;

    if (attribute_of(operation, names.beta, 0.0f) != 0)
        fail("cuDNN: a convolution that adds to what is there is not simulated");
    if (names.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
        result = forward(v, r->read(v.x), r->read(v.w), half_sums);
    else if (names.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR)
        result = backward_data(v, r->read(v.w), r->read(v.y));
    else
        result = backward_filter(v, r->read(v.x), r->read(v.y));
    if (v.alpha != 1)
        for (float &value : result)
            value *= v.alpha;
    if (names.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
        r->write(v.y, std::move(result));
    else if (names.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR)
        r->write(v.x, std::move(result));
    else
        r->write(v.w, std::move(result));
}

static float pointwise(cudnnPointwiseMode_t mode, float a, float b)
{
    switch (mode) {
    case CUDNN_POINTWISE_ADD:
        return a + b;
    case CUDNN_POINTWISE_MUL:
        return a * b;
    case CUDNN_POINTWISE_RELU_FWD:
        return a > 0 ? a : 0;
    case CUDNN_POINTWISE_SWISH_FWD:
        return a / (1 + expf(-a));
    case CUDNN_POINTWISE_IDENTITY:
        return a;
    default:
        fail("cuDNN: pointwise mode %d is not simulated", (int)mode);
    }
}

/* The element of t that is broadcast to i, an element of like. */
static size_t broadcast(const tensor &t, const tensor &like, size_t i)
{
    const size_t c = (size_t)like.dims[1], w = (size_t)like.dims[3], h = (size_t)like.dims[2];
    const size_t at[4] = {i / (c * w * h), i % c, i / (c * w) % h, i / c % w};
    size_t index[4];

    for (int d = 0; d < 4; d++)
        index[d] = t.dims[d] == 1 ? 0 : at[d];
    return ((index[0] * (size_t)t.dims[2] + index[2]) * (size_t)t.dims[3] + index[3]) *
               (size_t)t.dims[1] +
           index[1];
}

static void run_pointwise(running *r, const descriptor *operation)
{
    const cudnnPointwiseMode_t mode =
        attribute_of(descriptor_at(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR),
                     CUDNN_ATTR_POINTWISE_MODE, CUDNN_POINTWISE_ADD);
    const tensor x = tensor_of(descriptor_at(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC));
    const tensor y = tensor_of(descriptor_at(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
    const descriptor *second = descriptor_at(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
    const tensor b = second ? tensor_of(second) : x;
    const float alpha1 = attribute_of(operation, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, 1.0f);
    const float alpha2 = attribute_of(operation, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, 1.0f);
    const values &first = r->read(x), &other = r->read(b);
    values result(y.count);

    for (size_t i = 0; i < y.count; i++)
        result[i] =
            pointwise(mode, alpha1 * first[broadcast(x, y, i)], alpha2 * other[broadcast(b, y, i)]);
    r->write(y, std::move(result));
}

static void run_operation(running *r, const descriptor *operation)
{
    if (operation->type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) {
        run_pointwise(r, operation);
        return;
    }
    for (const names &names : NAMES)
        if (names.type == operation->type) {
            run_convolution(r, operation, names);
            return;
        }
    fail("cuDNN: operations of type %d are not simulated", (int)operation->type);
}

void execution_run(void *arg)
{
    const execution *e = static_cast<execution *>(arg);
    running r(e);

    if (e->workspace_bytes > 0) /* the library's: nothing survives in it */
        memset(e->workspace, 0xff, e->workspace_bytes);
    for (const descriptor *operation : descriptors_of(e->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS))
        run_operation(&r, operation);
}

} // namespace cudasim
