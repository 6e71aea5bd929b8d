"""Building blocks of the compiled kernels that Numba cannot express: tiles of samples in vector registers.

A tile is 64 samples. A quantity of a tile is a C-contiguous (rows, 64) array: row by feature, column by sample. Matrix
products read it as float32 or, where the processor multiplies bfloat16 (AVX-512 BF16), as words of two features
each, `words[i, s] = feature 2i+1 << 16 | feature 2i`. Each block is LLVM code for vectors of 16 lanes, which LLVM fits
to the processor at hand; the type of the arrays chooses between float32 and bfloat16.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ....compilation.processor import processor_features

TILE = 64
_LANES = 16
_GROUPS = TILE // _LANES
_ROWS = 4  # outputs computed together

_BYTE, _SHORT, _WORD, _LONG, _FLOAT = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()


class _BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite has no class for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


_FLOATS, _WORDS = ir.VectorType(_FLOAT, _LANES), ir.VectorType(_WORD, _LANES)
_HALVES, _PAIRS = ir.VectorType(_BFloat(), _LANES), ir.VectorType(_BFloat(), 2 * _LANES)


def _wide() -> bool:
    return bool(processor_features().get("avx512f"))


def _long(value: int) -> ir.Constant:
    return ir.Constant(_LONG, value)


def _all(builder: ir.IRBuilder, value: ir.Value, vector: ir.VectorType) -> ir.Value:
    """`value` in each lane."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(_WORD, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(_WORDS, [0] * _LANES))


def _load(builder: ir.IRBuilder, pointer: ir.Value, vector: ir.VectorType) -> ir.Value:
    return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=4)


def _store(builder: ir.IRBuilder, value: ir.Value, pointer: ir.Value) -> None:
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=4)


def _pointers(context: Any, builder: ir.IRBuilder, kinds: Any, values: Any) -> list[ir.Value]:
    """Where the data of arrays begin."""
    return [context.make_array(kind)(context, builder, value).data for kind, value in zip(kinds, values, strict=False)]


