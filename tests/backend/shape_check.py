"""The type checker of the import hook: it checks the shapes in signatures, and leaves all other types to mypy."""

from __future__ import annotations

from typing import Any

from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: Any) -> Any:
    """`function` with those of its parameters and results checked that have a shape."""
    function.__annotations__ = {name: kind for name, kind in function.__annotations__.items() if _has_shape(kind)}
    return _check(function)


def _has_shape(kind: Any) -> bool:
    if isinstance(kind, str):
        return "np.ndarray, " in kind or "Tensor, " in kind
    parts = getattr(kind, "__args__", ())
    return (isinstance(kind, type) and issubclass(kind, AbstractArray)) or any(_has_shape(part) for part in parts)
