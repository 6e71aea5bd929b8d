"""Array types that state element kind and shape: `Float[np.ndarray, "n 4 4"]`, `Bool[np.ndarray, " n"]` (jaxtyping's).

Every typed module imports them from here, below `from __future__ import annotations`. The tests check them at each call;
elsewhere, and in Blender's Python, which has no jaxtyping, they are notes to the reader. One dimension alone is written with
a leading space, or linters take it for a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Annotated as Bool
    from typing import Annotated as Float
    from typing import Annotated as Int
    from typing import Annotated as Num
    from typing import Annotated as Shaped
    from typing import Annotated as UInt8
else:
    try:
        from jaxtyping import Bool, Float, Int, Num, Shaped, UInt8
    except ImportError:
        from typing import Annotated

        Bool = Float = Int = Num = Shaped = UInt8 = Annotated

__all__ = ["Bool", "Float", "Int", "Num", "Shaped", "UInt8"]