def _product(adds: bool) -> Any:
    """The code of `dense` and `dense_add`: four outputs of all samples at a time, their sums in registers."""

    def typed(typingctx: Any, x: Any, w: Any, y: Any, inputs: Any, outputs: Any) -> Any:
        signature = types.void(x, w, y, types.int64, types.int64)
        paired = x.dtype == types.int32

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            x_at, w_at, y_at = _pointers(context, builder, signature.args[:3], args[:3])
            inputs, outputs = args[3], args[4]
            if paired:
                kind = ir.FunctionType(_FLOATS, [_FLOATS, _PAIRS, _PAIRS])
                multiply = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512bf16.dpbf16ps.512")
            else:
                kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
                multiply = cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.v16f32")
            # 16 registers of sums where there are 32 of 512 bits; elsewhere a vector of 16 lanes is 2 or 4 registers.
            together = _GROUPS if _wide() else 1
            with cgutils.for_range_slice(builder, _long(0), outputs, _long(_ROWS), inc=True) as (output, _):
                for group in range(0, _GROUPS, together):
                    block(builder, multiply, output, group, together, inputs, x_at, w_at, y_at)
            return context.get_dummy_value()

        def block(builder, multiply, output, group, together, inputs, x_at, w_at, y_at) -> None:
            entry = builder.block
            vector = _WORDS if paired else _FLOATS
            rows = [builder.add(output, _long(row)) for row in range(_ROWS)]
            weights = [builder.gep(w_at, [builder.mul(row, inputs)]) for row in rows]
            columns = [_long((group + g) * _LANES) for g in range(together)]
            places = [
                builder.gep(y_at, [builder.add(builder.mul(row, _long(TILE)), column)])
                for row in rows
                for column in columns
            ]
            nought = ir.Constant(_FLOATS, [0.0] * _LANES)
            begin = [_load(builder, place, _FLOATS) if adds else nought for place in places]
            loop, done = builder.append_basic_block("inputs"), builder.append_basic_block("done")
            builder.branch(loop)
            builder.position_at_end(loop)
            index = builder.phi(_LONG)
            index.add_incoming(_long(0), entry)
            sums = [builder.phi(_FLOATS) for _ in begin]
            for item, value in zip(sums, begin, strict=True):
                item.add_incoming(value, entry)
            row = builder.mul(index, _long(TILE))
            given = [_load(builder, builder.gep(x_at, [builder.add(row, column)]), vector) for column in columns]
            if paired:
                given = [builder.bitcast(value, _PAIRS) for value in given]
            results = []
            for number, total in enumerate(sums):
                weight = _all(builder, builder.load(builder.gep(weights[number // together], [index])), vector)
                value = given[number % together]
                arguments = [total, value, builder.bitcast(weight, _PAIRS)] if paired else [value, weight, total]
                results.append(builder.call(multiply, arguments))
            following = builder.add(index, _long(1))
            index.add_incoming(following, loop)
            for item, value in zip(sums, results, strict=True):
                item.add_incoming(value, loop)
            builder.cbranch(builder.icmp_signed("<", following, inputs), loop, done)
            builder.position_at_end(done)
            for place, value in zip(places, results, strict=True):
                _store(builder, value, place)

        return signature, generate

    return typed


@intrinsic
def dense(typingctx, x, w, y, inputs, outputs):
    """y = w x: (inputs, 64) `x`, (outputs, inputs) `w`, both float32 or both words, to (outputs, 64) float32 `y`.

    `inputs` counts rows of `x` (words hold two features each); `outputs` is a multiple of 4.
    """
    return _product(adds=False)(typingctx, x, w, y, inputs, outputs)


@intrinsic
def dense_add(typingctx, x, w, y, inputs, outputs):
    """y += w x; see `dense`."""
    return _product(adds=True)(typingctx, x, w, y, inputs, outputs)


@intrinsic
def put(typingctx, y, x, first, rows):
    """Rows `first` to `first + rows` of float32 `y` to the matrix operand `x`, from its first row: words or float32.

    With words, `rows` is even.
    """
    signature = types.void(y, x, types.int64, types.int64)
    paired = x.dtype == types.int32

    def generate(context, builder, signature, args):
        y_at, x_at = _pointers(context, builder, signature.args[:2], args[:2])
        y_at = builder.gep(y_at, [builder.mul(args[2], _long(TILE))])
        step = 2 if paired else 1
        shorts = ir.VectorType(_SHORT, _LANES)
        with cgutils.for_range_slice(builder, _long(0), args[3], _long(step), inc=True) as (row, _):
            source = builder.gep(y_at, [builder.mul(row, _long(TILE))])
            target = builder.gep(x_at, [builder.mul(builder.sdiv(row, _long(step)), _long(TILE))])
            for group in range(_GROUPS):
                value = _load(builder, builder.gep(source, [_long(group * _LANES)]), _FLOATS)
                if paired:
                    odd = _load(builder, builder.gep(source, [_long(TILE + group * _LANES)]), _FLOATS)
                    low, high = (
                        builder.zext(builder.bitcast(builder.fptrunc(item, _HALVES), shorts), _WORDS)
                        for item in (value, odd)
                    )
                    value = builder.or_(low, builder.shl(high, ir.Constant(_WORDS, [16] * _LANES)))
                _store(builder, value, builder.gep(target, [_long(group * _LANES)]))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def gather(typingctx, table, index, out):
    """out[s] = table[index[s]] for the 64 samples of a tile; `index` is int32."""
    signature = types.void(table, index, out)

    def generate(context, builder, signature, args):
        table_at, index_at, out_at = _pointers(context, builder, signature.args, args)
        for group in range(_GROUPS):
            places = _load(builder, builder.gep(index_at, [_long(group * _LANES)]), _WORDS)
            if _wide():  # LLVM itself would read lane by lane on some processors, at half the speed
                bits, raw = ir.VectorType(ir.IntType(1), _LANES), _BYTE.as_pointer()
                kind = ir.FunctionType(_FLOATS, [_FLOATS, raw, _WORDS, bits, _WORD])
                read = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.mask.gather.dps.512")
                nothing, everywhere = ir.Constant(_FLOATS, ir.Undefined), ir.Constant(bits, [1] * _LANES)
                value = builder.call(
                    read, [nothing, builder.bitcast(table_at, raw), places, everywhere, ir.Constant(_WORD, 4)]
                )
            else:
                value = ir.Constant(_FLOATS, ir.Undefined)
                for lane in range(_LANES):
                    number = ir.Constant(_WORD, lane)
                    place = builder.sext(builder.extract_element(places, number), _LONG)
                    value = builder.insert_element(value, builder.load(builder.gep(table_at, [place])), number)
            _store(builder, value, builder.gep(out_at, [_long(group * _LANES)]))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def float_of_bits(typingctx, bits):
    """The float32 that an int32 is the bits of."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], _FLOAT)

    return types.float32(types.int32), generate
