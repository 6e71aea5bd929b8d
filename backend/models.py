"""Weights that the project does not ship: what each is for, where it is searched for, and its download on request.

Standard library only, so the add-on and `python3 install` can use it too. Nothing is downloaded
unless `fetch` is called, and a stage that finds no file has a way without it.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ModelError, StorageError, storage_error

if TYPE_CHECKING:
    from .progress import Reporter

FOLDER_VARIABLE = "SYNCTALK_MODELS"
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Model:
    """One file of weights.

    Attributes:
        name: what a stage asks for, and what `models fetch` takes.
        file: its name in the model folder.
        purpose: what works, or works better, with it.
        address: where its makers publish it.
        size: bytes; None where it is not known exactly.
        about: bytes, roughly, where `size` is None and something is known.
        needs: the other file without which it is of no use; it is fetched with it.
        sha256: None where it is not known; such a file is taken as it is.
        licence: SPDX identifier, or what is known of it.
        licence_opt_in: whether the licence is narrower than the project's, so that the user must agree to it by name.
    """

    name: str
    file: str
    purpose: str
    address: str
    size: int | None
    sha256: str | None
    licence: str
    licence_opt_in: bool = False
    about: int | None = None
    needs: str | None = None


_MATTING = (
    "https://raw.githubusercontent.com/PeterL1n/RobustVideoMatting/72ed518756950796f10eea6eb6b301df97cef277/model/"
)
"""Its authors' repository, at the commit that added the TensorFlow.js model."""

MODELS = (
    Model(
        "face_landmarker",
        "face_landmarker.task",
        "478 landmarks and 52 blendshape scores a frame (else the face mesh inside the mediapipe package is used)",
        "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
        3_758_596,
        "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        "Apache-2.0",
    ),
    Model(
        "hair_segmentation",
        "hair_segmentation.tflite",
        "where the hair is: loose hair is cut from neck and clothes without tears (else it is known by its colours)",
        "https://storage.googleapis.com/mediapipe-assets/hair_segmentation.tflite?generation=1661875756623461",
        780_588,
        "d2c940c4fd80edeaf38f5d7387d1b4235ee320ed120080df67c663e749e77633",
        "Apache-2.0",
    ),
    Model(
        "matting",
        "rvm_mobilenetv3.bin",
        "Robust Video Matting: finer mattes, of hair above all, and steadier ones (else a segmentation is refined)",
        _MATTING + "group1-shard1of1.bin",
        3_739_355,
        "64cf47fe743d510c2e1c5114af76c994d67e342a94bbc51a6ef9eaffbf4c8f90",
        "GPL-3.0-only",
        needs="matting_graph",
    ),
    Model(
        "matting_graph",
        "rvm_mobilenetv3.json",
        "what the numbers in matting are; fetched with it",
        _MATTING + "model.json",
        626_575,
        "de775ec299d64361c26b643c72800da6f7b949fc0f16b56545d8145b92d2decf",
        "GPL-3.0-only",
    ),
    Model(
        "selfie_multiclass",
        "selfie_multiclass_256x256.tflite",
        "mattes of hair, face, body and clothes in one pass",
        "https://storage.googleapis.com/mediapipe-models/image_segmenter/selfie_multiclass_256x256/float32/1/"
        "selfie_multiclass_256x256.tflite",
        16_371_837,
        "c6748b1253a99067ef71f7e26ca71096cd449baefa8f101900ea23016507e0e0",
        "Apache-2.0",
    ),
    Model(
        "lpips_backbone",
        "alexnet-owt-7be5be79.pth",
        "the network behind the LPIPS metric and the fine stage's perceptual loss",
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        None,
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        "BSD-3-Clause",
        about=244_000_000,
    ),
    Model(
        "lpips_heads",
        "alex.pth",
        "the linear heads of LPIPS v0.1",
        "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/alex.pth",
        6_009,
        "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        "BSD-2-Clause",
    ),
    Model(
        "syncnet",
        "syncnet_v2.model",
        "the lip-sync metrics LSE-C and LSE-D",
        "https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
        None,
        "961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
        "none stated by its authors",
        licence_opt_in=True,
        about=52_000_000,
    ),
    Model(
        "audio_visual_encoder",
        "audio_visual_encoder.pth",
        "the paper's authors' audio-visual encoder, to compare with",
        "https://github.com/ZiqiaoPeng/SyncTalk/raw/main/nerf_triplane/checkpoints/audio_visual_encoder.pth",
        None,
        None,
        "CC-BY-NC-4.0",
        licence_opt_in=True,
        about=11_000_000,
    ),
    Model(
        "hubert",
        "hubert-large-ls960-ft.bin",
        "1024-dimensional speech features, to compare with (needs the package transformers)",
        "https://huggingface.co/facebook/hubert-large-ls960-ft/resolve/main/pytorch_model.bin",
        None,
        None,
        "Apache-2.0",
        about=1_260_000_000,
    ),
    Model(
        "wav2vec2",
        "wav2vec2-base-960h.bin",
        "768-dimensional speech features, to compare with (needs the package transformers)",
        "https://huggingface.co/facebook/wav2vec2-base-960h/resolve/main/pytorch_model.bin",
        377_667_514,
        "c34f9827b034a1b9141dbf6f652f8a60eda61cdf5771c9e05bfa99033c92cd96",
        "Apache-2.0",
    ),
)


def record(name: str) -> Model:
    """The record of the model `name`, which may also be its file's name.

    Raises:
        ModelError: no model has that name.
    """
    for model in MODELS:
        if name in (model.name, model.file):
            return model
    known = ", ".join(model.name for model in MODELS)
    raise ModelError(f"There is no model named {name}: choose one of {known}.")


