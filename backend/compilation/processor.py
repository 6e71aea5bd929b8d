"""What the processor has that Numba compiles for; needs Numba."""

from __future__ import annotations

import llvmlite.binding as llvm
from numba.core import config


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in vectors of 512 bits."""
    return bool(processor_features().get("avx512bf16"))


def processor_features() -> dict[str, bool]:
    """By LLVM's names; empty where Numba compiles for another processor than this."""
    if config.CPU_NAME and llvm.get_host_cpu_name() != config.CPU_NAME:
        return {}
    return dict(llvm.get_host_cpu_features())
