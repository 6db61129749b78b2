/* Integer kernels of exported networks. Portable C99, and DSP instructions where the compiler targets a Cortex-M4 or M7.
 *
 * Contract of all kernels, which the exporter keeps:
 * - Tensors are int8_t, row by row, channels last, at any address; weights are within ±127. Weights, rows of constants
 *   and patches are aligned to 4 bytes (ldrd needs it).
 * - Products are summed in 32 bits. |sum| <= 2^30 for all inputs that their types can hold, and with the bias of a ReLU
 *   (below 2^30) times 2^gain it stays within 32 bits; so does every partial sum of scaled value, offset and skip.
 *   shift is 0 to 30. Negative values are shifted right arithmetically, and multiplied instead of shifted left.
 * - A kernel writes its output pixel by pixel, in order, after it has read what these pixels need; its input, or a skip
 *   that nothing reads later, may overlap the output as the exporter planned it (network/firmware/arena.py).
 */
#ifndef INT8_KERNELS_H
#define INT8_KERNELS_H

#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) && defined(__ARM_FEATURE_DSP) && __ARM_ARCH == 7
#define KERNELS_USE_DSP 1
#else
#define KERNELS_USE_DSP 0
#endif

/* Kernels are stored once, not as a copy for each layer. */
#if defined(__GNUC__) && !defined(__clang__)
#define KERNELS_ALIGNED __attribute__((aligned(4)))
#define KERNELS_FUNCTION static __attribute__((noinline, noclone, unused))
#elif defined(__clang__)
#define KERNELS_ALIGNED __attribute__((aligned(4)))
#define KERNELS_FUNCTION static __attribute__((noinline, unused))
#else
#define KERNELS_ALIGNED
#define KERNELS_FUNCTION static inline
#endif

/* What the network's layers have, so that nothing else takes up flash. */
#ifndef KERNELS_TAPS
#define KERNELS_TAPS 2        /* the most taps of a depthwise kernel, at least 2 */
#define KERNELS_TABLES 1      /* activations other than ReLU */
#define KERNELS_RELUS 1       /* a ReLU before a multiplication; 2: in every convolution but the logits' */
#define KERNELS_MIDDLE_RELUS 1 /* a ReLU between two convolutions */
#define KERNELS_FOURS 1       /* 1×1 convolutions of up to four channels */
#define KERNELS_PROJECTIONS 1 /* skips with a 1×1 convolution */
#define KERNELS_REPEATS 1     /* depthwise kernels with several outputs per channel */
#endif

/* From a sum of products to an output value. Rows of constants, one per channel: the bias (only with `relu`), multiplier,
 * offset, and the multiplier of what is added (only with a skip). */
struct finish {
    const int32_t *rows;
    const int8_t *table; /* the activation, by value + 128; NULL: none */
    uint8_t row_length, gain, shift;
    uint8_t relu; /* whether a ReLU precedes the multiplication */
    int8_t has_skip;
    int16_t low; /* the least value between two convolutions */
};

/* What is added to a layer's output. */
struct skip {
    const int8_t *weights; /* of a 1×1 convolution, packed as those of the layer; NULL: the tensor itself */
    uint16_t width, channels;
    uint8_t stride;
    uint8_t is_copied; /* other channels than the output: copied ahead */
    uint8_t repeats;   /* output channels per channel of the skip */
};

/* A convolution: weights packed as pairs of output channels, four values of each in turn. */
struct conv {
    struct finish finish;
    struct skip skip;
    const int8_t *weights;
    const int8_t *padding; /* one pixel: the zero point of each channel */
    uint16_t in_height, in_width, in_channels, out_height, out_width, out_channels, groups;
    uint8_t kernel, stride, dilation, before; /* `before`: padding at the top and at the left */
};

/* A depthwise convolution of some channels. Weights by fours of channels, of which each pair of taps t, u has
 * 0t 1t 0u 1u 2t 3t 2u 3u, and the last tap 0 1 2 3. */
struct depthwise {
    struct finish finish;
    struct skip skip;
    const int8_t *weights;
    const int8_t *padding;
    uint16_t in_height, in_width, in_channels, out_height, out_width, out_channels;
    uint16_t first, channels; /* the output channels of this kernel */
    uint8_t kernel, stride, dilation, before, repeats;
};

/* Depthwise convolutions and a 1×1 convolution, pixel by pixel: no map between them. */
struct separable {
    const struct depthwise *parts;
    uint8_t part_count;
    struct conv pointwise;
};

