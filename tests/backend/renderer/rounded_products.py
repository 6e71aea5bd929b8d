"""Matrix products of the field's kernels as a GPU takes them in bfloat16, for Triton's interpreter, which does not: their operands
are rounded to it. Imported where `TRITON_INTERPRET` is set."""

from __future__ import annotations

import pytest
import triton
import triton.language as tl

from backend.renderer.field.kernels import triton_field, triton_shading


@triton.jit
def _rounded(x):
    """To the nearest number of 8 bits, of two as near to the even one."""
    bits = x.to(tl.int32, bitcast=True)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & -0x10000
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def product_of_rounded(a, b, DTYPE: tl.constexpr):
    return tl.dot(_rounded(a), _rounded(b), input_precision="ieee")


def round_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on."""
    for module in (triton_field, triton_shading):
        monkeypatch.setattr(module, "product", product_of_rounded)
