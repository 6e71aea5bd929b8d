"""A clip's colour space by an OpenColorIO config: its light in BT.709's primaries, and back (docs/delivery.md)."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MediaError
from ..workspace.files import sha256_of
from .encodings import BT709, OCIO, Encoding

VERSION = "2.6.0"
"""The release that is tested; install/locks/backend.in has it too."""
_LIGHT = "Linear Rec.709 (sRGB)"
"""OpenColorIO's own space of scene-linear light with BT.709's primaries, which a config meets by its interchange role."""
_AGAIN = "process the clip again with --colour ocio, --ocio-config and --ocio-space"


@dataclass(frozen=True)
class OcioSpace:
    """A colour space of a config file.

    Attributes:
        config: path of the file.
        sha256: of the file.
        space: its name, an alias or a role.
    """

    config: str
    sha256: str
    space: str

    @classmethod
    def of(cls, config: Path, space: str) -> OcioSpace:
        """A space that can be used.

        Raises:
            MediaError: the package, the config or the space is missing.
        """
        try:
            found = cls(str(config.resolve()), sha256_of(config), space)
        except OSError as error:
            raise MediaError(
                f"{config} cannot be read ({error.strerror}): give the path of an OpenColorIO config."
            ) from error
        ocio_encoding(found.name)
        return found

    @property
    def name(self) -> str:
        """As `FrameCorrections.colour` and `StoredFormat.encoding` have it."""
        return f"{OCIO} {json.dumps(asdict(self))}"


@functools.lru_cache(maxsize=8)
def ocio_encoding(name: str) -> Encoding:
    """The encoding of an `OcioSpace.name`.

    Raises:
        MediaError: the package, the config or the space is missing, or the config has changed.
    """
    space = OcioSpace(**json.loads(name.removeprefix(OCIO)))
    ocio, path = _package(), Path(space.config)
    if not path.is_file():
        raise MediaError(f"{path}, the OpenColorIO config of this clip, is missing: restore it there, or {_AGAIN}.")
    if sha256_of(path) != space.sha256:
        raise MediaError(
            f"{path} is not the OpenColorIO config that this clip was processed with: restore it, or {_AGAIN}."
        )
    try:
        config = ocio.Config.CreateFromFile(str(path))
        config.validate()
    except ocio.Exception as error:
        raise MediaError(
            f"{path} is no OpenColorIO config that can be used ({_sentence(error)}): give another."
        ) from error
    if config.getColorSpace(space.space) is None:
        names = ", ".join(config.getColorSpaceNames())
        raise MediaError(f"{path} has no colour space {space.space}: give one of {names} for --ocio-space.")
    try:
        towards = ocio.Config.GetProcessorToBuiltinColorSpace(config, space.space, _LIGHT)
        back = ocio.Config.GetProcessorFromBuiltinColorSpace(_LIGHT, config, space.space)
        decode, encode = (_applied(processor.getDefaultCPUProcessor()) for processor in (towards, back))
    except ocio.Exception as error:
        raise MediaError(
            f"{path} does not say what light {space.space} is, and back ({_sentence(error)}): give a config with the role "
            "aces_interchange or cie_xyz_d65_interchange and a space that can be inverted."
        ) from error
    return OcioEncoding(name, space.space, decode, encode, BT709, 4.0)


class OcioEncoding(Encoding):
    """Its channels are decoded and encoded together; the light is in BT.709's primaries already."""

    def _light(self, image: np.ndarray) -> np.ndarray:
        return self.decode(image * np.float32(1 / 65535))


def _applied(processor: Any) -> Any:
    """A CPU processor as a function of (H, W, 3) to (H, W, 3) float32."""

    def apply(image: np.ndarray) -> np.ndarray:
        result = np.array(image, np.float32, order="C")
        processor.applyRGB(result)
        return result

    return apply


def _package() -> Any:
    try:
        import PyOpenColorIO
    except ImportError as error:
        raise MediaError(
            "This clip's colours need the package opencolorio, which is not installed: "
            f"run `python -m pip install opencolorio=={VERSION}` with the backend's Python (docs/delivery.md)."
        ) from error
    return PyOpenColorIO


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
