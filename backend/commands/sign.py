"""`sign`: files that Blender rendered with a subject's head get the manifest that `render` gives its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ProvenanceError
from ..progress import Reporter
from ..protocol import SYNTHETIC_NOTE
from .marking import Signer, seal_of
from .option import option

if TYPE_CHECKING:
    from ..workspace.store import Workspace


@dataclass(frozen=True)
class Options(Signer):
    workspace: Path = option("the workspace whose head the files show", positional=True)
    files: tuple[Path, ...] = option(
        "videos and images, or folders of images, that were rendered with it", positional=True, nargs="+"
    )
    alone: bool = option("they show the head alone, and none of the clip's own pixels", False)


@dataclass(frozen=True)
class Result:
    signed: tuple[Path, ...]
    kept: tuple[Path, ...]
    """Those that were signed before and are whole."""
    signed_by: str
    """Whose certificate signed."""


def run(options: Options, reporter: Reporter) -> Result:
    """Sign each file that carries the note or the watermark of this subject; all are checked before the first one is signed.

    Raises:
        ProvenanceError: a file is not of this subject, was changed after it was signed, or cannot be read or signed; the package
            c2pa-python is missing, or the certificate does not suit.
        WorkspaceError: there is no such workspace.
    """
    from ..delivery.provenance.manifest import HEAD_ALONE, OVER_FOOTAGE
    from ..workspace.store import Workspace

    workspace = Workspace.open(options.workspace)
    seal, signed_by = seal_of(options, workspace, None, HEAD_ALONE if options.alone else OVER_FOOTAGE)
    signed: list[Path] = []
    kept: list[Path] = []
    paths = [path for given in options.files for path in _files_in(given)]
    for index, path in enumerate(paths):
        reporter.progress("verifying", index, len(paths))
        (signed if _is_to_be_signed(path, workspace) else kept).append(path)
    for index, path in enumerate(signed):
        reporter.progress("signing", index, len(signed))
        seal.sign(path)
    reporter.progress("signing", len(signed), len(signed))
    return Result(tuple(signed), tuple(kept), signed_by)


def in_words(result: Result) -> str:
    lines = [f"{len(result.signed)} files signed by {result.signed_by}."] if result.signed else []
    if result.kept:
        lines.append(f"{len(result.kept)} files were signed before and are whole.")
    return "\n".join(lines)


def _files_in(path: Path) -> list[Path]:
    """A file itself; of a folder its images, in order.

    Raises:
        ProvenanceError: the folder has none.
    """
    from .verify import EXR, IMAGES

    if not path.is_dir():
        return [path]
    found = sorted(item for item in path.iterdir() if item.suffix.lower() in (*IMAGES, EXR) and item.is_file())
    if not found:
        raise ProvenanceError(f"{path} holds no images: give the folder that Blender rendered into, or a file.")
    return found


def _is_to_be_signed(path: Path, workspace: Workspace) -> bool:
    """Whether a file of this subject is not signed yet.

    Raises:
        ProvenanceError: it is no file of this subject, or was changed after it was signed.
    """
    from ..delivery.provenance.reading import ABSENT, contains, read_manifest
    from .verify import watermarks

    manifest = read_manifest(path)
    if manifest.ours and manifest.is_whole:
        return False
    if manifest.state != ABSENT:
        raise ProvenanceError(
            f"{path} was changed after it was signed, or another program has signed it: render it again, then sign it."
        )
    if contains(path, SYNTHETIC_NOTE.format(subject=workspace.subject.name)):
        return True
    named = watermarks(path).named
    if named and workspace.subject.source_sha256.startswith(named):
        return True
    if named:
        raise ProvenanceError(
            f"{path} shows the head of another clip, by its watermark: sign it with its own workspace."
        )
    raise ProvenanceError(
        f"{path} has neither the watermark nor the note of {workspace.subject.name}: sign what was rendered with this head."
    )
