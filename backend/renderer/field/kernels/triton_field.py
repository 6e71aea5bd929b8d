"""The field at a block of samples (Eq. 4, 10 to 12), for Triton: what its kernels of shading and drawing have in common.

A block is a matrix of samples by features, padded to a power of two (at least 16, which a tensor core takes); padding reads
zeros. Weights come as one array, in the order of `Networks`' fields but for the conditions, which are last.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..triplane import HASH_PRIME
from .interface import DENSEST_EXPONENT, GATE_HIDDEN, SPHERICAL_HARMONICS

_GATE = tl.constexpr(GATE_HIDDEN)
_VIEW = tl.constexpr(SPHERICAL_HARMONICS)
VIEW_PADDED = tl.constexpr(16)
_DENSEST = tl.constexpr(DENSEST_EXPONENT)
_PRIME = tl.constexpr(HASH_PRIME)


@triton.jit
def places(FEATURES: tl.constexpr, HIDDEN: tl.constexpr):
    """Where each weight begins in the array of all weights (`triton_kernel.pack`)."""
    first_bias = (HIDDEN + _GATE) * FEATURES
    gate_weight = first_bias + HIDDEN + _GATE
    gate_bias = gate_weight + 2 * _GATE
    hidden_weight = gate_bias + 2
    hidden_bias = hidden_weight + HIDDEN * HIDDEN
    density_weight = hidden_bias + HIDDEN
    density_bias = density_weight + HIDDEN
    colour_weight = density_bias + 1
    colour_bias = colour_weight + HIDDEN * (HIDDEN + _VIEW)
    out_weight = colour_bias + HIDDEN
    out_bias = out_weight + 3 * HIDDEN
    regions = out_bias + 3
    condition = regions + 14
    return (
        first_bias, gate_weight, gate_bias, hidden_weight, hidden_bias, density_weight, density_bias,
        colour_weight, colour_bias, out_weight, out_bias, regions, condition,
    )  # fmt: skip


@triton.jit
def vector(start, size: tl.constexpr, padded: tl.constexpr):
    """`size` numbers and zeros."""
    at = tl.arange(0, padded)
    return tl.load(start + at, mask=at < size, other=0.0)


@triton.jit
def matrix(
    start, row_stride, column_stride, rows: tl.constexpr, columns: tl.constexpr,
    padded_rows: tl.constexpr, padded_columns: tl.constexpr,
):  # fmt: skip
    """(rows, columns) numbers and zeros; a transposed one by its strides."""
    row, column = tl.arange(0, padded_rows)[:, None], tl.arange(0, padded_columns)[None, :]
    inside = (row < rows) & (column < columns)
    return tl.load(start + row * row_stride + column * column_stride, mask=inside, other=0.0)


@triton.jit
def product(a, b, DTYPE: tl.constexpr):
    """Matrix product of two blocks in `DTYPE`, summed in single precision."""
    return tl.dot(a.to(DTYPE), b.to(DTYPE), input_precision="ieee")


@triton.jit
def sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def corners(x, y, z, resolutions, LEVELS: tl.constexpr, LOG2_SIZE: tl.constexpr, PADDED: tl.constexpr):
    """The entries of the tables that samples read, (samples, features) each, and how far samples are between them.

    Returns:
        Indices of the corners (0, 0), (1, 0), (0, 1), (1, 1) in all tables together; fractions along both axes; whether
        a column is a feature.
    """
    size: tl.constexpr = 1 << LOG2_SIZE
    feature = tl.arange(0, PADDED)
    real = feature < 3 * LEVELS
    plane = feature // LEVELS
    resolution = tl.load(resolutions + feature % LEVELS, mask=real, other=1)[None, :]
    # The planes XY, YZ, XZ (`triplane.PLANES`).
    across = tl.where((plane == 1)[None, :], y[:, None], x[:, None]) * resolution
    along = tl.where((plane == 0)[None, :], y[:, None], z[:, None]) * resolution
    i = tl.minimum(tl.maximum(tl.floor(across).to(tl.int32), 0), resolution - 1)
    j = tl.minimum(tl.maximum(tl.floor(along).to(tl.int32), 0), resolution - 1)
    # A hash keeps its lowest bits alone, which depend on the lowest bits of the prime alone: 32 bits are enough.
    prime: tl.constexpr = _PRIME & (size - 1)
    side = resolution + 1
    in_rows = side * side <= size
    table = (tl.minimum(feature, 3 * LEVELS - 1) * size)[None, :]
    h0, h1 = j * prime, (j + 1) * prime
    i00 = table + tl.where(in_rows, j * side + i, (i ^ h0) & (size - 1))
    i10 = table + tl.where(in_rows, j * side + i + 1, ((i + 1) ^ h0) & (size - 1))
    i01 = table + tl.where(in_rows, (j + 1) * side + i, (i ^ h1) & (size - 1))
    i11 = table + tl.where(in_rows, (j + 1) * side + i + 1, ((i + 1) ^ h1) & (size - 1))
    return i00, i10, i01, i11, across - i, along - j, real[None, :]


@triton.jit
def encode(x, y, z, inside, tables, resolutions, LEVELS: tl.constexpr, LOG2_SIZE: tl.constexpr, PADDED: tl.constexpr):
    """Tri-plane hash encoding (Eq. 10, 11), (samples, features)."""
    i00, i10, i01, i11, fu, fv, real = corners(x, y, z, resolutions, LEVELS, LOG2_SIZE, PADDED)
    read = inside[:, None] & real
    near = (1 - fu) * tl.load(tables + i00, mask=read, other=0.0) + fu * tl.load(tables + i10, mask=read, other=0.0)
    far = (1 - fu) * tl.load(tables + i01, mask=read, other=0.0) + fu * tl.load(tables + i11, mask=read, other=0.0)
    return (1 - fv) * near + fv * far


@triton.jit
def spherical_harmonics(x, y, z):
    """(samples, 16) real spherical harmonics of degrees 0 to 2, and zeros."""
    at = tl.arange(0, VIEW_PADDED)[None, :]
    x, y, z = x[:, None], y[:, None], z[:, None]
    result = tl.where(at == 0, 0.28209479, 0.0 * x)
    result = tl.where(at == 1, -0.48860251 * y, result)
    result = tl.where(at == 2, 0.48860251 * z, result)
    result = tl.where(at == 3, -0.48860251 * x, result)
    result = tl.where(at == 4, 1.09254843 * x * y, result)
    result = tl.where(at == 5, -1.09254843 * y * z, result)
    result = tl.where(at == 6, 0.31539157 * (3 * z * z - 1), result)
    result = tl.where(at == 7, -1.09254843 * x * z, result)
    return tl.where(at == 8, 0.54627422 * (x * x - y * y), result)


@triton.jit
def region(x, y, z, start):
    """The soft ellipsoid in which a condition may act (`Networks.regions`)."""
    a = (x - tl.load(start)) / tl.load(start + 3)
    b = (y - tl.load(start + 1)) / tl.load(start + 4)
    c = (z - tl.load(start + 2)) / tl.load(start + 5)
    return sigmoid(tl.load(start + 6) * (1 - tl.sqrt(a * a + b * b + c * c)))


@triton.jit
def gates_of(encoding, x, y, z, weights, FEATURES: tl.constexpr, HIDDEN: tl.constexpr, PADDED: tl.constexpr,
             DTYPE: tl.constexpr):  # fmt: skip
    """Eq. 4: the hidden layer of the gates (samples, 16), then what each network gives and its region, for lips and expression."""
    at = places(FEATURES, HIDDEN)
    weight = matrix(weights + HIDDEN * FEATURES, 1, FEATURES, FEATURES, _GATE, PADDED, _GATE)
    hidden = tl.maximum(product(encoding, weight, DTYPE) + vector(weights + at[0] + HIDDEN, _GATE, _GATE)[None, :], 0.0)
    lips = tl.sum(hidden * vector(weights + at[1], _GATE, _GATE)[None, :], 1) + tl.load(weights + at[2])
    face = tl.sum(hidden * vector(weights + at[1] + _GATE, _GATE, _GATE)[None, :], 1) + tl.load(weights + at[2] + 1)
    in_lips, in_face = region(x, y, z, weights + at[11]), region(x, y, z, weights + at[11] + 7)
    return hidden, sigmoid(lips), sigmoid(face), in_lips, in_face


@triton.jit
def conditions_of(image, inside, weights, FEATURES: tl.constexpr, HIDDEN: tl.constexpr, HIDDEN_PADDED: tl.constexpr):
    """What lip shape and expression of each sample's frame add to the first layer, (samples, hidden) each."""
    at = places(FEATURES, HIDDEN)
    h = tl.arange(0, HIDDEN_PADDED)[None, :]
    start = weights + at[12] + (image * (2 * HIDDEN))[:, None] + h
    read = inside[:, None] & (h < HIDDEN)
    return tl.load(start, mask=read, other=0.0), tl.load(start + HIDDEN, mask=read, other=0.0)