def folders() -> list[Path]:
    """Where models are searched for, in this order: the folder that SYNCTALK_MODELS names, then the user's."""
    named = os.environ.get(FOLDER_VARIABLE)
    return [*([Path(named).expanduser()] if named else []), user_folder()]


def user_folder() -> Path:
    """This user's model folder, as the platform places such data; it may not exist yet."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    return base / "SyncTalk" / "models"


def find(name: str) -> Path | None:
    """The file of the model `name`, or None when no folder holds it.

    The checksum is computed once for each file and remembered by its size and time of change, so calling this often is
    cheap.

    Raises:
        ModelError: the file differs from the published one.
    """
    model = record(name)
    for folder in folders():
        path = folder / model.file
        if path.is_file():
            _check(model, path)
            return path
    return None


def fetch(name: str, reporter: Reporter | None = None, accept_licence: bool = False) -> Path:
    """Download the model `name`, and what it needs, unless it is there, and return its path.

    Written under a temporary name, checked for size and checksum, then renamed: a file that is there is complete.

    Args:
        reporter: of the progress in bytes; a cancel request removes what was downloaded.
        accept_licence: the user agreed to the licence of a model whose `licence_opt_in` is set.

    Raises:
        ModelError: unknown, its licence was not agreed to, unreachable, or not the file that was published.
        StorageError: the model folder cannot be written to, or its disk is full.
        Cancelled: the user asked to stop.
    """
    model = record(name)
    if model.needs is not None:
        fetch(model.needs, reporter, accept_licence)
    present = find(name)
    if present is not None:
        return present
    if model.licence_opt_in and not accept_licence:
        raise ModelError(
            f"{model.name} has its own licence ({model.licence}): read it at {model.address} and, if you "
            "agree, fetch it again with --accept-licence."
        )
    folder = folders()[0]
    path = folder / model.file
    temporary = folder / f".{model.file}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        needed = model.size or model.about or 0
        if shutil.disk_usage(folder).free < needed:
            raise StorageError(f"{folder} has too little space for {model.file} ({needed:,} bytes): free some space.")
        _download(model, temporary, reporter)
        _check(model, temporary, remember=False)
        os.replace(temporary, path)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def describe() -> list[dict[str, Any]]:
    """Every model's record as plain values; `bytes` may be None (unknown), `fault` is why a file cannot be used."""
    rows = []
    for model in MODELS:
        path, fault = None, None
        try:
            path = find(model.name)
        except ModelError as error:
            fault = str(error)
        size = model.size or model.about
        state = {"bytes": size, "present": path is not None, "path": str(path) if path else None, "fault": fault}
        rows.append({**asdict(model), **state})
    return rows


def _download(model: Model, path: Path, reporter: Reporter | None) -> None:
    request = urllib.request.Request(model.address, headers={"User-Agent": "synctalk"})
    try:
        answer = urllib.request.urlopen(request, timeout=30)
    except (urllib.error.URLError, TimeoutError, http.client.HTTPException, ConnectionError) as error:
        raise _unreachable(model, error) from error
    with answer, path.open("wb") as file:
        length = answer.headers.get("Content-Length")
        total = model.size or (int(length) if length and length.isdigit() else None)
        done = 0
        while True:
            try:
                chunk = answer.read(_CHUNK)
            except (TimeoutError, http.client.HTTPException, ConnectionError) as error:
                raise _unreachable(model, error) from error
            if not chunk:
                break
            # Outside the `try` above, so that a full disk is not taken for a lost connection.
            file.write(chunk)
            done += len(chunk)
            if reporter is not None:
                reporter.progress(f"fetch {model.name}", done, total or max(model.about or 0, done + 1), "bytes")
        if length and length.isdigit() and done < int(length):
            raise _unreachable(model, f"the connection ended after {done:,} of {int(length):,} bytes")
        if reporter is not None and total is None:
            reporter.progress(f"fetch {model.name}", done, done, "bytes")


def _unreachable(model: Model, reason: object) -> ModelError:
    reason = getattr(reason, "reason", None) or reason
    return ModelError(
        f"{model.file} cannot be downloaded ({reason}): check the connection and fetch it again, or download "
        f"{model.address} yourself into {folders()[0]}."
    )


def _check(model: Model, path: Path, remember: bool = True) -> None:
    """Raise `ModelError` unless `path` is the published file."""
    status = path.stat()
    advice = f"delete it and run `models fetch {model.name}`"
    if model.size is not None and status.st_size != model.size:
        raise ModelError(f"{path} has {status.st_size:,} bytes and {model.file} has {model.size:,}: {advice}.")
    if model.sha256 is None:
        return
    stamp = [status.st_size, status.st_mtime_ns]
    remembered = _remembered() if remember else {}
    if remembered.get(str(path)) == [*stamp, model.sha256]:
        return
    if _sha256(path) != model.sha256:
        raise ModelError(f"{path} is not the published {model.file} (its checksum differs): {advice}.")
    if remember:
        _remember({**remembered, str(path): [*stamp, model.sha256]})


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _memory() -> Path:
    # In the user's own folder even for files elsewhere: the folder that SYNCTALK_MODELS names may be read-only.
    return user_folder() / "checked.json"


def _remembered() -> dict[str, list[object]]:
    try:
        found = json.loads(_memory().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(checked: dict[str, list[object]]) -> None:
    path = _memory()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(checked, indent=1), "utf-8")
        os.replace(temporary, path)
    except OSError:
        # Without a writable home the checksum is computed again at the next start.
        temporary.unlink(missing_ok=True)