struct elementwise {
    struct finish finish;
    struct skip skip;
    uint16_t height, width, channels;
};

struct pool {
    uint16_t in_height, in_width, channels, rows, columns; /* the window, cut at the edges */
    int32_t multipliers[4];                                /* whole window, cut at the right, at the bottom, both */
    int32_t offset;
    uint8_t gain, shift;
};

/* The high 32 bits of a · b, rounded down, added to `sum`; the result must be within 32 bits. */
static inline int32_t kernels_add_product(int32_t sum, int32_t a, int32_t b)
{
#if KERNELS_USE_DSP
    int32_t result;
    __asm__("smmla %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
#else
    return sum + (int32_t)(((int64_t)a * b) >> 32);
#endif
}

/* The nearest int8_t of any value. */
static inline int32_t kernels_saturate(int32_t value)
{
#if KERNELS_USE_DSP
    __asm__("ssat %0, #8, %0" : "+r"(value));
    return value;
#else
    return value < INT8_MIN ? INT8_MIN : value > INT8_MAX ? INT8_MAX : value;
#endif
}

/* The nearest value of 13 bits that is not below `low`, which is 0 or -4096. */
static inline int32_t kernels_saturate_middle(int32_t value, int32_t low)
{
#if KERNELS_USE_DSP
    __asm__("ssat %0, #13, %0" : "+r"(value));
    return KERNELS_MIDDLE_RELUS && value < low ? low : value;
#else
    return value < low ? low : value > 4095 ? 4095 : value;
#endif
}

#if KERNELS_USE_DSP
static inline uint32_t kernels_word(const int8_t *x) /* four bytes from any address */
{
    uint32_t word;
    memcpy(&word, x, 4);
    return word;
}

static inline uint32_t kernels_even(uint32_t word) /* bytes 0 and 2 as 16 bits each */
{
    uint32_t pair;
    __asm__("sxtb16 %0, %1" : "=r"(pair) : "r"(word));
    return pair;
}

static inline uint32_t kernels_odd(uint32_t word) /* bytes 1 and 3 */
{
    uint32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
}

static inline uint32_t kernels_pair(int32_t a, int32_t b) /* the lower 16 bits of both */
{
    uint32_t pair;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(pair) : "r"(a), "r"(b));
    return pair;
}