@triton.jit
def layers(encoding, added, view, weights, FEATURES: tl.constexpr, HIDDEN: tl.constexpr, PADDED: tl.constexpr,
           HIDDEN_PADDED: tl.constexpr, DTYPE: tl.constexpr):  # fmt: skip
    """The three hidden layers of density and colour, (samples, hidden) each, and the exponent of density."""
    at = places(FEATURES, HIDDEN)
    first = matrix(weights, 1, FEATURES, FEATURES, HIDDEN, PADDED, HIDDEN_PADDED)
    one = product(encoding, first, DTYPE) + vector(weights + at[0], HIDDEN, HIDDEN_PADDED)[None, :] + added
    one = tl.maximum(one, 0.0)
    second = matrix(weights + at[3], 1, HIDDEN, HIDDEN, HIDDEN, HIDDEN_PADDED, HIDDEN_PADDED)
    two = tl.maximum(product(one, second, DTYPE) + vector(weights + at[4], HIDDEN, HIDDEN_PADDED)[None, :], 0.0)
    exponent = tl.sum(two * vector(weights + at[5], HIDDEN, HIDDEN_PADDED)[None, :], 1) + tl.load(weights + at[6])
    by_hidden = matrix(weights + at[7], 1, HIDDEN + _VIEW, HIDDEN, HIDDEN, HIDDEN_PADDED, HIDDEN_PADDED)
    by_view = matrix(weights + at[7] + HIDDEN, 1, HIDDEN + _VIEW, _VIEW, HIDDEN, VIEW_PADDED, HIDDEN_PADDED)
    three = product(two, by_hidden, DTYPE) + product(view, by_view, DTYPE)
    three = tl.maximum(three + vector(weights + at[8], HIDDEN, HIDDEN_PADDED)[None, :], 0.0)
    return one, two, three, exponent


