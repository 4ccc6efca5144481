# cython: language_level=3
"""SSIMULACRA2's loops, compiled: planes of every scale, and the sums of the maps of two planes.

The same as ``ssimulacra2_arrays``, in single precision, without keeping any map: a strip of columns is blurred row by
row in buffers that stay in the processor's second cache. Other threads run meanwhile.
"""

from libc.math cimport fabsf, sqrtf

import numpy as np

from ziggurat.quality import ssimulacra2_arrays as given

cdef enum:
    REACH = 5  # given.RADIUS
    WINDOW = 2 * REACH + 1
    STRIP = 512  # columns at a time: all buffers together fit the second cache
    LINE = STRIP + 2 * REACH
    MAPS = 4  # that are blurred

cdef float[256] light = given.LIGHT
cdef float[9] opsin = given.OPSIN.reshape(-1)
cdef float[REACH + 1] taps = given.TAPS[REACH:]
cdef float bias = given.BIAS
cdef float root_of_bias = np.cbrt(given.BIAS)
cdef float c2 = given.C2


def pyramid(pixels, counts):
    """Planes (plane, y, x) of every scale, in the order Y, X, B, as many as ``counts`` says.

    Args:
        pixels: uint8 (y, x, 1 or 3).
        counts: planes that each scale needs.
    """
    cdef const unsigned char[:, :, ::1] samples = np.ascontiguousarray(pixels)
    cdef float[:, :, ::1] planes, half, linear
    cdef float[::1] lines = np.empty(6 * pixels.shape[1], np.float32)
    height, width = pixels.shape[:2]
    result = []
    for scale, count in enumerate(counts):
        planes = np.empty((count, height, width), np.float32)
        height, width = (height + 1) // 2, (width + 1) // 2
        half = np.empty((3, height, width), np.float32)
        with nogil:
            if scale == 0:
                _of_samples(samples, planes, half, &lines[0])
            else:
                _of_light(linear, planes, half)
        result.append(planes)
        linear = half
    return result


def sums(const float[:, :, ::1] a, const float[:, :, ::1] b):
    """Sums of the three maps, and of their fourth powers: float64 (plane, power times map).

    Args:
        a: (plane, y, x), at least five rows: beyond an edge they are mirrored once.
        b: of the same shape.
    """
    result = np.zeros((a.shape[0], 6))
    cdef double[:, ::1] values = result
    cdef float[::1] scratch = np.empty((WINDOW * STRIP + LINE) * MAPS, np.float32)
    cdef Py_ssize_t plane
    for plane in range(a.shape[0]):
        with nogil:
            _add_plane(&a[plane, 0, 0], &b[plane, 0, 0], a.shape[1], a.shape[2], &scratch[0], &values[plane, 0])
    return result


