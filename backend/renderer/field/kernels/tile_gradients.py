"""Gradients of the field at one tile of 64 samples, compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ....compilation.kernel_cache import njit
from .interface import GATE_HIDDEN, SPHERICAL_HARMONICS, STEEPEST_DENSITY, Networks
from .tile import dense_operand, exponential
from .vectors import TILE, dense, dense_add, put


class TransposedWeights(NamedTuple):
    """Operands of `dense` that take a layer's gradient to that of its input."""

    first: np.ndarray
    hidden: np.ndarray
    colour: np.ndarray


class Grads(NamedTuple):
    """Sums of gradients, with a leading axis of threads outside the compiled code; all matrices are a tile wide."""

    first_weight: np.ndarray
    hidden_weight: np.ndarray
    colour_weight: np.ndarray
    """By the hidden layer."""
    view_weight: np.ndarray
    """The colour weight's columns of the view's harmonics."""
    biases: np.ndarray
    """Of the three."""
    gate_weight: np.ndarray
    gate_bias: np.ndarray
    density_weight: np.ndarray
    density_bias: np.ndarray
    out_weight: np.ndarray
    out_bias: np.ndarray
    condition: np.ndarray


class GradScratch(NamedTuple):
    """More buffers of one thread, for `backward`."""

    upper: np.ndarray
    """Gradient of a layer before its ReLU; then that of the layer below."""
    lower: np.ndarray
    d_encoding: np.ndarray
    transposed: np.ndarray
    """A layer's values, one sample per row."""
    d_out: np.ndarray
    """Of the outputs; the caller fills it."""


def transposed_weights(networks: Networks, bfloat16: bool) -> TransposedWeights:
    """Of networks, with matrix products in bfloat16 or float32."""
    first, hidden, colour = (
        weight.detach().numpy() for weight in (networks.first_weight, networks.hidden_weight, networks.colour_weight)
    )
    weights = first, hidden, colour[:, : hidden.shape[0]]
    return TransposedWeights(*(dense_operand(weight.T, bfloat16) for weight in weights))


def zero_grads(threads: int, images: int, hidden: int) -> Grads:
    """Of each thread."""
    shapes = Grads(
        first_weight=(hidden + GATE_HIDDEN, TILE),
        hidden_weight=(hidden, TILE),
        colour_weight=(hidden, TILE),
        view_weight=(hidden, TILE),
        biases=(3, hidden + GATE_HIDDEN),
        gate_weight=(2, GATE_HIDDEN),
        gate_bias=(2,),
        density_weight=(hidden,),
        density_bias=(1,),
        out_weight=(3, hidden),
        out_bias=(3,),
        condition=(images, 2, hidden),
    )
    return Grads(*(np.zeros((threads, *shape), np.float32) for shape in shapes))


@njit(nogil=True, error_model="numpy")
def grads_of(grads, thread):
    """One thread's sums."""
    return Grads(
        grads.first_weight[thread], grads.hidden_weight[thread], grads.colour_weight[thread],
        grads.view_weight[thread], grads.biases[thread], grads.gate_weight[thread], grads.gate_bias[thread],
        grads.density_weight[thread], grads.density_bias[thread], grads.out_weight[thread], grads.out_bias[thread],
        grads.condition[thread],
    )  # fmt: skip


@njit(nogil=True, error_model="numpy")
def grad_scratch(features, hidden):
    """Buffers for a field with this many features and hidden units."""
    return GradScratch(
        np.zeros((hidden + GATE_HIDDEN, TILE), np.float32),
        np.zeros((hidden + GATE_HIDDEN, TILE), np.float32),
        np.zeros((features + 4, TILE), np.float32),
        np.zeros((TILE, TILE), np.float32),
        np.zeros((4, TILE), np.float32),
    )


@njit(fastmath=True, nogil=True, error_model="numpy")
def _transpose(values, first, rows, out):
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
def backward(image, features, networks, transposed, buffers, more, grads):
    """Gradients of a tile, whose `forward` has just filled `buffers`.

    Takes the gradients of density and colour from `more.d_out`, adds to `grads`, leaves that of the encoding in
    `more.d_encoding`.
    """
    _colour_backward(networks, transposed, buffers, more, grads)
    _density_backward(networks, transposed, buffers, more, grads)
    _condition_backward(image, networks, buffers, more, grads)
    _gates_backward(networks, buffers, more, grads)
    upper, d_biases = more.upper, grads.biases
    rows = networks.hidden_bias.shape[0] + GATE_HIDDEN
    for row in range(rows):
        d_biases[0, row] += _sum(upper[row])
    _transpose(buffers.encoding, 0, features, more.transposed)
    dense_add(more.transposed, upper, grads.first_weight, TILE, rows)
    put(upper, buffers.operand, 0, rows)
    dense(buffers.operand, transposed.first, more.d_encoding, transposed.first.shape[1], transposed.first.shape[0])


