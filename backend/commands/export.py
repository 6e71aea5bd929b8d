"""`export`: the head for other programs, its Gaussians and the face mesh with its 52 shape keys, still or as a take moves them
(docs/export.md); a motion as a take of Live Link Face (docs/capture.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..progress import Reporter
from .marking import Signature, open_seal, sign_speech
from .option import CheckedOptions, option

if TYPE_CHECKING:
    from ..delivery.export.splats import Splats
    from ..delivery.export.take import Take
    from ..training.checkpoints import Checkpoint
    from ..workspace.face_mesh import FaceMesh
    from ..workspace.store import Workspace

LIVE_LINK = "livelink"
SUFFIXES = {"ply": (".ply",), "glb": (".glb",), "usd": (".usda", ".usd"), LIVE_LINK: (".csv",)}
"""Of the files of each format, the usual one first."""
GAUSSIANS, FACE = "gaussians", "face"


@dataclass(frozen=True)
class Options(Signature, CheckedOptions):
    workspace: Path = option("a workspace with a trained Gaussian head", positional=True)
    format: str = option(
        "of the file; PLY has no shape keys, so the face is a GLB beside it; livelink is the motion alone, as CSV",
        choices=tuple(SUFFIXES),
    )
    out: Path | None = option("the file (exports/head in the workspace, exports/take with --animation)", None)
    part: str | None = option("this part alone; the face mesh needs no trained head", None, choices=(GAUSSIANS, FACE))
    animation: Path | None = option(
        "animation.npz of speak, capture or Blender: its motion and camera, with the audio beside the file; without it "
        "livelink has the clip's own motion",
        None,
    )
    frames: tuple[int, ...] = option(
        "these frames of it alone, counted from 0, the last one included", (), metavar=("FIRST", "LAST"), nargs=2
    )


@dataclass(frozen=True)
class Result:
    out: Path
    """The file with the Gaussians, or with the face alone."""
    face: Path | None
    """The file with the face mesh; None without it."""
    gaussians: int
    shape_keys: int
    frames: int
    """Of the animation; 0 without one."""
    audio: Path | None
    """The animation's audio; None where there is none."""
    signed_by: str
    """Whose certificate signed the manifests beside the files; empty where there are none."""


def run(options: Options, reporter: Reporter) -> Result:
    """Write the neutral head.

    Raises:
        UsageError: the file's suffix is not the format's, PLY was asked for the face or for motion, or the animation has no such frames.
        AudioError: the animation's audio cannot be read.
        ProvenanceError: the certificate does not suit, or signing failed, which leaves the files unsigned.
        ConsentError: the consent of the person shown is not recorded.
        WorkspaceError: there is no Gaussian head, or no face mesh.
    """
    from ..delivery.provenance.manifest import MODEL, MOTION
    from ..workspace.store import Workspace

    workspace = Workspace.open(options.workspace)
    stem = "head" if options.animation is None else "take"
    out = options.out or workspace.root / "exports" / f"{stem}{SUFFIXES[options.format][0]}"
    if out.suffix.lower() not in SUFFIXES[options.format]:
        raise UsageError(f"{out}: the name of a {options.format} file must end in {SUFFIXES[options.format][0]}.")
    if options.format == "ply" and options.part == FACE:
        raise UsageError("PLY has no shape keys: export the face with --format glb or usd.")
    if options.format == "ply" and options.animation is not None:
        raise UsageError("PLY has no motion: export the animation with --format glb, usd or livelink.")
    if options.frames and (options.animation is None or options.format == LIVE_LINK):
        raise UsageError("--frames chooses of an animation as glb or usd: give --animation FILE.")
    workspace.require_consent()
    has_head = options.part != FACE and options.format != LIVE_LINK
    head = _head(workspace, reporter) if has_head else None
    content = MOTION if options.format == LIVE_LINK else MODEL
    seal, signed_by = open_seal(options, workspace, head, content, reporter)
    if options.format == LIVE_LINK:
        frames, audio = _write_motion(workspace, options.animation, out)
        result = Result(out, None, 0, 0, frames, audio, signed_by)
    else:
        take = None if options.animation is None else _take(workspace, options.animation, options.frames)
        face = None if options.part == GAUSSIANS else _face(workspace)
        splats = None if head is None else _splats(head)
        audio = None if take is None else take.write_audio(out.with_suffix(".wav"))
        place = _write(options.format, out, workspace.subject.name, splats, face, take)
        gaussians, shape_keys = 0 if splats is None else splats.count, 0 if face is None else len(face.shape_keys)
        frames = 0 if take is None else take.frames
        result = Result(out, None if face is None else place, gaussians, shape_keys, frames, audio, signed_by)
    if seal is not None:
        for path in dict.fromkeys([result.out] if result.face is None else [result.out, result.face]):
            seal.sign(path)
    recording = None if options.animation is None else workspace.animation(options.animation).audio
    sign_speech(seal, result.audio, recording, workspace)
    return result


def in_words(result: Result) -> str:
    """A line a file."""
    parts = {result.out: [f"{result.gaussians:,} Gaussians"] if result.gaussians else []}
    if result.face is not None:
        parts.setdefault(result.face, []).append(f"the face mesh with {result.shape_keys} shape keys")
    if result.frames:
        what = (
            "motion before the camera" if result.gaussians or result.face else "ARKit's 52 shapes and the head's angles"
        )
        parts[result.out].append(f"{result.frames} frames of {what}")
    if result.audio is not None:
        parts[result.audio] = ["their audio"]
    return "\n".join(f"{path}: {' and '.join(held)}" for path, held in parts.items())


def _write(kind: str, out: Path, name: str, splats: Splats | None, face: FaceMesh | None, take: Take | None) -> Path:
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
    write(out, name, splats.upright() if splats is not None else None, face, take)
    return out


def _take(workspace: Workspace, path: Path, frames: tuple[int, ...]) -> Take:
    from ..delivery.export.take import Take

    take = Take.of(workspace.animation(path), workspace)
    return take.part(*frames) if frames else take


def _write_motion(workspace: Workspace, animation: Path | None, out: Path) -> tuple[int, Path | None]:
    """How many frames, and the animation's audio beside them."""
    from ..capture.files.live_link_out import write_live_link
    from ..workspace.audio_cut import cut_audio
    from ..workspace.frame_rate import Timecode, can_drop
    from ..workspace.poses import mean_rotation

    track = workspace.head_track()
    motion = workspace.footage_animation(track) if animation is None else workspace.animation(animation)
    known = track.head_to_camera[track.tracked]
    start = workspace.subject.timecode_at(int(motion.plate_frame[0])) if motion.rate == workspace.subject.rate else None
    start = start or Timecode(0, motion.rate, can_drop(motion.rate))
    write_live_link(out, motion, mean_rotation(known[:, :3, :3]), start)
    if animation is None or motion.audio is None:
        return motion.frames, None
    audio = out.with_suffix(".wav")
    cut_audio(motion.audio, audio, motion.audio_offset_ms / 1000, motion.frames / motion.fps)
    return motion.frames, audio


def _face(workspace: Workspace) -> FaceMesh:
    from ..delivery.export.splats import upright_face

    return upright_face(workspace.face_mesh())


def _head(workspace: Workspace, reporter: Reporter) -> Checkpoint:
    from ..training import checkpoints
    from ..workspace.checkpoint_index import GAUSSIANS as KIND

    return checkpoints.load_for_rendering(workspace, reporter, KIND)


def _splats(head: Checkpoint) -> Splats:
    from ..delivery.export.splats import Splats

    return Splats.of(head.gaussians())
