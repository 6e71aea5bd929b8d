"""`serve`: JSON-RPC for Blender over stdin and stdout (docs/protocol.md).

Three threads: this one reads requests and answers the quick ones, one runs long jobs one after the other, one renders
the newest `frame` request. Stdout belongs to the messages: whatever a library prints goes to stderr.
"""

from __future__ import annotations

import dataclasses
import mmap
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from . import __version__, pipeline, protocol
from .errors import Cancelled, ModelError, ProtocolError, SyncTalkError, WorkspaceError
from .estimate import user_history
from .options import ProcessOptions
from .progress import Progress, Reporter


@dataclasses.dataclass
class _Job:
    id: int
    method: str
    params: dict[str, Any]
    cancelled: threading.Event = dataclasses.field(default_factory=threading.Event)


class Server:
    """One connection. `run` returns when the input ends or `shutdown` is asked for."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO) -> None:
        self._reader, self._writer = reader, writer
        self._send_lock = threading.Lock()
        self._jobs: dict[int, _Job] = {}
        self._queue: queue.Queue[_Job | None] = queue.Queue()
        self._frame: _Job | None = None
        self._frame_ready = threading.Condition()
        self._frames = FrameRenderer()
        self._closing = False
        self._long: dict[str, Callable[[dict[str, Any], Reporter], Any]] = {
            "process": _process,
            "train": _train,
            "speak": _speak,
            "render": _render,
            "evaluate": _evaluate,
            "measure": _measure,
            "footage": _footage,
            "models.fetch": _fetch_model,
        }
        self._quick: dict[str, Callable[[dict[str, Any]], Any]] = {
            "hello": self._hello,
            "ping": lambda params: {},
            "workspace.info": lambda params: pipeline.info(Path(_text(params, "workspace"))),
            "models.list": lambda params: _list_models(),
        }

    def run(self) -> None:
        """Serve until the input ends."""
        self._frames.prepare()
        workers = [threading.Thread(target=self._work, daemon=True), threading.Thread(target=self._draw, daemon=True)]
        for worker in workers:
            worker.start()
        while not self._closing:
            line = self._reader.readline(protocol.MAX_LINE_BYTES + 1)
            if not line:
                break
            if len(line) > protocol.MAX_LINE_BYTES:
                self._send(protocol.error_response(None, protocol.PARSE_ERROR, "The message is too long."))
                break
            self._receive(line)
        self._closing = True
        for job in list(self._jobs.values()):
            job.cancelled.set()
        self._queue.put(None)
        with self._frame_ready:
            self._frame_ready.notify_all()
        workers[0].join(timeout=10)  # a stage leaves its files whole when it sees the cancel request

    # -- receiving --------------------------------------------------------------------------------------------------

    def _receive(self, line: bytes) -> None:
        try:
            message = protocol.decode(line)
        except protocol.MessageError as error:
            self._send(protocol.error_response(None, protocol.PARSE_ERROR, f"A message could not be read: {error}."))
            return
        method, params, request_id = message.get("method"), message.get("params", {}), message.get("id")
        if not isinstance(method, str) or not isinstance(params, dict) or not isinstance(request_id, int | None):
            self._send(protocol.error_response(None, protocol.INVALID_REQUEST, "A message is not a JSON-RPC request."))
            return
        if method == "cancel":
            job = self._jobs.get(params.get("job"))
            if job:
                job.cancelled.set()
            return
        if request_id is None:
            return
        job = _Job(request_id, method, params)
        if method in self._long:
            self._jobs[request_id] = job
            self._queue.put(job)
        elif method == "frame":
            with self._frame_ready:
                if self._frame is not None:
                    self._fail(self._frame, Cancelled("A newer frame was asked for."))
                self._frame = job
                self._frame_ready.notify()
        elif method == "shutdown":
            self._send(protocol.response(request_id, {}))
            self._closing = True
        elif method in self._quick:
            self._answer(job, lambda: self._quick[method](params))
        else:
            self._send(protocol.error_response(request_id, protocol.METHOD_NOT_FOUND, f"There is no method {method}."))

    # -- working ----------------------------------------------------------------------------------------------------

    def _hello(self, params: dict[str, Any]) -> dict[str, Any]:
        self._frames.imported.wait()
        return _hello(params)

    def _work(self) -> None:
        while not self._frames.imported.wait(0.1):
            if self._closing:
                return
        while (job := self._queue.get()) is not None:
            reporter = self._reporter(job)
            self._answer(job, lambda job=job, reporter=reporter: self._run(job, reporter))
            self._jobs.pop(job.id, None)

    def _run(self, job: _Job, reporter: Reporter) -> Any:
        reporter.check_cancelled(job.method)  # it may have been cancelled while it waited
        return self._long[job.method](job.params, reporter)

    def _draw(self) -> None:
        while True:
            with self._frame_ready:
                while self._frame is None and not self._closing:
                    self._frame_ready.wait()
                if self._closing:
                    return
                job, self._frame = self._frame, None
            reporter = self._reporter(job)
            self._answer(job, lambda job=job, reporter=reporter: self._frames.render(job.params, reporter))

    def _reporter(self, job: _Job) -> Reporter:
        def progress(event: Progress) -> None:
            self._send(protocol.notification("progress", {"job": job.id, **dataclasses.asdict(event)}))

        def log(level: str, text: str) -> None:
            self._send(protocol.notification("log", {"job": job.id, "level": level, "text": text}))

        def preview(path: str) -> None:
            self._send(protocol.notification("preview", {"job": job.id, "path": path}))

        return Reporter(progress, log, preview, job.cancelled.is_set, history=user_history())

    # -- answering --------------------------------------------------------------------------------------------------

    def _answer(self, job: _Job, work: Callable[[], Any]) -> None:
        try:
            self._send(protocol.response(job.id, work()))
        except Exception as error:  # noqa: BLE001 (whatever went wrong is this request's answer)
            self._fail(job, error)

    def _fail(self, job: _Job, error: Exception) -> None:
        if isinstance(error, SyncTalkError):
            self._send(protocol.error_response(job.id, protocol.USER_ERROR, str(error), kind=error.kind))
            return
        trace = "".join(traceback.format_exception(error))
        print(trace, file=sys.stderr, flush=True)
        sentence = (
            f"The backend met a defect of its own ({type(error).__name__}: {error}): please report it with the log."
        )
        self._send(protocol.error_response(job.id, protocol.INTERNAL_ERROR, sentence, kind="error", traceback=trace))

    def _send(self, message: dict[str, Any]) -> None:
        data = protocol.encode(message)
        with self._send_lock:
            try:
                self._writer.write(data)
                self._writer.flush()
            except (BrokenPipeError, ValueError, OSError):
                self._closing = True  # Blender is gone


_PREPARING = "preparing the renderer"


class FrameRenderer:
    """Answers `frame`: keeps the last workspace's head loaded, and loads it anew when training wrote a newer one."""

    def __init__(self) -> None:
        self._loaded: tuple[str, str] | None = None
        self._renderer = None
        self.imported = threading.Event()
        """Set when the preparation imports nothing more: threads that import the same packages at once may see half of one."""
        self._preparation = threading.Thread(target=_prepare_kernels, args=(self.imported,), daemon=True)

    def prepare(self) -> None:
        """Begin to import and compile what the first image calls, on a thread of its own; `render` waits for it."""
        self._preparation.start()

    def render(self, params: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
        """Render into the shared file; see docs/protocol.md. The first picture tells that it has to prepare."""
        from .renderer.colour import to_scene_linear
        from .workspace.camera import Camera

        started = time.perf_counter()
        width, height = _whole(params, "width", 1, 16384), _whole(params, "height", 1, 16384)
        principal = _numbers(params, "principal_px", 2)
        camera = Camera(width, height, float(_numbers(params, "focal_px", 1)[0]), (principal[0], principal[1]))
        pose = np.array(_numbers(params, "head_to_camera", 16)).reshape(4, 4)
        blendshapes = np.array(_numbers(params, "blendshapes", 52), np.float32)
        limit = params.get("max_size")
        if isinstance(limit, int) and 0 < limit < max(width, height):
            factor = limit / max(width, height)
            camera = camera.scaled(max(1, round(width * factor)), max(1, round(height * factor)))
        root = _text(params, "workspace")
        first = self._loaded is None
        if first:
            reporter.progress(_PREPARING, 0, 1, "kernels", "half a minute, if this version has not compiled them yet")
            if self._preparation.ident is not None:
                self._preparation.join()
        rgba = self._head(root, reporter).render(camera, pose, blendshapes).rgba
        if first:
            reporter.progress(_PREPARING, 1, 1, "kernels")
        if params.get("encoding", "scene_linear") == "scene_linear":
            rgba = to_scene_linear(rgba)
        if params.get("origin", "bottom_left") == "bottom_left":
            rgba = rgba[::-1]
        _write_shared(Path(_text(params, "memory")), np.ascontiguousarray(rgba, np.float32))
        return {"width": camera.width, "height": camera.height, "ms": (time.perf_counter() - started) * 1e3}

    def _head(self, root: str, reporter: Reporter):
        from .renderer.render import Renderer
        from .training.checkpoints import load_for_rendering, newest_path
        from .workspace.store import Workspace

        workspace = Workspace.open(root)
        newest = newest_path(workspace)
        if newest is None:
            raise WorkspaceError(f"{root} has no trained head yet: train it first.")
        if self._loaded != (root, str(newest)):
            head = load_for_rendering(workspace, reporter)
            if head.lips.inputs:
                raise WorkspaceError(
                    "The lips of this head follow sound alone and no slider: render it with the backend's render, or "
                    "train it with lips=shape to direct it here."
                )
            self._renderer = Renderer(head.field())
            self._loaded = (root, str(newest))
        return self._renderer


def _prepare_kernels(imported: threading.Event) -> None:
    """Read the kernels, or compile them where the installation did not; the first image reports what fails here."""
    try:
        import torch

        from .renderer.kernels import get_kernel, precompile
        from .training import checkpoints  # noqa: F401 (the first image imports it as well)

        kernel = get_kernel()
        imported.set()
        if not torch.cuda.is_available() and kernel.name == "numba":
            precompile.draw(kernel)
    except Exception:  # noqa: BLE001 (in no request yet: the first image meets the same and answers with it)
        traceback.print_exc()
    finally:
        imported.set()


def _write_shared(path: Path, pixels: np.ndarray) -> None:
    try:
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            if len(memory) < pixels.nbytes:
                raise ProtocolError(f"{path} holds {len(memory)} bytes, the picture needs {pixels.nbytes}.")
            memory[: pixels.nbytes] = pixels.tobytes()
    except (OSError, ValueError) as error:
        raise ProtocolError(f"The shared picture {path} cannot be written to ({error}).") from error


# -- methods ----------------------------------------------------------------------------------------------------------


def _hello(params: dict[str, Any]) -> dict[str, Any]:
    if params.get("protocol") != protocol.VERSION:
        raise ProtocolError(
            f"Blender's side speaks protocol {params.get('protocol')}, this backend {protocol.VERSION}: install the "
            "backend again from the Backend panel."
        )
    import torch

    from .renderer.kernels import get_kernel

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {
        "protocol": protocol.VERSION,
        "backend": __version__,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "kernel": get_kernel(device=device).name,
        "pid": os.getpid(),
    }


def _process(params: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    consent = params.get("consent") or {}
    root = Path(_text(params, "workspace"))
    options = ProcessOptions(
        video=Path(params["video"]) if params.get("video") else None, audio_offset_ms=params.get("audio_offset_ms")
    )
    given_by = consent.get("by") if consent.get("given") else None
    pipeline.process(root, options, reporter, consent_by=given_by, footage=bool(params.get("footage")))
    return {**pipeline.info(root), "warnings": reporter.warnings}


def _train(params: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    minutes = params.get("minutes")
    return pipeline.train(
        Path(_text(params, "workspace")),
        params.get("preset", "preview"),
        None if minutes is None else float(minutes),
        reporter,
        further=bool(params.get("further", False)),
    )


def _speak(params: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    return pipeline.speak(
        Path(_text(params, "workspace")),
        Path(params["audio"]) if params.get("audio") else None,
        reporter,
        strength=float(params.get("strength", 1.0)),
        smoothing_ms=float(params.get("smoothing_ms", 0.0)),
        offset_ms=float(params.get("offset_ms", 0.0)),
        close_in_silence=bool(params.get("close_in_silence", False)),
    )


def _render(params: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    from .performance import render

    return render(
        Path(_text(params, "workspace")),
        Path(_text(params, "out")),
        reporter,
        audio=Path(params["audio"]) if params.get("audio") else None,
        directions=Path(params["directions"]) if params.get("directions") else None,
        size=params.get("size"),
    )


def _footage(params: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    from .media.footage import write_footage
    from .workspace.store import Workspace

    workspace = Workspace.open(Path(_text(params, "workspace")))
    with workspace.locked():
        return {"footage": str(write_footage(workspace, reporter)), "frames": workspace.subject.frames}


def _evaluate(params: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    from .performance import evaluate

    return evaluate(Path(_text(params, "workspace")), reporter)


def _measure(params: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    return {"readiness": pipeline.measure(Path(_text(params, "workspace")), reporter)}


def _list_models() -> list[dict[str, Any]]:
    from . import models

    return models.describe()


def _fetch_model(params: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    from . import models

    try:
        return {"path": str(models.fetch_reported(_text(params, "name"), reporter))}
    except KeyError as error:
        raise ModelError(f"There is no model {error}: `models list` names them.") from error


def _text(params: dict[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise ProtocolError(f"The parameter {name} is missing.")
    return value


def _whole(params: dict[str, Any], name: str, low: int, high: int) -> int:
    value = params.get(name)
    if not isinstance(value, int) or not low <= value <= high:
        raise ProtocolError(f"The parameter {name} must be a whole number from {low} to {high}, not {value!r}.")
    return value


def _numbers(params: dict[str, Any], name: str, count: int) -> list[float]:
    value = params.get(name)
    value = [value] if isinstance(value, int | float) else value
    if not isinstance(value, list) or len(value) != count or not all(isinstance(item, int | float) for item in value):
        raise ProtocolError(f"The parameter {name} must be {count} number{'s' * (count > 1)}.")
    return [float(item) for item in value]


def serve() -> None:
    """Serve the process's own stdin and stdout."""
    writer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a print, in Python or in a C library, must not land between the messages
    sys.stdout = sys.stderr
    Server(os.fdopen(os.dup(0), "rb"), writer).run()
    # Worker threads may sit in native code; everything on disk is whole at any moment, so leave at once.
    os._exit(0)
