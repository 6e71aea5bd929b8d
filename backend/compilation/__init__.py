"""Functions compiled by Numba, kept on disk."""

import functools
import importlib.util


@functools.cache
def has_numba() -> bool:
    """Whether Numba is installed."""
    return importlib.util.find_spec("numba") is not None