@triton.jit
def colours_of(three, weights, FEATURES: tl.constexpr, HIDDEN: tl.constexpr, HIDDEN_PADDED: tl.constexpr):
    """Red, green and blue of the last hidden layer, in single precision: fewer bits show as noise."""
    at = places(FEATURES, HIDDEN)
    start, bias = weights + at[9], weights + at[10]
    red = tl.sum(three * vector(start, HIDDEN, HIDDEN_PADDED)[None, :], 1) + tl.load(bias)
    green = tl.sum(three * vector(start + HIDDEN, HIDDEN, HIDDEN_PADDED)[None, :], 1) + tl.load(bias + 1)
    blue = tl.sum(three * vector(start + 2 * HIDDEN, HIDDEN, HIDDEN_PADDED)[None, :], 1) + tl.load(bias + 2)
    return sigmoid(red), sigmoid(green), sigmoid(blue)


@triton.jit
def density_of(exponent):
    return tl.exp(tl.minimum(exponent, _DENSEST))


@triton.jit
def field_at(
    x, y, z, view, image, inside, tables, resolutions, weights, LEVELS: tl.constexpr, LOG2_SIZE: tl.constexpr,
    HIDDEN: tl.constexpr, PADDED: tl.constexpr, HIDDEN_PADDED: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """Density, red, green, blue, and the gates of lips and expression, of a block of samples."""
    FEATURES: tl.constexpr = 3 * LEVELS
    encoding = encode(x, y, z, inside, tables, resolutions, LEVELS, LOG2_SIZE, PADDED)
    _, lips, face, in_lips, in_face = gates_of(encoding, x, y, z, weights, FEATURES, HIDDEN, PADDED, DTYPE)
    lips, face = lips * in_lips, face * in_face
    by_lips, by_face = conditions_of(image, inside, weights, FEATURES, HIDDEN, HIDDEN_PADDED)
    added = lips[:, None] * by_lips + face[:, None] * by_face
    _, _, three, exponent = layers(encoding, added, view, weights, FEATURES, HIDDEN, PADDED, HIDDEN_PADDED, DTYPE)
    red, green, blue = colours_of(three, weights, FEATURES, HIDDEN, HIDDEN_PADDED)
    return density_of(exponent), red, green, blue, lips, face
