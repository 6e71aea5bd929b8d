"""`export`: the head for other programs, its Gaussians and the face mesh with its 52 shape keys (docs/export.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..progress import Reporter
from .option import CheckedOptions, option

if TYPE_CHECKING:
    from ..delivery.export.splats import Splats
    from ..workspace.face_mesh import FaceMesh
    from ..workspace.store import Workspace

_SUFFIXES = {"ply": (".ply",), "glb": (".glb",), "usd": (".usda", ".usd")}
GAUSSIANS, FACE = "gaussians", "face"


@dataclass(frozen=True)
class Options(CheckedOptions):
    workspace: Path = option("a workspace with a trained Gaussian head", positional=True)
    format: str = option("of the file; PLY has no shape keys, so the face is a GLB beside it", choices=tuple(_SUFFIXES))
    out: Path | None = option("the file (exports/head in the workspace)", None)
    part: str | None = option("this part alone; the face mesh needs no trained head", None, choices=(GAUSSIANS, FACE))


@dataclass(frozen=True)
class Result:
    out: Path
    """The file with the Gaussians, or with the face alone."""
    face: Path | None
    """The file with the face mesh; None without it."""
    gaussians: int
    shape_keys: int


def run(options: Options, reporter: Reporter) -> Result:
    """Write the neutral head.

    Raises:
        UsageError: the file's suffix is not the format's, or PLY was asked for the face.
        ConsentError: the consent of the person shown is not recorded.
        WorkspaceError: there is no Gaussian head, or no face mesh.
    """
    from ..workspace.store import Workspace

    workspace = Workspace.open(options.workspace)
    out = options.out or workspace.root / "exports" / f"head{_SUFFIXES[options.format][0]}"
    if out.suffix.lower() not in _SUFFIXES[options.format]:
        raise UsageError(f"{out}: the name of a {options.format} file must end in {_SUFFIXES[options.format][0]}.")
    if options.format == "ply" and options.part == FACE:
        raise UsageError("PLY has no shape keys: export the face with --format glb or usd.")
    workspace.require_consent()
    face = None if options.part == GAUSSIANS else _face(workspace)
    splats = None if options.part == FACE else _splats(workspace, reporter)
    place = _write(options.format, out, workspace.subject.name, splats, face)
    gaussians = 0 if splats is None else splats.count
    return Result(out, None if face is None else place, gaussians, 0 if face is None else len(face.shape_keys))


def in_words(result: Result) -> str:
    """A line a file."""
    parts = {result.out: [f"{result.gaussians:,} Gaussians"] if result.gaussians else []}
    if result.face is not None:
        parts.setdefault(result.face, []).append(f"the face mesh with {result.shape_keys} shape keys")
    return "\n".join(f"{path}: {' and '.join(held)}" for path, held in parts.items())


def _write(kind: str, out: Path, name: str, splats: Splats | None, face: FaceMesh | None) -> Path:
    """Where the face is, if there is one."""
    from ..delivery.export.gltf import write_glb
    from ..delivery.export.ply import write_ply
    from ..delivery.export.usd import write_usd

    if kind == "ply":
        assert splats is not None
        write_ply(out, splats)
        beside = out.with_name(f"{out.stem}_face.glb")
        if face is not None:
            write_glb(beside, name, None, face)
        return beside
    write = write_glb if kind == "glb" else write_usd
    write(out, name, splats.upright() if splats is not None else None, face)
    return out


def _face(workspace: Workspace) -> FaceMesh:
    from ..delivery.export.splats import upright_face

    return upright_face(workspace.face_mesh())


def _splats(workspace: Workspace, reporter: Reporter) -> Splats:
    from ..delivery.export.splats import Splats
    from ..training import checkpoints
    from ..workspace.checkpoint_index import GAUSSIANS as KIND

    return Splats.of(checkpoints.load_for_rendering(workspace, reporter, KIND).gaussians())
