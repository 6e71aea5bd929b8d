"""Face data in files of other programs: `read_capture` decides by what a file holds, not by its name."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from ...errors import CaptureError
from ...media.guard import guarded
from ...progress import Reporter
from ..face_capture import FaceCapture
from .bvh import read_bvh
from .csv_file import read_csv
from .json_file import read_json
from .table import read_table
from .take_folder import Beside, file_in
from .text import read_text
from .usd_skel import BEGINS as USD_BEGINS
from .usd_skel import read_usd
from .values import no_known_names

_OTHERS = {
    b"Kaydara FBX": "an FBX file: export it as USD with its blend shapes, or as CSV of ARKit's names",
    b"glTF": "a glTF file: export it as USD with its blend shapes, or as CSV of ARKit's names",
    b"BLENDER": "a .blend file: import it in Blender, where its action drives the head",
}
_MOST_APART_S = 10.0
"""Between the first image of a take's video and its first face; further apart, the time codes are of two clocks."""
_VIDEO_AT, _VIDEO = 4, (b"ftyp", b"moov", b"mdat", b"wide")


def read_capture(
    path: Path, reporter: Reporter, *, fps: Fraction | None = None, head_joint: str | None = None
) -> FaceCapture:
    """A take of Live Link Face (file or folder), Audio2Face's JSON, USD, BVH, or CSV or JSON of ARKit's names.

    Args:
        fps: samples a second, in place of what the file states.
        head_joint: the head's joint in BVH and USD; None for the one named head.

    Raises:
        CaptureError: the file is none of these, or damaged: which file, where in it, and what to do.
    """
    path = path.expanduser().absolute()
    if path.is_dir():
        path = file_in(path)
    begins = _beginning(path)
    beside = Beside.of(path)
    if begins.startswith(USD_BEGINS):
        capture = guarded(read_usd, path, head_joint, fps, reporter=reporter, about=path)
    else:
        capture = _read_text(path, reporter, fps, head_joint, beside.rate)
    if len(capture.times_s) < 2:
        raise CaptureError(f"{path} has one moment only: export a take with motion.")
    return _with_audio(capture, beside, reporter)


def _beginning(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            begins = file.read(64)
    except OSError as error:
        raise CaptureError(f"{path} cannot be read ({error.strerror}): check the path and its permissions.") from error
    for mark, what in _OTHERS.items():
        if begins.startswith(mark):
            raise CaptureError(f"{path} is {what}.")
    if begins[_VIDEO_AT : _VIDEO_AT + 4] in _VIDEO or begins.startswith(b"\x1a\x45\xdf\xa3"):
        raise CaptureError(f"{path} is a video: use capture video, which tracks the face in it.")
    return begins


def _read_text(
    path: Path,
    reporter: Reporter,
    fps: Fraction | None,
    head_joint: str | None,
    video_rate: Fraction | None,
) -> FaceCapture:
    text = read_text(path)
    first = text.lstrip()[:9]
    if first.startswith(("{", "[")):
        return read_json(path, text, fps)
    if first.upper() == "HIERARCHY":
        return read_bvh(path, text, head_joint, fps)
    table = read_table(path, text)
    if table is None:
        raise no_known_names(path, text.split("\n", 1)[0][:200].split(","))
    return read_csv(table, fps, video_rate, reporter)


def _with_audio(capture: FaceCapture, beside: Beside, reporter: Reporter) -> FaceCapture:
    """With the take's audio, whose start is time 0 where time codes say where that is."""
    if capture.audio is not None or beside.audio is None:
        return capture
    shift_s = 0.0
    if capture.start is not None and beside.start is not None:
        starts_s = [float(code.frame / code.rate) for code in (capture.start, beside.start)]
        shift_s = starts_s[0] - starts_s[1]
        if abs(shift_s) > _MOST_APART_S:
            reporter.warning(
                f"The time codes of the face data ({capture.start}) and of {beside.audio.name} ({beside.start}) are of other clocks: "
                "both are taken to begin together."
            )
            shift_s = 0.0
    return replace(capture, audio=beside.audio, times_s=capture.times_s + shift_s)
