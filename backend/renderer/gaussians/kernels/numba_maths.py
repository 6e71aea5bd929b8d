"""Elementary functions of the compiled rasteriser, made of arithmetic alone so that loops which call them become vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ....compilation.kernel_cache import njit

F = np.float32
LOG2E = F(1.4426950408889634)
OPTIONS: dict[str, Any] = {
    "fastmath": {"nsz", "arcp", "contract", "afn", "reassoc"},  # NaN and infinity are tested for
    "nogil": True,
    "error_model": "numpy",
}

EXP2 = (0.0551716639, 0.242611137, 0.693260988, 0.999928073)
"""Minimax of 2^x on [-0.5, 0.5], the highest power first: within 8e-5, and without a step at the interval's ends."""
VECTOR_OPTIONS: dict[str, Any] = {**OPTIONS, "fastmath": False}
"""For callers of `numba_vectors`, which says itself where rounding matters: Numba would mark all of its instructions."""


@intrinsic
def _float_of_bits(typingctx: Any, bits: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def _bits_of_float(typingctx: Any, value: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), generate


@njit(**OPTIONS)
def exp2_of_negative(x):
    """2^x for x <= 0, within 8e-5 of itself; below x = -30 it is 2^-30. The same as that of `numba_vectors`."""
    x = max(x, F(-30.0))
    nearest = np.floor(x + F(0.5))
    rest = x - nearest
    power = F(EXP2[0])
    power = power * rest + F(EXP2[1])
    power = power * rest + F(EXP2[2])
    power = power * rest + F(EXP2[3])
    return power * _float_of_bits(np.int32((np.int32(nearest) + np.int32(127)) << np.int32(23)))


@njit(**OPTIONS)
def exp2(x):
    """2^x, within 2e-7 of itself, from 2^-126 to 2^127; a NaN remains one. Taylor's series on [-0.5, 0.5]."""
    bounded = min(max(x, F(-126.0)), F(127.0))
    nearest = np.floor(bounded + F(0.5))
    rest = bounded - nearest
    power = F(1.540353e-4)
    power = power * rest + F(1.3333558e-3)
    power = power * rest + F(9.6181291e-3)
    power = power * rest + F(5.5504109e-2)
    power = power * rest + F(2.4022651e-1)
    power = power * rest + F(6.9314718e-1)
    power = power * rest + F(1.0)
    power *= _float_of_bits(np.int32((np.int32(nearest) + np.int32(127)) << np.int32(23)))
    return power if x == x else x


@njit(**OPTIONS)
def log2(x):
    """Logarithm of a normal positive number, within 1e-6. The series of atanh after the exponent is taken off."""
    bits = _bits_of_float(x)
    exponent = (bits - np.int32(0x3F3504F3)) >> np.int32(23)
    mantissa = _float_of_bits(np.int32(bits - (exponent << np.int32(23))))
    s = (mantissa - F(1.0)) / (mantissa + F(1.0))
    square = s * s
    series = F(1.0) + square * (F(1.0 / 3.0) + square * (F(0.2) + square * F(1.0 / 7.0)))
    return F(exponent) + F(2.0) * LOG2E * s * series


@njit(**OPTIONS)
def sigmoid(x):
    """1 / (1 + exp(-x)); it stays above 1e-19."""
    return F(1.0) / (F(1.0) + exp2(min(max(-x, F(-43.0)), F(43.0)) * LOG2E))
