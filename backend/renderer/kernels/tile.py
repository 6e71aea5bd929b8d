"""The field at one tile of 64 samples, compiled: encoding, networks and gates, and their gradients.

Arrays of a tile are (rows, 64) float32. `networks` and `buffers` are the tuples that `packed` and `scratch` make.
"""

from __future__ import annotations

import numpy as np

from ..triplane import PLANES, TriplaneLayout
from .interface import DENSEST_EXPONENT, GATE_HIDDEN, SPHERICAL_HARMONICS, STEEPEST_DENSITY, Networks
from .kernel_cache import njit
from .vectors import TILE, dense, dense_add, float_of_bits, gather, put

_VIEW_ROWS = SPHERICAL_HARMONICS + 1  # words hold two rows each
_PLANES = np.array(PLANES, np.int32)


def layout_arrays(layout: TriplaneLayout) -> tuple[np.ndarray, np.ndarray]:
    """Resolutions (L) and planes (3, 2) as the compiled code takes them."""
    return layout.resolutions(), _PLANES


# -- networks as the compiled code takes them --------------------------------------------------------------------------


def _operand(weight: np.ndarray, words: bool) -> np.ndarray:
    """A weight matrix for `dense`: rows filled up to a multiple of 4, columns to an even number, with zeros."""
    outputs, inputs = weight.shape
    filled = np.zeros((-(-outputs // 4) * 4, inputs + inputs % 2), np.float32)
    filled[:outputs, :inputs] = weight
    if not words:
        return filled
    bits = filled.view(np.uint32)
    halves = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16  # bfloat16: the upper half, rounded to the nearest
    return (halves[:, 0::2] | (halves[:, 1::2] << 16)).view(np.int32)


def packed(networks: Networks, words: bool, backward: bool = False) -> tuple[np.ndarray, ...]:
    """Networks as arrays; `words` for bfloat16 matrix products, `backward` for the transposed matrices as well."""
    first, hidden, colour, out = (
        weight.detach().numpy()
        for weight in (networks.first_weight, networks.hidden_weight, networks.colour_weight, networks.out_weight)
    )
    vectors = (
        networks.first_bias, networks.hidden_bias, networks.colour_bias, networks.gate_weight, networks.gate_bias,
        networks.density_weight, networks.density_bias, networks.out_bias, networks.condition, networks.regions,
    )  # fmt: skip
    arrays = [_operand(weight, words) for weight in (first, hidden, colour)]
    arrays += [np.ascontiguousarray(vector.detach().numpy()) for vector in vectors] + [np.ascontiguousarray(out)]
    if backward:
        arrays += [_operand(weight.T, words) for weight in (first, hidden, colour[:, : hidden.shape[0]])]
    return tuple(arrays)


@njit(nogil=True, error_model="numpy")
def scratch(features, hidden, like):
    """Buffers of one thread; `like` is a packed matrix, whose type the operands of products take."""
    widest = max(features + 1, hidden + _VIEW_ROWS, hidden + GATE_HIDDEN)
    return (
        np.zeros((3, TILE), np.float32),  # points in the unit cube
        np.zeros((features + 4, TILE), np.float32),  # their encoding
        np.zeros((hidden + GATE_HIDDEN, TILE), np.float32),  # the first layer; the gate's behind the density's
        np.zeros((hidden + _VIEW_ROWS, TILE), np.float32),  # the second, and the view's harmonics
        np.zeros((hidden + 4, TILE), np.float32),  # the colour's
        np.zeros((2, TILE), np.float32),  # gates
        np.zeros((2, TILE), np.float32),  # the part of them that is learnt
        np.zeros((4, TILE), np.float32),  # logarithm of the density; colour
        np.zeros((widest, TILE), like.dtype),  # a product's operand
        np.zeros((4, TILE), np.int32),  # vertices
        np.zeros((6, TILE), np.float32),  # their values, and where between them
    )


# -- functions ---------------------------------------------------------------------------------------------------------


@njit(fastmath=True, nogil=True, error_model="numpy", inline="always")
def exponential(x):
    """exp to 3e-6 of its value; written so that LLVM does 16 at once. Clipped to [-80, 80]."""
    x = min(max(x, np.float32(-80.0)), np.float32(80.0)) * np.float32(1.44269504)
    whole = np.floor(x + np.float32(0.5))
    rest = x - whole
    # Taylor series of 2^rest, |rest| <= 1/2.
    value = np.float32(1.5403530e-4)
    value = value * rest + np.float32(1.3333558e-3)
    value = value * rest + np.float32(9.6181291e-3)
    value = value * rest + np.float32(5.5504109e-2)
    value = value * rest + np.float32(2.4022651e-1)
    value = value * rest + np.float32(6.9314718e-1)
    value = value * rest + np.float32(1.0)
    return value * float_of_bits(np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)))


@njit(fastmath=True, nogil=True, error_model="numpy", inline="always")
def _sigmoid(x):
    return np.float32(1.0) / (np.float32(1.0) + exponential(-x))


@njit(fastmath=True, nogil=True, error_model="numpy")
def harmonics(x, y, z, out, s):
    """Column `s` of the view's rows: real spherical harmonics of degrees 0 to 2 of a unit direction."""
    out[0, s] = np.float32(0.28209479)
    out[1, s] = np.float32(-0.48860251) * y
    out[2, s] = np.float32(0.48860251) * z
    out[3, s] = np.float32(-0.48860251) * x
    out[4, s] = np.float32(1.09254843) * x * y
    out[5, s] = np.float32(-1.09254843) * y * z
    out[6, s] = np.float32(0.31539157) * (np.float32(3.0) * z * z - np.float32(1.0))
    out[7, s] = np.float32(-1.09254843) * x * z
    out[8, s] = np.float32(0.54627422) * (x * x - y * y)


@njit(fastmath=True, nogil=True, error_model="numpy")
def encode(points, tables, resolutions, planes, out, vertices, values):
    """Tri-plane hash encoding (Eq. 10, 11) of (3, 64) points into rows of `out`."""
    levels, size = resolutions.shape[0], tables.shape[1]
    mask, prime = np.int32(size - 1), np.int32(-1640531535)  # 2654435761 as a signed number: products wrap alike
    across, down = values[4], values[5]
    for column in range(3 * levels):
        table = tables[column]
        first, second = points[planes[column // levels, 0]], points[planes[column // levels, 1]]
        resolution = resolutions[column % levels]
        scale, top, stride = np.float32(resolution), np.int32(resolution - 1), np.int32(resolution + 1)
        if stride * stride <= size:
            for s in range(TILE):
                u, v = first[s] * scale, second[s] * scale
                i, j = max(min(np.int32(u), top), np.int32(0)), max(min(np.int32(v), top), np.int32(0))
                across[s], down[s] = u - np.float32(i), v - np.float32(j)
                k = np.int32(j * stride + i)
                vertices[0, s], vertices[1, s] = k, k + np.int32(1)
                vertices[2, s], vertices[3, s] = k + stride, k + stride + np.int32(1)
        else:
            for s in range(TILE):
                u, v = first[s] * scale, second[s] * scale
                i, j = max(min(np.int32(u), top), np.int32(0)), max(min(np.int32(v), top), np.int32(0))
                across[s], down[s] = u - np.float32(i), v - np.float32(j)
                row = np.int32(j * prime)
                below, right = np.int32(row + prime), np.int32(i + np.int32(1))
                vertices[0, s], vertices[1, s] = (i ^ row) & mask, (right ^ row) & mask
                vertices[2, s], vertices[3, s] = (i ^ below) & mask, (right ^ below) & mask
        for corner in range(4):
            gather(table, vertices[corner], values[corner])
        for s in range(TILE):
            upper = values[0, s] + across[s] * (values[1, s] - values[0, s])
            lower = values[2, s] + across[s] * (values[3, s] - values[2, s])
            out[column, s] = upper + down[s] * (lower - upper)


@njit(fastmath=True, nogil=True, error_model="numpy")
def _region(points, region, out):
    """How far a region reaches (`field.region_weight`); `region`: centre, radii, steepness, in the unit cube."""
    for s in range(TILE):
        x = (points[0, s] - region[0]) / region[3]
        y = (points[1, s] - region[1]) / region[4]
        z = (points[2, s] - region[2]) / region[5]
        out[s] = _sigmoid(region[6] * (np.float32(1.0) - np.sqrt(x * x + y * y + z * z)))


@njit(fastmath=True, nogil=True, error_model="numpy")
def forward(image, features, tables, resolutions, planes, networks, buffers):
    """The field at the points in `buffers`, seen along the harmonics there, in the frame `image`.

    Leaves gates in buffers[5] and, in buffers[7], the logarithm of the density and the colour.
    """
    first_w, hidden_w, colour_w = networks[0], networks[1], networks[2]
    first_b, hidden_b, colour_b, gate_w, gate_b = networks[3], networks[4], networks[5], networks[6], networks[7]
    density_w, density_b, out_b = networks[8], networks[9], networks[10]
    condition, regions, out_w = networks[11], networks[12], networks[13]
    points, encoding, one, two, three, gates, learnt, out, operand, vertices, values = buffers
    hidden = hidden_b.shape[0]

    encode(points, tables, resolutions, planes, encoding, vertices, values)
    put(encoding, operand, 0, features + features % 2)
    dense(operand, first_w, one, first_w.shape[1], first_w.shape[0])
    for row in range(GATE_HIDDEN):
        line, bias = one[hidden + row], first_b[hidden + row]
        for s in range(TILE):
            line[s] = max(line[s] + bias, np.float32(0.0))
    for gate in range(2):
        line, fixed = learnt[gate], gates[gate]
        _region(points, regions[gate], fixed)
        line[:] = gate_b[gate]
        for row in range(GATE_HIDDEN):
            weight, given = gate_w[gate, row], one[hidden + row]
            for s in range(TILE):
                line[s] += weight * given[s]
        for s in range(TILE):
            line[s] = _sigmoid(line[s])
            fixed[s] *= line[s]
    for row in range(hidden):
        line, bias, by_lips, by_expression = one[row], first_b[row], condition[image, 0, row], condition[image, 1, row]
        for s in range(TILE):
            line[s] = max(line[s] + bias + by_lips * gates[0, s] + by_expression * gates[1, s], np.float32(0.0))
    put(one, operand, 0, hidden)
    dense(operand, hidden_w, two, hidden_w.shape[1], hidden_w.shape[0])
    out[0, :] = density_b[0]
    for row in range(hidden):
        line, bias, weight = two[row], hidden_b[row], density_w[row]
        for s in range(TILE):
            line[s] = max(line[s] + bias, np.float32(0.0))
            out[0, s] += weight * line[s]
    put(two, operand, 0, hidden + _VIEW_ROWS)
    dense(operand, colour_w, three, colour_w.shape[1], colour_w.shape[0])
    for channel in range(3):
        out[1 + channel, :] = out_b[channel]
    for row in range(hidden):
        line, bias = three[row], colour_b[row]
        red, green, blue = out_w[0, row], out_w[1, row], out_w[2, row]
        for s in range(TILE):
            value = max(line[s] + bias, np.float32(0.0))
            line[s] = value
            out[1, s] += red * value
            out[2, s] += green * value
            out[3, s] += blue * value
    for channel in range(1, 4):
        for s in range(TILE):
            out[channel, s] = _sigmoid(out[channel, s])
    for s in range(TILE):
        out[0, s] = min(out[0, s], np.float32(DENSEST_EXPONENT))


# -- gradients ---------------------------------------------------------------------------------------------------------


def gradients(threads: int, images: int, hidden: int) -> tuple[np.ndarray, ...]:
    """Sums of gradients for each thread; matrices are a tile wide, whatever they hold."""
    shapes = (
        (hidden + GATE_HIDDEN, TILE),  # first weight, by the encoding
        (hidden, TILE),  # hidden weight
        (hidden, TILE),  # colour weight, by the hidden layer
        (hidden, TILE),  # and by the view
        (3, hidden + GATE_HIDDEN),  # biases of the three
        (2, GATE_HIDDEN),
        (2,),
        (hidden,),  # density weight
        (1,),
        (3, hidden),  # out weight
        (3,),
        (images, 2, hidden),
    )
    return tuple(np.zeros((threads, *shape), np.float32) for shape in shapes)


@njit(nogil=True, error_model="numpy")
def scratch_backward(features, hidden):
    """More buffers of one thread, for `backward`."""
    return (
        np.zeros((hidden + GATE_HIDDEN, TILE), np.float32),  # gradient of a layer before its ReLU
        np.zeros((hidden + GATE_HIDDEN, TILE), np.float32),
        np.zeros((features + 4, TILE), np.float32),  # of the encoding
        np.zeros((TILE, TILE), np.float32),  # a layer's values, sample by row
        np.zeros((4, TILE), np.float32),  # of the outputs
    )


@njit(fastmath=True, nogil=True, error_model="numpy")
def _transposed(values, first, rows, out):
    """Rows `first` to `first + rows` of (…, 64) as columns of the (64, 64) `out`; columns beyond stay as they are."""
    for corner in range(0, TILE, 16):
        for row in range(rows):
            for s in range(corner, corner + 16):
                out[s, row] = values[first + row, s]


@njit(fastmath=True, nogil=True, error_model="numpy")
def _sum(line):
    total = np.float32(0.0)
    for s in range(TILE):
        total += line[s]
    return total


@njit(fastmath=True, nogil=True, error_model="numpy")
def backward(image, features, networks, buffers, more, sums):
    """Gradients of a tile, whose `forward` has just filled `buffers`.

    Takes the gradients of density and colour from more[4], adds to `sums`, leaves that of the encoding in more[2].
    """
    gate_w, density_w, condition, out_w = networks[6], networks[8], networks[11], networks[13]
    first_t, hidden_t, colour_t = networks[14], networks[15], networks[16]
    encoding, one, two, three, gates, learnt, out, operand = buffers[1:9]
    upper, lower, by_encoding, across, given = more
    d_first, d_hidden, d_colour, d_view, d_bias, d_gate_w, d_gate_b = sums[:7]
    d_density_w, d_density_b, d_out_w, d_out_b, d_condition = sums[7:]
    hidden = density_w.shape[0]

    for channel in range(3):
        line, colour = given[1 + channel], out[1 + channel]
        for s in range(TILE):
            line[s] *= colour[s] * (np.float32(1.0) - colour[s])
        d_out_b[channel] += _sum(line)
    for row in range(hidden):
        line, value = upper[row], three[row]
        red, green, blue = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for s in range(TILE):
            red += given[1, s] * value[s]
            green += given[2, s] * value[s]
            blue += given[3, s] * value[s]
            slope = out_w[0, row] * given[1, s] + out_w[1, row] * given[2, s] + out_w[2, row] * given[3, s]
            line[s] = slope if value[s] > 0 else np.float32(0.0)
        d_out_w[0, row] += red
        d_out_w[1, row] += green
        d_out_w[2, row] += blue
        d_bias[2, row] += _sum(line)
    _transposed(two, 0, hidden, across)
    dense_add(across, upper, d_colour, TILE, hidden)
    _transposed(two, hidden, SPHERICAL_HARMONICS, across)
    dense_add(across, upper, d_view, TILE, hidden)
    put(upper, operand, 0, hidden)
    dense(operand, colour_t, lower, colour_t.shape[1], colour_t.shape[0])

    for s in range(TILE):  # exp, with a bounded slope: one dense sample must not blow a step up
        given[0, s] *= min(exponential(out[0, s]), np.float32(STEEPEST_DENSITY))
    d_density_b[0] += _sum(given[0])
    for row in range(hidden):
        line, value, weight = lower[row], two[row], density_w[row]
        total = np.float32(0.0)
        for s in range(TILE):
            total += given[0, s] * value[s]
            slope = line[s] + weight * given[0, s]
            line[s] = slope if value[s] > 0 else np.float32(0.0)
        d_density_w[row] += total
        d_bias[1, row] += _sum(line)
    _transposed(one, 0, hidden, across)
    dense_add(across, lower, d_hidden, TILE, hidden)
    put(lower, operand, 0, hidden)
    dense(operand, hidden_t, upper, hidden_t.shape[1], hidden_t.shape[0])

    by_gate = given  # its rows have been used
    by_gate[0:2, :] = np.float32(0.0)
    for row in range(hidden):
        line, value = upper[row], one[row]
        by_lips, by_expression = condition[image, 0, row], condition[image, 1, row]
        lips, expression = np.float32(0.0), np.float32(0.0)
        for s in range(TILE):
            slope = line[s] if value[s] > 0 else np.float32(0.0)
            line[s] = slope
            lips += slope * gates[0, s]
            expression += slope * gates[1, s]
            by_gate[0, s] += slope * by_lips
            by_gate[1, s] += slope * by_expression
        d_condition[image, 0, row] += lips
        d_condition[image, 1, row] += expression
    for gate in range(2):
        line = by_gate[gate]
        for s in range(TILE):  # gate = fixed * learnt, and learnt a sigmoid
            line[s] *= gates[gate, s] * (np.float32(1.0) - learnt[gate, s])
        d_gate_b[gate] += _sum(line)
    for row in range(GATE_HIDDEN):
        line, value = upper[hidden + row], one[hidden + row]
        lips, expression = np.float32(0.0), np.float32(0.0)
        for s in range(TILE):
            lips += by_gate[0, s] * value[s]
            expression += by_gate[1, s] * value[s]
            slope = gate_w[0, row] * by_gate[0, s] + gate_w[1, row] * by_gate[1, s]
            line[s] = slope if value[s] > 0 else np.float32(0.0)
        d_gate_w[0, row] += lips
        d_gate_w[1, row] += expression
    for row in range(hidden + GATE_HIDDEN):
        d_bias[0, row] += _sum(upper[row])
    _transposed(encoding, 0, features, across)
    dense_add(across, upper, d_first, TILE, hidden + GATE_HIDDEN)
    put(upper, operand, 0, hidden + GATE_HIDDEN)
    dense(operand, first_t, by_encoding, first_t.shape[1], first_t.shape[0])
