"""The field at one tile of 64 samples, compiled: encoding, networks and gates.

Arrays of a tile are (rows, 64) float32. The named tuples here are what the compiled code takes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from ....compilation.kernel_cache import njit
from ..triplane import PLANES, TriplaneLayout
from .interface import DENSEST_EXPONENT, GATE_HIDDEN, SPHERICAL_HARMONICS, Networks
from .vectors import TILE, dense, float_of_bits, gather, put

_VIEW_ROWS = SPHERICAL_HARMONICS + 1  # bfloat16 operands hold two rows each
_PLANES = np.array(PLANES, np.int32)


# -- arguments of the compiled code ------------------------------------------------------------------------------------


class Encoding(NamedTuple):
    """The tri-plane hash encoding."""

    tables: np.ndarray
    """(3L, T)."""
    resolutions: np.ndarray
    """(L)."""
    planes: np.ndarray
    """(3, 2)."""


class PackedNetworks(NamedTuple):
    """`interface.Networks` as arrays; the first three are operands of `dense`."""

    first_weight: np.ndarray
    hidden_weight: np.ndarray
    colour_weight: np.ndarray
    first_bias: np.ndarray
    hidden_bias: np.ndarray
    colour_bias: np.ndarray
    gate_weight: np.ndarray
    gate_bias: np.ndarray
    condition: np.ndarray
    density_weight: np.ndarray
    density_bias: np.ndarray
    out_weight: np.ndarray
    out_bias: np.ndarray
    regions: np.ndarray


class Scratch(NamedTuple):
    """Buffers of one thread."""

    points: np.ndarray
    """In the unit cube."""
    encoding: np.ndarray
    hidden1: np.ndarray
    """The first layer; the gate's behind the density's."""
    hidden2: np.ndarray
    """The second layer, and the view's harmonics."""
    colour_hidden: np.ndarray
    gates: np.ndarray
    trained_gates: np.ndarray
    """The gates without their fixed regions."""
    out: np.ndarray
    """Logarithm of the density; colour."""
    operand: np.ndarray
    """Of a product."""
    vertices: np.ndarray
    values: np.ndarray
    """Of the vertices, and the position between them."""


def encoding_arrays(tables: torch.Tensor, layout: TriplaneLayout) -> Encoding:
    """Tables (3L, T) and their layout."""
    return Encoding(tables.detach().numpy(), layout.resolutions(), _PLANES)