cdef void _of_samples(
    const unsigned char[:, :, ::1] samples, float[:, :, ::1] planes, float[:, :, ::1] half, float *lines
) noexcept nogil:
    """Two rows at a time: their light goes into lines, from there to the planes and to the next scale."""
    cdef Py_ssize_t height = samples.shape[0], width = samples.shape[1], bands = samples.shape[2]
    cdef Py_ssize_t y, x, band, row
    cdef float *line
    cdef const unsigned char *sample
    for y in range(0, height, 2):
        for row in range(2):
            for band in range(3):
                line = lines + (3 * row + band) * width
                sample = &samples[min(y + row, height - 1), 0, band if bands == 3 else 0]
                for x in range(width):
                    line[x] = light[sample[x * bands]]
            if y + row < height:
                _perceived(lines + 3 * row * width, width, width, planes, y + row)
        for band in range(3):
            _halved(lines + band * width, lines + (3 + band) * width, width, &half[band, y // 2, 0])


cdef void _of_light(const float[:, :, ::1] linear, float[:, :, ::1] planes, float[:, :, ::1] half) noexcept nogil:
    cdef Py_ssize_t height = linear.shape[1], width = linear.shape[2]
    cdef Py_ssize_t y, band
    for y in range(height):
        _perceived(&linear[0, y, 0], height * width, width, planes, y)
    for y in range(0, height, 2):
        for band in range(3):
            _halved(&linear[band, y, 0], &linear[band, min(y + 1, height - 1), 0], width, &half[band, y // 2, 0])


cdef inline float _root(float x) noexcept nogil:
    """Cube root of 0.0037 to 1.004: a polynomial of the square root, and one step of Halley's; off by 1e-6."""
    cdef float s = sqrtf(x)
    cdef float y = <float>0.06131027 + s * (<float>1.6435181 + s * (<float>-1.3141741 + s * <float>0.62012126))
    cdef float cube = y * y * y
    return y * (cube + x + x) / (cube + cube + x)


cdef void _perceived(
    const float *linear, Py_ssize_t apart, Py_ssize_t width, float[:, :, ::1] planes, Py_ssize_t y
) noexcept nogil:
    """A row of linear RGB, its bands ``apart``, as those of Y, X and B that are wanted."""
    cdef const float *red = linear
    cdef const float *green = linear + apart
    cdef const float *blue = linear + 2 * apart
    cdef float m0 = opsin[0], m1 = opsin[1], m2 = opsin[2], m3 = opsin[3], m4 = opsin[4]
    cdef float m5 = opsin[5], m6 = opsin[6], m7 = opsin[7], m8 = opsin[8]
    cdef float shift = bias, root = root_of_bias
    cdef float one, two, three
    cdef Py_ssize_t x
    cdef float *luma
    cdef float *opponent
    cdef float *rest
    if planes.shape[0] == 0:
        return
    luma = &planes[0, y, 0]
    if planes.shape[0] == 1:
        for x in range(width):
            one = _root(m0 * red[x] + m1 * green[x] + m2 * blue[x] + shift)
            two = _root(m3 * red[x] + m4 * green[x] + m5 * blue[x] + shift)
            luma[x] = (one + two) * <float>0.5 - root + <float>0.01
        return
    opponent = &planes[1, y, 0]
    for x in range(width):
        one = _root(m0 * red[x] + m1 * green[x] + m2 * blue[x] + shift)
        two = _root(m3 * red[x] + m4 * green[x] + m5 * blue[x] + shift)
        luma[x] = (one + two) * <float>0.5 - root + <float>0.01
        opponent[x] = (one - two) * <float>7 + <float>0.42
    if planes.shape[0] == 3:
        rest = &planes[2, y, 0]
        for x in range(width):
            three = _root(m6 * red[x] + m7 * green[x] + m8 * blue[x] + shift)
            rest[x] = three - root - luma[x] + <float>0.56


cdef void _halved(const float *upper, const float *lower, Py_ssize_t width, float *out) noexcept nogil:
    """Means of 2 x 2; at an odd edge of what there is."""
    cdef Py_ssize_t x
    for x in range(width // 2):
        out[x] = (upper[2 * x] + lower[2 * x] + upper[2 * x + 1] + lower[2 * x + 1]) * <float>0.25
    if width % 2:
        out[width // 2] = (upper[width - 1] + lower[width - 1]) * <float>0.5


cdef void _add_plane(
    const float *a, const float *b, Py_ssize_t height, Py_ssize_t width, float *scratch, double *out
) noexcept nogil:
    """Strip by strip; in each, every row is blurred along itself into a ring of rows, and the ring down its columns."""
    cdef float *ring = scratch
    cdef float *lines = scratch + WINDOW * MAPS * STRIP
    cdef Py_ssize_t strip, x0, count, step, y, source, at, slot
    cdef float *rows[WINDOW]
    for strip in range((width + STRIP - 1) // STRIP):
        x0 = strip * STRIP
        count = min(STRIP, width - x0)
        for step in range(-REACH, height + REACH):
            # Half-sample symmetry: the edge row is its own first image.
            source = -1 - step if step < 0 else step
            source = 2 * height - 1 - source if source >= height else source
            slot = (step + REACH) % WINDOW
            _products(a + source * width, b + source * width, x0, count, width, lines)
            for at in range(MAPS):
                _along(lines + at * LINE, count, ring + (slot * MAPS + at) * STRIP)
            y = step - REACH
            if y < 0:
                continue
            for at in range(MAPS):
                for source in range(WINDOW):
                    rows[source] = ring + ((y + source) % WINDOW * MAPS + at) * STRIP
                _down(rows, count, lines + at * LINE)
            _add(a + y * width + x0, b + y * width + x0, lines, count, out)


cdef void _products(
    const float *a, const float *b, Py_ssize_t x0, Py_ssize_t count, Py_ssize_t width, float *lines
) noexcept nogil:
    """Both planes, the sum of their squares and the square of their difference, with zeros beyond the picture.

    The variances are needed as their sum, and the covariance as half of what their sum has over the variance of the
    difference: that is small where the pictures are alike, and single precision then holds it well.
    """
    cdef float *one = lines
    cdef float *two = lines + LINE
    cdef float *squares = lines + 2 * LINE
    cdef float *differences = lines + 3 * LINE
    cdef Py_ssize_t first = max(0, x0 - REACH), last = min(width, x0 + count + REACH)
    cdef Py_ssize_t x, at, into = first - (x0 - REACH)
    cdef float p, q
    a += first
    b += first
    for at in range(MAPS):
        for x in range(into):
            lines[at * LINE + x] = 0
        for x in range(into + last - first, count + 2 * REACH):
            lines[at * LINE + x] = 0
    for x in range(last - first):
        p = a[x]
        q = b[x]
        one[into + x] = p
        two[into + x] = q
        squares[into + x] = p * p + q * q
        differences[into + x] = (p - q) * (p - q)


cdef void _along(const float *line, Py_ssize_t count, float *out) noexcept nogil:
    cdef float t0 = taps[0], t1 = taps[1], t2 = taps[2], t3 = taps[3], t4 = taps[4], t5 = taps[5]
    cdef Py_ssize_t x
    for x in range(count):
        out[x] = (
            t0 * line[x + 5]
            + t1 * (line[x + 4] + line[x + 6])
            + t2 * (line[x + 3] + line[x + 7])
            + t3 * (line[x + 2] + line[x + 8])
            + t4 * (line[x + 1] + line[x + 9])
            + t5 * (line[x] + line[x + 10])
        )


cdef void _down(float **rows, Py_ssize_t count, float *out) noexcept nogil:
    cdef float t0 = taps[0], t1 = taps[1], t2 = taps[2], t3 = taps[3], t4 = taps[4], t5 = taps[5]
    cdef const float *r0 = rows[0]
    cdef const float *r1 = rows[1]
    cdef const float *r2 = rows[2]
    cdef const float *r3 = rows[3]
    cdef const float *r4 = rows[4]
    cdef const float *r5 = rows[5]
    cdef const float *r6 = rows[6]
    cdef const float *r7 = rows[7]
    cdef const float *r8 = rows[8]
    cdef const float *r9 = rows[9]
    cdef const float *r10 = rows[10]
    cdef Py_ssize_t x
    for x in range(count):
        out[x] = (
            t0 * r5[x] + t1 * (r4[x] + r6[x]) + t2 * (r3[x] + r7[x]) + t3 * (r2[x] + r8[x])
            + t4 * (r1[x] + r9[x]) + t5 * (r0[x] + r10[x])
        )


cdef void _add(const float *a, const float *b, const float *lines, Py_ssize_t count, double *out) noexcept nogil:
    """Adds what the maps have in one row."""
    cdef const float *mean_a = lines
    cdef const float *mean_b = lines + LINE
    cdef const float *squares = lines + 2 * LINE
    cdef const float *differences = lines + 3 * LINE
    cdef float constant = c2, one = 1, nothing = 0
    cdef float s1 = 0, s4 = 0, e1 = 0, e4 = 0, d1 = 0, d4 = 0
    cdef float p, q, offset, apart, value
    cdef Py_ssize_t x
    for x in range(count):
        p = mean_a[x]
        q = mean_b[x]
        offset = (p - q) * (p - q)
        # 1 - (1 - offset) * (variances - apart) / variances, without the cancellation.
        apart = (differences[x] - offset) / (squares[x] - p * p - q * q + constant)
        value = apart + offset * (one - apart)
        value = value if value > nothing else nothing
        s1 += value
        value *= value
        s4 += value * value
        value = (one + fabsf(b[x] - q)) / (one + fabsf(a[x] - p)) - one
        apart = value if value > nothing else nothing
        offset = apart - value
        e1 += apart
        d1 += offset
        apart *= apart
        offset *= offset
        e4 += apart * apart
        d4 += offset * offset
    out[0] += s1
    out[1] += e1
    out[2] += d1
    out[3] += s4
    out[4] += e4
    out[5] += d4
