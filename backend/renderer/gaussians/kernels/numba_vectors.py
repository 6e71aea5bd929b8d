"""The innermost loop of drawing, in vectors of 16 pixels that stay in registers from one Gaussian to the next.

Numba would keep a tile's transmittance and colours in memory. A tile is 4 vectors, each of two rows; what a Gaussian gives in
x is the same for all of them. LLVM fits vectors of 16 lanes to the processor at hand.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

from .constants import CUTOFF, MAX_ALPHA
from .numba_buffers import (
    BLUE,
    CENTRE_X,
    CENTRE_Y,
    DEPTH,
    FORM_XX,
    FORM_XY,
    FORM_YY,
    GREEN,
    HAIR,
    LOG2_OPACITY,
    MOUTH,
    MOVED_X,
    MOVED_Y,
    PACKED,
    PIXELS,
    RED,
    SKIN,
    TILE,
)
from .numba_maths import EXP2

LANES = 16
GROUPS = PIXELS // LANES
_FLOAT, _WORD, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FLOATS, _WORDS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_WORD, LANES)
_FAST = ("nsz", "arcp", "contract", "afn", "reassoc")
_ROUNDS = 1.5 * 2**23  # added to a small number and taken off again, it leaves the nearest whole number


class Vectors:
    """Arithmetic on vectors of 16 floats in LLVM's code."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    def constant(self, values: Any) -> ir.Constant:
        return ir.Constant(_FLOATS, [float(value) for value in values])

    def all(self, value: float | ir.Value) -> ir.Value:
        """`value` in each lane."""
        if isinstance(value, float):
            return self.constant([value] * LANES)
        nothing = ir.Constant(_FLOATS, ir.Undefined)
        first = self.builder.insert_element(nothing, value, ir.Constant(_WORD, 0))
        return self.builder.shuffle_vector(first, nothing, ir.Constant(_WORDS, [0] * LANES))

    def add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.fadd(a, b, flags=_FAST)

    def subtract(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.fsub(a, b, flags=_FAST)

    def multiply(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.fmul(a, b, flags=_FAST)

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        return self.add(self.multiply(a, b), c)

    def least(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)

    def most(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def largest(self, x: ir.Value) -> ir.Value:
        """The largest lane."""
        kind = ir.FunctionType(_FLOAT, [_FLOATS])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.vector.reduce.fmax.v16f32")
        return self.builder.call(function, [x], fastmath=("nnan", "nsz"))

    def exp2_of_negative(self, x: ir.Value) -> ir.Value:
        """2^x for x <= 0, within 8e-5 of itself; below x = -30 it is 2^-30."""
        builder = self.builder
        x = self.most(x, self.all(-30.0))
        shifted = builder.fadd(x, self.all(_ROUNDS))  # without flags: it must round
        rest = builder.fsub(x, builder.fsub(shifted, self.all(_ROUNDS)))
        power = self.all(EXP2[0])
        for coefficient in EXP2[1:]:
            power = self.multiply_add(power, rest, self.all(coefficient))
        exponent = builder.shl(builder.bitcast(shifted, _WORDS), ir.Constant(_WORDS, [23] * LANES))
        return builder.bitcast(builder.add(builder.bitcast(power, _WORDS), exponent), _FLOATS)

    def load(self, pointer: ir.Value, index: int | ir.Value) -> ir.Value:
        place = self.builder.gep(pointer, [long(index) if isinstance(index, int) else index])
        return self.builder.load(self.builder.bitcast(place, _FLOATS.as_pointer()), align=4)

    def store(self, value: ir.Value, pointer: ir.Value, index: int) -> None:
        place = self.builder.gep(pointer, [long(index)])
        self.builder.store(value, self.builder.bitcast(place, _FLOATS.as_pointer()), align=4)

    def number(self, pointer: ir.Value, index: int) -> ir.Value:
        """One float of an array."""
        return self.builder.load(self.builder.gep(pointer, [long(index)]))


def long(value: int) -> ir.Constant:
    return ir.Constant(_LONG, value)


def pointers(context: Any, builder: ir.IRBuilder, kinds: Any, values: Any) -> list[ir.Value]:
    """Where the data of arrays begin."""
    return [context.make_array(kind)(context, builder, value).data for kind, value in zip(kinds, values, strict=True)]


def has_wide_registers() -> bool:
    """Whether the processor that Numba compiles for has 32 registers of 16 floats."""
    known = not config.CPU_NAME or llvm.get_host_cpu_name() == config.CPU_NAME
    return known and bool(llvm.get_host_cpu_features().get("avx512f"))


class Footprint:
    """Alpha of one Gaussian in a tile's pixels, group by group."""

    def __init__(self, vectors: Vectors, row: ir.Value, left: ir.Value, top: ir.Value) -> None:
        self._vectors = v = vectors
        builder = v.builder
        self.dx = v.add(
            v.constant([lane % TILE + 0.5 for lane in range(LANES)]),
            v.all(builder.fsub(left, v.number(row, CENTRE_X))),
        )
        self._y = v.all(builder.fsub(top, v.number(row, CENTRE_Y)))
        xx, xy, yy, opacity = (v.all(v.number(row, k)) for k in (FORM_XX, FORM_XY, FORM_YY, LOG2_OPACITY))
        self._constant = v.multiply_add(v.multiply(xx, self.dx), self.dx, opacity)
        self._linear, self._square = v.multiply(xy, self.dx), yy

    def distance_y(self, group: int) -> ir.Value:
        v = self._vectors
        return v.add(self._y, v.constant([group * (LANES // TILE) + lane // TILE + 0.5 for lane in range(LANES)]))

    def alpha(self, dy: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Before and after it is limited and cut off."""
        v = self._vectors
        full = v.exp2_of_negative(v.multiply_add(v.multiply_add(self._square, dy, self._linear), dy, self._constant))
        cut = v.builder.fsub(v.least(full, v.all(MAX_ALPHA)), v.all(CUTOFF))
        return full, v.most(cut, v.all(0.0))


def row_of(builder: ir.IRBuilder, packed: ir.Value, lists: ir.Value, place: ir.Value) -> ir.Value:
    """Where the packed Gaussian at a place of the lists begins."""
    index = builder.sext(builder.load(builder.gep(lists, [place])), _LONG)
    return builder.gep(packed, [builder.mul(index, long(PACKED))])


def _blends(columns: tuple[int, ...], together: int, keeps_weights: bool = False) -> Any:
    """The code that blends the given columns of packed Gaussians, `together` vectors of a tile at a time.

    It is called with the packed Gaussians, the lists, where in them to begin and end, the tile's left and top, and its state:
    transmittance, then a row of PIXELS for each column. It returns the largest transmittance. With `keeps_weights` it is also
    called with where to write the weights: a row of PIXELS for each Gaussian.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        begin, end, left, top = args[2:6]
        arrays = (0, 1, 6, 7) if keeps_weights else (0, 1, 6)
        found = pointers(context, builder, [signature.args[i] for i in arrays], [args[i] for i in arrays])
        packed_at, lists_at, state_at = found[:3]
        v = Vectors(builder)
        rows, most = range(1 + len(columns)), None
        for first in range(0, GROUPS, together):
            groups = range(first, first + together)
            held = hold(v, state_at, rows, groups)
            with cgutils.for_range_slice(builder, begin, end, long(1), inc=True) as (place, _):
                row_at = row_of(builder, packed_at, lists_at, place)
                footprint = Footprint(v, row_at, left, top)
                values = [v.all(v.number(row_at, column)) for column in columns]
                for group in groups:
                    _, alpha = footprint.alpha(footprint.distance_y(group))
                    passed = builder.load(held[0, group])
                    weight = v.multiply(passed, alpha)
                    builder.store(v.subtract(passed, weight), held[0, group])
                    if keeps_weights:
                        v.store(weight, weights_of(builder, found[3], place, begin), group * LANES)
                    for row, value in enumerate(values, 1):
                        sum_at = held[row, group]
                        builder.store(v.multiply_add(weight, value, builder.load(sum_at)), sum_at)
            release(v, state_at, held)
            for group in groups:
                passed = builder.load(held[0, group])
                most = passed if most is None else v.most(most, passed)
        return v.largest(most)

    if keeps_weights:

        def typed_with_weights(
            typingctx: Any, packed: Any, lists: Any, begin: Any, end: Any, left: Any, top: Any, state: Any, weights: Any
        ) -> Any:
            return types.float32(packed, lists, types.int64, types.int64, left, top, state, weights), generate

        return typed_with_weights

    def typed(typingctx: Any, packed: Any, lists: Any, begin: Any, end: Any, left: Any, top: Any, state: Any) -> Any:
        return types.float32(packed, lists, types.int64, types.int64, left, top, state), generate

    return typed


def _sums(columns: tuple[int, ...], together: int) -> Any:
    """The code that adds the given columns of packed Gaussians times their weights in a tile's pixels, kept while blending.

    It is called with the packed Gaussians, the lists, where in them to begin and end, the weights, and a row of PIXELS for
    each column.
    """

    def typed(typingctx: Any, packed: Any, lists: Any, begin: Any, end: Any, weights: Any, sums: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            arrays = (0, 1, 4, 5)
            packed_at, lists_at, weights_at, sums_at = pointers(
                context, builder, [signature.args[i] for i in arrays], [args[i] for i in arrays]
            )
            begin, end = args[2:4]
            v = Vectors(builder)
            for first in range(0, GROUPS, together):
                groups = range(first, first + together)
                held = hold(v, sums_at, range(len(columns)), groups)
                with cgutils.for_range_slice(builder, begin, end, long(1), inc=True) as (place, _):
                    row_at = row_of(builder, packed_at, lists_at, place)
                    weight_at = weights_of(builder, weights_at, place, begin)
                    weights = [v.load(weight_at, group * LANES) for group in groups]
                    for row, column in enumerate(columns):
                        value = v.all(v.number(row_at, column))
                        for group, weight in zip(groups, weights, strict=True):
                            sum_at = held[row, group]
                            builder.store(v.multiply_add(weight, value, builder.load(sum_at)), sum_at)
                release(v, sums_at, held)
            return context.get_dummy_value()

        return types.void(packed, lists, types.int64, types.int64, weights, sums), generate

    return typed


def hold(v: Vectors, state_at: ir.Value, rows: range, groups: range) -> dict[tuple[int, int], ir.Value]:
    """Rows of PIXELS of a tile in registers, by row and group."""
    return {
        (row, group): cgutils.alloca_once_value(v.builder, v.load(state_at, row * PIXELS + group * LANES))
        for row in rows
        for group in groups
    }


def release(v: Vectors, state_at: ir.Value, held: dict[tuple[int, int], ir.Value]) -> None:
    """Write them back."""
    for (row, group), at in held.items():
        v.store(v.builder.load(at), state_at, row * PIXELS + group * LANES)


def weights_of(builder: ir.IRBuilder, weights: ir.Value, place: ir.Value, begin: ir.Value) -> ir.Value:
    """Where the weights of the Gaussian at a place of the lists are, which begin with those of the place `begin`."""
    return builder.gep(weights, [builder.mul(builder.sub(place, begin), long(PIXELS))])


_HELD = GROUPS if has_wide_registers() else 1
blend_colours = intrinsic(_blends((RED, GREEN, BLUE), _HELD))
blend_colours_and_depth = intrinsic(_blends((RED, GREEN, BLUE, DEPTH), _HELD, keeps_weights=True))
add_mattes = intrinsic(_sums((MOUTH, HAIR, SKIN), _HELD))
add_motion = intrinsic(_sums((MOVED_X, MOVED_Y), _HELD))