static inline int32_t kernels_add_pair(int32_t sum, uint32_t a, uint32_t b) /* both products of 16 bits */
{
    int32_t result;
    __asm__("smlad %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

static inline int32_t kernels_add_low(int32_t sum, uint32_t a, uint32_t b) /* the product of the lower 16 bits */
{
    int32_t result;
    __asm__("smlabb %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

static inline int32_t kernels_add_high(int32_t sum, uint32_t a, uint32_t b) /* that of the upper 16 bits */
{
    int32_t result;
    __asm__("smlatt %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}
#endif

/* Patches: the values that the dot products of two pixels run over, with 16 bits each: four of the first pixel, four of
 * the second, and so on. With DSP instructions the order of each four is 0, 2, 1, 3. */
static inline void kernels_put(int16_t *patch, int32_t a, int32_t b, int32_t c, int32_t d)
{
    patch[0] = (int16_t)a;
    patch[KERNELS_USE_DSP ? 2 : 1] = (int16_t)b;
    patch[KERNELS_USE_DSP ? 1 : 2] = (int16_t)c;
    patch[3] = (int16_t)d;
}

/* Append the channels of one pixel to its patch, filled up with zeros to a multiple of four; return the patch behind.
 * Reads exactly `channels` bytes, from any address; `patch` is aligned to 4 bytes and gets every other four values. */
static inline int16_t *kernels_put_channels(int16_t *patch, const int8_t *x, int channels)
{
    int c = 0;
    for (; c + 4 <= channels; c += 4, patch += 8) {
#if KERNELS_USE_DSP
        const uint32_t word = kernels_word(x + c), even = kernels_even(word), odd = kernels_odd(word);
        memcpy(patch, &even, 4);
        memcpy(patch + 2, &odd, 4);
#else
        kernels_put(patch, x[c], x[c + 1], x[c + 2], x[c + 3]);
#endif
    }
    if (c < channels) {
        kernels_put(patch, x[c], c + 1 < channels ? x[c + 1] : 0, c + 2 < channels ? x[c + 2] : 0, 0);
        patch += 8;
    }
    return patch;
}

/* The sums of two patches with the weights of two channels: sums[pixel][channel], over `groups` >= 1 times four values.
 * Returns the weights of the next two channels. Patch values have up to 13 bits; patch and weights are aligned to 4. */
static inline const int8_t *kernels_dot(const int16_t *patch, const int8_t *weights, int groups, int32_t sums[2][2])
{
    int32_t a = 0, b = 0, c = 0, d = 0;
#if KERNELS_USE_DSP
    const int8_t *const end = weights + 8 * groups;
    uint32_t x0, x1, v0, v1, w0, w1;
    __asm__("1:\n\t"
            "ldrd %[w0], %[w1], [%[w]], #8\n\t"
            "ldrd %[x0], %[x1], [%[x]], #8\n\t"
            "sxtb16 %[v0], %[w0], ror #8\n\t"
            "sxtb16 %[w0], %[w0]\n\t"
            "sxtb16 %[v1], %[w1], ror #8\n\t"
            "sxtb16 %[w1], %[w1]\n\t"
            "smlad %[a], %[x0], %[w0], %[a]\n\t"
            "smlad %[b], %[x0], %[w1], %[b]\n\t"
            "smlad %[a], %[x1], %[v0], %[a]\n\t"
            "smlad %[b], %[x1], %[v1], %[b]\n\t"
            "ldrd %[x0], %[x1], [%[x]], #8\n\t"
            "cmp %[w], %[end]\n\t"
            "smlad %[c], %[x0], %[w0], %[c]\n\t"
            "smlad %[d], %[x0], %[w1], %[d]\n\t"
            "smlad %[c], %[x1], %[v0], %[c]\n\t"
            "smlad %[d], %[x1], %[v1], %[d]\n\t"
            "bne 1b"
            : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [x] "+r"(patch), [w] "+r"(weights), [x0] "=&r"(x0),
              [x1] "=&r"(x1), [v0] "=&r"(v0), [v1] "=&r"(v1), [w0] "=&r"(w0), [w1] "=&r"(w1)
            : [end] "r"(end)
            : "cc", "memory");
#else
    for (; groups > 0; groups--, patch += 8, weights += 8)
        for (int i = 0; i < 4; i++) {
            a += patch[i] * weights[i];
            b += patch[i] * weights[4 + i];
            c += patch[4 + i] * weights[i];
            d += patch[4 + i] * weights[4 + i];
        }
#endif
    sums[0][0] = a;
    sums[0][1] = b;
    sums[1][0] = c;
    sums[1][1] = d;
    return weights;
}

/* The part of the value that the sum gives, before the shift: high32((sum or its ReLU) << gain · multiplier) + offset.
 * Constants are passed by value: the compiler has to take into account that a stored int8_t may change anything that is
 * read through a pointer. */
static inline int32_t kernels_scaled(const struct finish f, const int32_t *row, int32_t sum)
{
    if (KERNELS_RELUS && f.relu) {
        sum += *row++;
        sum = sum < 0 ? 0 : sum;
    }
    return kernels_add_product(row[1], sum * (1 << f.gain), row[0]);
}

/* The output value of any scaled value: shifted, saturated, and looked up where there is an activation. */
static inline int8_t kernels_value(const struct finish f, int32_t scaled)
{
    const int32_t value = kernels_saturate(scaled >> f.shift);
    return (int8_t)(!KERNELS_TABLES || f.table == NULL ? value : f.table[value + 128]);
}

/* A value between two convolutions: 13 bits from `low` to 4095, or 8 from a table; no ReLU precedes its
 * multiplication. */
static inline int32_t kernels_middle_value(const struct finish f, const int32_t *row, int32_t sum)
{
    const int32_t scaled = kernels_add_product(row[1], sum * (1 << f.gain), row[0]) >> f.shift;
    return !KERNELS_TABLES || f.table == NULL ? kernels_saturate_middle(scaled, f.low)
                                              : f.table[kernels_saturate(scaled) + 128];
}

/* The pixel of the skip that belongs to an output pixel; where its channels differ, its values repeated or followed by
 * zeros in `copy`, which has room for `channels`. */
static inline const int8_t *kernels_skip_pixel(const struct skip *s, const int8_t *x, int row, int column, int channels,
                                               int8_t *copy)
{
    x += (row * s->width + column) * s->stride * s->channels;
    if (!s->is_copied)
        return x;
    for (int c = 0; c < channels; c++)
        copy[c] = c / s->repeats < s->channels ? x[c / s->repeats] : 0;
    return copy;
}

/* Fill one pixel's patch with the values under the kernel, tap by tap; taps outside the map read the zero points. */
static inline void kernels_put_patch(const struct conv *l, const int8_t *x, int row, int column, int16_t *patch)
{
    const int channels = l->in_channels / l->groups;
    for (int i = 0; i < l->kernel; i++) {
        const int y = row * l->stride - l->before + i * l->dilation;
        for (int j = 0; j < l->kernel; j++) {
            const int z = column * l->stride - l->before + j * l->dilation;
            const int is_inside = y >= 0 && y < l->in_height && z >= 0 && z < l->in_width;
            patch = kernels_put_channels(patch, is_inside ? x + (y * l->in_width + z) * l->in_channels : l->padding,
                                         channels);
        }
    }
}

/* What two pixels have: patches, skips, and where their values go. A single pixel stands for both. */
struct pixels {
    const int16_t *patch, *skip_patch;
    const int8_t *skip;
    int8_t *y;
    int skip_distance, distance; /* from the first pixel's values to the second's */
};

/* One output channel of two pixels from their sums; `factor` multiplies the skip. */
static inline void kernels_store(const struct finish f, const int32_t *row, int32_t a, int32_t b, const int8_t *skip,
                                 int skip_distance, int8_t *y, int distance)
{
    a = kernels_scaled(f, row, a);
    b = kernels_scaled(f, row, b);
    if (f.has_skip) {
        const int32_t factor = row[f.row_length - 1];
        a += skip[0] * factor;
        b += skip[skip_distance] * factor;
    }
    y[0] = kernels_value(f, a);
    y[distance] = kernels_value(f, b);
}

/* `count` output channels of two pixels, from `row` and `weights` on; `groups` times four values each. Returns the
 * weights behind, where a last odd channel has a partner of zeros. */
static inline const int8_t *kernels_multiply_each(const struct finish f, struct pixels p, int groups,
                                                  const int8_t *weights, const int32_t *row, int count)
{
    int32_t sums[2][2];
#if KERNELS_USE_DSP && KERNELS_FOURS
    if (groups == 1) { /* the patches fit in registers */
        uint32_t x[4];
        memcpy(x, p.patch, sizeof x);
        for (int c = 0; c < count; c++, row += f.row_length) {
            const uint32_t w = kernels_word(weights + 4 * c), even = kernels_even(w), odd = kernels_odd(w);
            kernels_store(f, row, kernels_add_pair(kernels_add_pair(0, x[0], even), x[1], odd),
                          kernels_add_pair(kernels_add_pair(0, x[2], even), x[3], odd), p.skip + c, p.skip_distance,
                          p.y + c, p.distance);
        }
        return weights + 4 * (count + count % 2);
    }
#endif
    for (; count > 0; count -= 2) {
        weights = kernels_dot(p.patch, weights, groups, sums);
        kernels_store(f, row, sums[0][0], sums[1][0], p.skip, p.skip_distance, p.y, p.distance);
        if (count > 1)
            kernels_store(f, row + f.row_length, sums[0][1], sums[1][1], p.skip + 1, p.skip_distance, p.y + 1, p.distance);
        row += 2 * f.row_length;
        p.y += 2;
        p.skip += 2;
    }
    return weights;
}

/* As kernels_multiply_each(), where the skip has a 1×1 convolution. */
static inline const int8_t *kernels_multiply_projected(const struct conv *l, const struct pixels p, int groups,
                                                       const int8_t *weights, int first, int end)
{
    const struct finish f = l->finish;
    const int skip_groups = (l->skip.channels + 3) / 4;
    const int pairs = (end - first + 1) / 2; /* of a group of channels; an odd last one has a partner of zeros */
    const int8_t *skip_weights = l->skip.weights + first / (end - first) * pairs * skip_groups * 8;
    const int32_t *row = f.rows + first * f.row_length;
    int32_t sums[2][2], added[2][2];
    for (int c = first; c < end; c += 2) {
        weights = kernels_dot(p.patch, weights, groups, sums);
        skip_weights = kernels_dot(p.skip_patch, skip_weights, skip_groups, added);
        for (int i = 0; i < 2 && c + i < end; i++, row += f.row_length) {
            const int32_t factor = row[f.row_length - 1];
            const int32_t a = kernels_scaled(f, row, sums[0][i]), b = kernels_scaled(f, row, sums[1][i]);
            p.y[c + i] = kernels_value(f, kernels_add_product(a, added[0][i] * (1 << f.gain), factor));
            p.y[c + i + p.distance] = kernels_value(f, kernels_add_product(b, added[1][i] * (1 << f.gain), factor));
        }
    }
    return weights;
}

/* Output channels `first` to `end` of two pixels, from `groups` times four values each; returns the weights behind. */
KERNELS_FUNCTION const int8_t *kernels_multiply(const struct conv *l, const struct pixels *pixels, int groups,
                                                const int8_t *weights, int first, int end)
{
    struct finish f = l->finish;
    struct pixels p = *pixels;
    if (KERNELS_PROJECTIONS && l->skip.weights != NULL)
        return kernels_multiply_projected(l, p, groups, weights, first, end);
    p.y += first;
    p.skip += first;
    f.relu = KERNELS_RELUS == 2 ? 1 : f.relu;
    const int32_t *row = f.rows + first * f.row_length;
    if (f.has_skip)
        return kernels_multiply_each(f, p, groups, weights, row, end - first);
    f.has_skip = 0; /* known to the compiler */
    return kernels_multiply_each(f, p, groups, weights, row, end - first);
}

/* Fill in the skips of two pixels and where their values go; `pixel` is the first one's position. */
static inline void kernels_prepare(const struct conv *l, const int8_t *skip, int8_t *y, int pixel, const int rows[2],
                                   const int columns[2], int16_t *skip_patch, struct pixels *pixels)
{
    const int8_t *skips[2] = {l->weights, l->weights}; /* not read without a skip */
    pixels->skip_patch = skip_patch;
    pixels->y = y + pixel * l->out_channels;
    pixels->distance = pixel + 1 < l->out_height * l->out_width ? l->out_channels : 0;
    for (int p = 0; p < 2; p++) {
        if (KERNELS_PROJECTIONS && l->skip.weights != NULL)
            kernels_put_channels(skip_patch + 4 * p,
                                 skip + (rows[p] * l->skip.width + columns[p]) * l->skip.stride * l->skip.channels,
                                 l->skip.channels);
        else if (l->finish.has_skip)
            skips[p] = kernels_skip_pixel(&l->skip, skip, rows[p], columns[p], l->out_channels,
                                          (int8_t *)skip_patch + p * l->out_channels);
    }
    pixels->skip = skips[0];
    pixels->skip_distance = (int)(skips[1] - skips[0]);
}

/* A convolution. `patch` has room for two pixels: 4 bytes per value of a patch and of a projected skip, and a copied
 * skip's channels. Two pixels are read before they are written (groups of channels one after another). */
KERNELS_FUNCTION void kernels_conv(const struct conv *l, const int8_t *x, const int8_t *skip, int8_t *y, int16_t *patch)
{
    const int last = l->out_height * l->out_width - 1;
    const int in_channels = l->in_channels / l->groups, out_channels = l->out_channels / l->groups;
    const int groups = l->kernel * l->kernel * ((in_channels + 3) / 4);
    struct pixels pixels;
    pixels.patch = patch;
    for (int pixel = 0; pixel <= last; pixel += 2) {
        const int second = pixel < last ? pixel + 1 : last;
        const int rows[2] = {pixel / l->out_width, second / l->out_width};
        const int columns[2] = {pixel % l->out_width, second % l->out_width};
        const int8_t *weights = l->weights;
        kernels_prepare(l, skip, y, pixel, rows, columns, patch + 8 * groups, &pixels);
        for (int group = 0; group < l->groups; group++) {
            for (int p = 0; p < 2; p++)
                kernels_put_patch(l, x + group * in_channels, rows[p], columns[p], patch + 4 * p);
            weights = kernels_multiply(l, &pixels, groups, weights, group * out_channels, (group + 1) * out_channels);
        }
    }
}

/* A dense layer whose results are the 32-bit logits, neither shifted nor saturated; `patch` has room for the input
 * twice. */
KERNELS_FUNCTION void kernels_logits(const struct conv *l, const int8_t *x, int32_t *logits, int16_t *patch)
{
    const int groups = (l->in_channels + 3) / 4;
    const int8_t *weights = l->weights;
    const int32_t *row = l->finish.rows;
    int32_t sums[2][2];
    kernels_put_channels(patch, x, l->in_channels);
    kernels_put_channels(patch + 4, x, l->in_channels);
    for (int c = 0; c < l->out_channels; c += 2) {
        weights = kernels_dot(patch, weights, groups, sums);
        for (int i = 0; i < 2 && c + i < l->out_channels; i++, row += l->finish.row_length)
            logits[c + i] = kernels_scaled(l->finish, row, sums[0][i]);
    }
}

/* Where the values of each tap of a depthwise kernel are; outside the map, the zero points. Reads nothing. */
static inline void kernels_find_taps(const struct depthwise *d, const int8_t *x, int row, int column,
                                     const int8_t *taps[KERNELS_TAPS])
{
    const int top = row * d->stride - d->before, left = column * d->stride - d->before;
    const int reach = d->dilation * (d->kernel - 1), step = d->dilation * d->in_channels;
    const int is_inner = top >= 0 && left >= 0 && top + reach < d->in_height && left + reach < d->in_width;
    for (int i = 0; i < d->kernel; i++) {
        const int y = top + i * d->dilation;
        const int8_t *tap = x + (y * d->in_width + left) * d->in_channels;
        for (int j = 0; j < d->kernel; j++, tap += step) {
            const int z = left + j * d->dilation;
            const int is_inside = is_inner || (y >= 0 && y < d->in_height && z >= 0 && z < d->in_width);
            *taps++ = is_inside ? tap : d->padding;
        }
    }
}

#if KERNELS_USE_DSP
/* The sums of the four channels from `channel` on, two taps at a time; returns the weights behind. `w` and `taps` are
 * aligned to 4 bytes, the values that they point to are not. */
static inline const int8_t *kernels_four_sums(const int8_t *const *taps, int tap_count, const int8_t *w, int channel,
                                              int32_t sums[4])
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    if (tap_count > 1) {
        uint32_t x, y, a, u, v;
        __asm__("1:\n\t"
                "ldrd %[x], %[y], [%[taps]], #8\n\t"
                "ldr %[x], [%[x], %[channel]]\n\t"
                "ldr %[y], [%[y], %[channel]]\n\t"
                "ldr %[v], [%[w]], #4\n\t"
                "pkhbt %[a], %[x], %[y], lsl #16\n\t"
                "pkhtb %[y], %[y], %[x], asr #16\n\t"
                "sxtb16 %[x], %[a]\n\t"
                "sxtb16 %[u], %[v]\n\t"
                "smlad %[s0], %[x], %[u], %[s0]\n\t"
                "sxtb16 %[a], %[a], ror #8\n\t"
                "sxtb16 %[v], %[v], ror #8\n\t"
                "smlad %[s1], %[a], %[v], %[s1]\n\t"
                "ldr %[v], [%[w]], #4\n\t"
                "cmp %[taps], %[end]\n\t"
                "sxtb16 %[x], %[y]\n\t"
                "sxtb16 %[u], %[v]\n\t"
                "smlad %[s2], %[x], %[u], %[s2]\n\t"
                "sxtb16 %[y], %[y], ror #8\n\t"
                "sxtb16 %[v], %[v], ror #8\n\t"
                "smlad %[s3], %[y], %[v], %[s3]\n\t"
                "bne 1b"
                : [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [taps] "+r"(taps), [w] "+r"(w),
                  [x] "=&r"(x), [y] "=&r"(y), [a] "=&r"(a), [u] "=&r"(u), [v] "=&r"(v)
                : [channel] "r"(channel), [end] "r"(taps + (tap_count & ~1))
                : "cc", "memory");
    }
    if (tap_count & 1) {
        const uint32_t x = kernels_word(*taps + channel), v = kernels_word(w), a = kernels_even(x), c = kernels_odd(x),
                       e = kernels_even(v), o = kernels_odd(v);
        s0 = kernels_add_low(s0, a, e);
        s1 = kernels_add_low(s1, c, o);
        s2 = kernels_add_high(s2, a, e);
        s3 = kernels_add_high(s3, c, o);
        w += 4;
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
    return w;
}
#endif

/* The sums of up to four channels, from `c` of this kernel's: portable, also with several outputs per channel. */
static inline void kernels_depthwise_sums(const struct depthwise *d, const int8_t *const *taps, const int8_t *w, int c,
                                          int32_t sums[4])
{
    const int tap_count = d->kernel * d->kernel, pairs = tap_count / 2 * 2;
    for (int i = 0; i < 4 && c + i < d->channels; i++) {
        const int channel = !KERNELS_REPEATS || d->repeats == 1 ? d->first + c + i : (d->first + c + i) / d->repeats;
        const int8_t *weight = w + (i & 1) + (i & 2) * 2;
        int32_t sum = 0;
        for (int t = 0; t < pairs; t += 2, weight += 8)
            sum += taps[t][channel] * weight[0] + taps[t + 1][channel] * weight[2];
        sums[i] = sum + (pairs < tap_count ? taps[pairs][channel] * w[4 * pairs + i] : 0);
    }
}

/* The values of one depthwise kernel at one pixel, 13 bits each, into the pixel's patch; its padding stays as it is. */
KERNELS_FUNCTION void kernels_put_depthwise(const struct depthwise *d, const int8_t *const *taps, int16_t *patch)
{
    const struct finish f = d->finish;
    const int32_t *row = f.rows;
    const int8_t *w = d->weights;
    const int tap_count = d->kernel * d->kernel, first = d->first, channels = d->channels;
    int c = 0;
#if KERNELS_USE_DSP
    if (first % 4 == 0 && (!KERNELS_REPEATS || d->repeats == 1))
        for (int16_t *four = patch + first * 2; c + 4 <= channels; c += 4, row += 8, four += 8) {
            int32_t s[4];
            w = kernels_four_sums(taps, tap_count, w, first + c, s);
            const uint32_t values[2] = {
                kernels_pair(kernels_middle_value(f, row, s[0]), kernels_middle_value(f, row + 4, s[2])),
                kernels_pair(kernels_middle_value(f, row + 2, s[1]), kernels_middle_value(f, row + 6, s[3]))};
            memcpy(four, values, sizeof values);
        }
#endif
    for (; c < channels; c += 4, w += 4 * tap_count) {
        int32_t sums[4];
        kernels_depthwise_sums(d, taps, w, c, sums);
        for (int i = 0; i < 4 && c + i < channels; i++, row += 2) {
            const int k = first + c + i, order = KERNELS_USE_DSP ? (k & 1) * 2 + (k >> 1 & 1) : k & 3;
            patch[(k >> 2) * 8 + order] = (int16_t)kernels_middle_value(f, row, sums[i]);
        }
    }
}

/* Depthwise parts and the 1×1 convolution behind them, two pixels at a time, which are read before they are written.
 * `patch` has room as for kernels_conv(). */
KERNELS_FUNCTION void kernels_separable(const struct separable *l, const int8_t *x, const int8_t *skip, int8_t *y,
                                        int16_t *patch)
{
    const struct conv *const conv = &l->pointwise;
    const int last = conv->out_height * conv->out_width - 1, groups = (conv->in_channels + 3) / 4;
    const int8_t *taps[KERNELS_TAPS];
    struct pixels pixels;
    pixels.patch = patch;
    memset(patch, 0, 16 * (size_t)groups);
    for (int pixel = 0; pixel <= last; pixel += 2) {
        const int second = pixel < last ? pixel + 1 : last;
        const int rows[2] = {pixel / conv->out_width, second / conv->out_width};
        const int columns[2] = {pixel % conv->out_width, second % conv->out_width};
        for (int p = 0; p < 2; p++)
            for (int i = 0; i < l->part_count; i++) {
                kernels_find_taps(l->parts + i, x, rows[p], columns[p], taps);
                kernels_put_depthwise(l->parts + i, taps, patch + 4 * p);
            }
        kernels_prepare(conv, skip, y, pixel, rows, columns, patch + 8 * groups, &pixels);
        kernels_multiply(conv, &pixels, groups, conv->weights, 0, conv->out_channels);
    }
}

/* Depthwise convolutions by themselves, pixel by pixel; `scratch` has room for a copied skip's channels. */
KERNELS_FUNCTION void kernels_depthwise(const struct depthwise *parts, int part_count, const int8_t *x,
                                        const int8_t *skip, int8_t *y, int16_t *scratch)
{
    const int pixels = parts->out_height * parts->out_width;
    const int8_t *taps[KERNELS_TAPS], *added = NULL;
    for (int pixel = 0; pixel < pixels; pixel++, y += parts->out_channels) {
        const int row = pixel / parts->out_width, column = pixel % parts->out_width;
        if (parts->finish.has_skip)
            added = kernels_skip_pixel(&parts->skip, skip, row, column, parts->out_channels, (int8_t *)scratch);
        for (int i = 0; i < part_count; i++) {
            const struct depthwise *const d = parts + i;
            const struct finish f = d->finish;
            const int32_t *constants = f.rows;
            int32_t sums[4];
            kernels_find_taps(d, x, row, column, taps);
            const int8_t *w = d->weights;
            for (int c = 0; c < d->channels; c += 4, w += 4 * d->kernel * d->kernel) {
#if KERNELS_USE_DSP
                if (c + 4 <= d->channels && (!KERNELS_REPEATS || d->repeats == 1))
                    kernels_four_sums(taps, d->kernel * d->kernel, w, d->first + c, sums);
                else
#endif
                    kernels_depthwise_sums(d, taps, w, c, sums);
                for (int k = 0; k < 4 && c + k < d->channels; k++, constants += f.row_length) {
                    int32_t scaled = kernels_scaled(f, constants, sums[k]);
                    if (f.has_skip)
                        scaled += added[d->first + c + k] * constants[f.row_length - 1];
                    y[d->first + c + k] = kernels_value(f, scaled);
                }
            }
        }
    }
}

/* A batch norm, an activation or an addition by itself, element by element: `x` may be `y`. Products of 8 bits with
 * their constants, offset and skip are within 32 bits. */
KERNELS_FUNCTION void kernels_elementwise(const struct elementwise *l, const int8_t *x, const int8_t *skip, int8_t *y,
                                          int16_t *scratch)
{
    const struct finish f = l->finish;
    const int8_t *added = NULL;
    for (int row = 0; row < l->height; row++)
        for (int column = 0; column < l->width; column++, x += l->channels, y += l->channels) {
            const int32_t *constants = f.rows;
            if (f.has_skip)
                added = kernels_skip_pixel(&l->skip, skip, row, column, l->channels, (int8_t *)scratch);
            for (int c = 0; c < l->channels; c++, constants += f.row_length) {
                int32_t scaled = x[c] * constants[0] + constants[1];
                if (f.has_skip)
                    scaled += added[c] * constants[2];
                y[c] = kernels_value(f, scaled);
            }
        }
}

/* The greatest value of each window, which is cut at the edges; windows do not overlap. Any values, no constants. */
KERNELS_FUNCTION void kernels_max_pool(const struct pool *l, const int8_t *x, int8_t *y)
{
    for (int top = 0; top < l->in_height; top += l->rows)
        for (int left = 0; left < l->in_width; left += l->columns) {
            const int bottom = top + l->rows < l->in_height ? top + l->rows : l->in_height;
            const int right = left + l->columns < l->in_width ? left + l->columns : l->in_width;
            for (int c = 0; c < l->channels; c++) {
                int greatest = INT8_MIN;
                for (int i = top; i < bottom; i++)
                    for (int j = left; j < right; j++) {
                        const int value = x[(i * l->in_width + j) * l->channels + c];
                        greatest = value > greatest ? value : greatest;
                    }
                *y++ = (int8_t)greatest;
            }
        }
}

/* The mean of each window: 128 · values per window · 2^gain is within 32 bits. */
KERNELS_FUNCTION void kernels_avg_pool(const struct pool *l, const int8_t *x, int8_t *y)
{
    for (int top = 0; top < l->in_height; top += l->rows)
        for (int left = 0; left < l->in_width; left += l->columns) {
            const int bottom = top + l->rows < l->in_height ? top + l->rows : l->in_height;
            const int right = left + l->columns < l->in_width ? left + l->columns : l->in_width;
            const int32_t multiplier = l->multipliers[(bottom - top < l->rows) * 2 + (right - left < l->columns)];
            for (int c = 0; c < l->channels; c++) {
                int32_t sum = 0;
                for (int i = top; i < bottom; i++)
                    for (int j = left; j < right; j++)
                        sum += x[(i * l->in_width + j) * l->channels + c];
                sum = kernels_add_product(l->offset, sum * (1 << l->gain), multiplier);
                *y++ = (int8_t)kernels_saturate(sum >> l->shift);
            }
        }
}

/* Raw pixels 0–255 as int8_t, in place. */
static inline void kernels_center_pixels(uint8_t *x, int count)
{
    for (int i = 0; i < count; i++)
        x[i] ^= 0x80;
}

#endif