def dense_operand(weight: np.ndarray, bfloat16: bool) -> np.ndarray:
    """A weight matrix for `dense`: rows padded to a multiple of 4, columns to an even number, with zeros."""
    outputs, inputs = weight.shape
    padded = np.zeros((-(-outputs // 4) * 4, inputs + inputs % 2), np.float32)
    padded[:outputs, :inputs] = weight
    if not bfloat16:
        return padded
    bits = padded.view(np.uint32)
    halves = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16  # the upper half, rounded to the nearest
    return (halves[:, 0::2] | (halves[:, 1::2] << 16)).view(np.int32)


def pack_networks(networks: Networks, bfloat16: bool) -> PackedNetworks:
    """Networks for the compiled code, with matrix products in bfloat16 or float32."""
    arrays = {name: np.ascontiguousarray(value.detach().numpy()) for name, value in vars(networks).items()}
    for name in ("first_weight", "hidden_weight", "colour_weight"):
        arrays[name] = dense_operand(arrays[name], bfloat16)
    return PackedNetworks(**arrays)


@njit(nogil=True, error_model="numpy")
def scratch(features, hidden, like):
    """Buffers for a field with this many features and hidden units; operands take the type of the matrix `like`."""
    widest = max(features + 1, hidden + _VIEW_ROWS, hidden + GATE_HIDDEN)
    return Scratch(
        np.zeros((3, TILE), np.float32),
        np.zeros((features + 4, TILE), np.float32),
        np.zeros((hidden + GATE_HIDDEN, TILE), np.float32),
        np.zeros((hidden + _VIEW_ROWS, TILE), np.float32),
        np.zeros((hidden + 4, TILE), np.float32),
        np.zeros((2, TILE), np.float32),
        np.zeros((2, TILE), np.float32),
        np.zeros((4, TILE), np.float32),
        np.zeros((widest, TILE), like.dtype),
        np.zeros((4, TILE), np.int32),
        np.zeros((6, TILE), np.float32),
    )


# -- functions ---------------------------------------------------------------------------------------------------------


@njit(fastmath=True, nogil=True, error_model="numpy", inline="always")
def exponential(x):
    """exp to 3e-6 of its value; written so that LLVM does 16 at once. Clipped to [-80, 80]."""
    x = min(max(x, np.float32(-80.0)), np.float32(80.0)) * np.float32(1.44269504)
    integer = np.floor(x + np.float32(0.5))
    fraction = x - integer
    # Taylor series of 2^fraction, |fraction| <= 1/2.
    value = np.float32(1.5403530e-4)
    value = value * fraction + np.float32(1.3333558e-3)
    value = value * fraction + np.float32(9.6181291e-3)
    value = value * fraction + np.float32(5.5504109e-2)
    value = value * fraction + np.float32(2.4022651e-1)
    value = value * fraction + np.float32(6.9314718e-1)
    value = value * fraction + np.float32(1.0)
    return value * float_of_bits(np.int32((np.int32(integer) + np.int32(127)) << np.int32(23)))


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
def encode(encoding, buffers):
    """Tri-plane hash encoding (Eq. 10, 11) of the points in `buffers`."""
    tables, resolutions, planes = encoding.tables, encoding.resolutions, encoding.planes
    points, out, vertices, values = buffers.points, buffers.encoding, buffers.vertices, buffers.values
    levels, size = resolutions.shape[0], tables.shape[1]
    mask, prime = np.int32(size - 1), np.int32(-1640531535)  # 2654435761 as a signed number: products wrap equally
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
def forward(image, encoding, networks, buffers):
    """The field at the points in `buffers`, seen along the harmonics there, in the frame `image`.

    Leaves gates in `buffers.gates` and, in `buffers.out`, the logarithm of the density and the colour.
    """
    features = 3 * encoding.resolutions.shape[0]
    encode(encoding, buffers)
    put(buffers.encoding, buffers.operand, 0, features + features % 2)
    first_w = networks.first_weight
    dense(buffers.operand, first_w, buffers.hidden1, first_w.shape[1], first_w.shape[0])
    _gate(networks, buffers)
    _density(image, networks, buffers)
    _colour(networks, buffers)


@njit(fastmath=True, nogil=True, error_model="numpy")
def _gate(networks, buffers):
    """The network of the gates, whose first layer is behind the density's, times the fixed regions."""
    hidden1, gates, trained_gates = buffers.hidden1, buffers.gates, buffers.trained_gates
    gate_w, first_b, hidden = networks.gate_weight, networks.first_bias, networks.hidden_bias.shape[0]
    for row in range(GATE_HIDDEN):
        line, bias = hidden1[hidden + row], first_b[hidden + row]
        for s in range(TILE):
            line[s] = max(line[s] + bias, np.float32(0.0))
    for gate in range(2):
        line, fixed = trained_gates[gate], gates[gate]
        _region(buffers.points, networks.regions[gate], fixed)
        line[:] = networks.gate_bias[gate]
        for row in range(GATE_HIDDEN):
            weight, value = gate_w[gate, row], hidden1[hidden + row]
            for s in range(TILE):
                line[s] += weight * value[s]
        for s in range(TILE):
            line[s] = _sigmoid(line[s])
            fixed[s] *= line[s]


@njit(fastmath=True, nogil=True, error_model="numpy")
def _density(image, networks, buffers):
    """From the first layer's product to the second layer and the logarithm of the density."""
    hidden1, hidden2, gates, out = buffers.hidden1, buffers.hidden2, buffers.gates, buffers.out
    condition, hidden_w = networks.condition, networks.hidden_weight
    first_b, hidden_b, density_w = networks.first_bias, networks.hidden_bias, networks.density_weight
    hidden = hidden_b.shape[0]
    for row in range(hidden):
        line, bias = hidden1[row], first_b[row]
        by_lips, by_expression = condition[image, 0, row], condition[image, 1, row]
        for s in range(TILE):
            line[s] = max(line[s] + bias + by_lips * gates[0, s] + by_expression * gates[1, s], np.float32(0.0))
    put(hidden1, buffers.operand, 0, hidden)
    dense(buffers.operand, hidden_w, hidden2, hidden_w.shape[1], hidden_w.shape[0])
    out[0, :] = networks.density_bias[0]
    for row in range(hidden):
        line, bias, weight = hidden2[row], hidden_b[row], density_w[row]
        for s in range(TILE):
            line[s] = max(line[s] + bias, np.float32(0.0))
            out[0, s] += weight * line[s]
    for s in range(TILE):
        out[0, s] = min(out[0, s], np.float32(DENSEST_EXPONENT))


@njit(fastmath=True, nogil=True, error_model="numpy")
def _colour(networks, buffers):
    """From the second layer and the view's harmonics."""
    colour_hidden, out, out_w = buffers.colour_hidden, buffers.out, networks.out_weight
    colour_w, colour_b = networks.colour_weight, networks.colour_bias
    hidden = colour_b.shape[0]
    put(buffers.hidden2, buffers.operand, 0, hidden + _VIEW_ROWS)
    dense(buffers.operand, colour_w, colour_hidden, colour_w.shape[1], colour_w.shape[0])
    for channel in range(3):
        out[1 + channel, :] = networks.out_bias[channel]
    for row in range(hidden):
        line, bias = colour_hidden[row], colour_b[row]
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