@njit(fastmath=True, nogil=True, error_model="numpy")
def _colour_backward(networks, transposed, buffers, more, grads):
    """Leaves the gradient of the second layer, by colour, in `more.lower`."""
    out, hidden2, colour_hidden, out_w = buffers.out, buffers.hidden2, buffers.colour_hidden, networks.out_weight
    d_out, upper, hidden = more.d_out, more.upper, networks.hidden_bias.shape[0]
    d_out_weight, d_out_bias, d_biases = grads.out_weight, grads.out_bias, grads.biases
    for channel in range(3):
        line, colour = d_out[1 + channel], out[1 + channel]
        for s in range(TILE):
            line[s] *= colour[s] * (np.float32(1.0) - colour[s])
        d_out_bias[channel] += _sum(line)
    for row in range(hidden):
        line, value = upper[row], colour_hidden[row]
        red, green, blue = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for s in range(TILE):
            red += d_out[1, s] * value[s]
            green += d_out[2, s] * value[s]
            blue += d_out[3, s] * value[s]
            slope = out_w[0, row] * d_out[1, s] + out_w[1, row] * d_out[2, s] + out_w[2, row] * d_out[3, s]
            line[s] = slope if value[s] > 0 else np.float32(0.0)
        d_out_weight[0, row] += red
        d_out_weight[1, row] += green
        d_out_weight[2, row] += blue
        d_biases[2, row] += _sum(line)
    _transpose(hidden2, 0, hidden, more.transposed)
    dense_add(more.transposed, upper, grads.colour_weight, TILE, hidden)
    _transpose(hidden2, hidden, SPHERICAL_HARMONICS, more.transposed)
    dense_add(more.transposed, upper, grads.view_weight, TILE, hidden)
    put(upper, buffers.operand, 0, hidden)
    dense(buffers.operand, transposed.colour, more.lower, transposed.colour.shape[1], transposed.colour.shape[0])


@njit(fastmath=True, nogil=True, error_model="numpy")
def _density_backward(networks, transposed, buffers, more, grads):
    """Adds the gradient by density to `more.lower`; leaves that of the first layer in `more.upper`."""
    out, hidden1, hidden2, density_w = buffers.out, buffers.hidden1, buffers.hidden2, networks.density_weight
    d_density, lower, hidden = more.d_out[0], more.lower, density_w.shape[0]
    d_density_weight, d_biases = grads.density_weight, grads.biases
    for s in range(TILE):  # exp, with a bounded slope: one dense sample must not blow a step up
        d_density[s] *= min(exponential(out[0, s]), np.float32(STEEPEST_DENSITY))
    grads.density_bias[0] += _sum(d_density)
    for row in range(hidden):
        line, value, weight = lower[row], hidden2[row], density_w[row]
        total = np.float32(0.0)
        for s in range(TILE):
            total += d_density[s] * value[s]
            slope = line[s] + weight * d_density[s]
            line[s] = slope if value[s] > 0 else np.float32(0.0)
        d_density_weight[row] += total
        d_biases[1, row] += _sum(line)
    _transpose(hidden1, 0, hidden, more.transposed)
    dense_add(more.transposed, lower, grads.hidden_weight, TILE, hidden)
    put(lower, buffers.operand, 0, hidden)
    dense(buffers.operand, transposed.hidden, more.upper, transposed.hidden.shape[1], transposed.hidden.shape[0])


@njit(fastmath=True, nogil=True, error_model="numpy")
def _condition_backward(image, networks, buffers, more, grads):
    """The first layer's ReLU and conditions; leaves the gradient of the gates in the first rows of `more.d_out`."""
    hidden1, gates, condition = buffers.hidden1, buffers.gates, networks.condition
    upper, d_gates, d_condition = more.upper, more.d_out, grads.condition
    d_gates[0:2, :] = np.float32(0.0)
    for row in range(condition.shape[2]):
        line, value = upper[row], hidden1[row]
        by_lips, by_expression = condition[image, 0, row], condition[image, 1, row]
        lips, expression = np.float32(0.0), np.float32(0.0)
        for s in range(TILE):
            slope = line[s] if value[s] > 0 else np.float32(0.0)
            line[s] = slope
            lips += slope * gates[0, s]
            expression += slope * gates[1, s]
            d_gates[0, s] += slope * by_lips
            d_gates[1, s] += slope * by_expression
        d_condition[image, 0, row] += lips
        d_condition[image, 1, row] += expression


@njit(fastmath=True, nogil=True, error_model="numpy")
def _gates_backward(networks, buffers, more, grads):
    """The network of the gates, whose first layer is behind the density's."""
    hidden1, gates, trained_gates, gate_w = buffers.hidden1, buffers.gates, buffers.trained_gates, networks.gate_weight
    upper, d_gates, hidden = more.upper, more.d_out, networks.hidden_bias.shape[0]
    d_gate_weight, d_gate_bias = grads.gate_weight, grads.gate_bias
    for gate in range(2):
        line = d_gates[gate]
        for s in range(TILE):  # gate = fixed * trained, and trained is a sigmoid
            line[s] *= gates[gate, s] * (np.float32(1.0) - trained_gates[gate, s])
        d_gate_bias[gate] += _sum(line)
    for row in range(GATE_HIDDEN):
        line, value = upper[hidden + row], hidden1[hidden + row]
        lips, expression = np.float32(0.0), np.float32(0.0)
        for s in range(TILE):
            lips += d_gates[0, s] * value[s]
            expression += d_gates[1, s] * value[s]
            slope = gate_w[0, row] * d_gates[0, s] + gate_w[1, row] * d_gates[1, s]
            line[s] = slope if value[s] > 0 else np.float32(0.0)
        d_gate_weight[0, row] += lips
        d_gate_weight[1, row] += expression
