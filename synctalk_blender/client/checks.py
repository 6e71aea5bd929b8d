"""What the client accepts from the backend: each message is checked once, here, and callers can rely on it.

Keys that are not named are let through (a newer backend may send more); a named key of another type is invalid, and the
backend is stopped (docs/protocol.md). No `bpy` here.
"""

from __future__ import annotations

from typing import Any

from ...backend.protocol import MessageError

NUMBER = (int, float)
OPTIONAL_NUMBER = (int, float, type(None))
TEXT = (str,)

_TAKE: dict[str, tuple[type, ...]] = {
    "animation": TEXT,
    "frames": (int,),
    "duration_s": NUMBER,
    "audio": (str, type(None)),
    "taken": (list,),
    "missing": (list,),
}

RESULTS: dict[str, dict[str, tuple[type, ...]]] = {
    "hello": {"protocol": (int,), "backend": TEXT, "python": TEXT, "torch": TEXT, "pid": (int,)},
    "device": {"device": TEXT, "kernel": TEXT},
    "process": {"workspace": TEXT, "frames": (int,), "fps": NUMBER, "stages": (dict,), "warnings": (list,)},
    "train": {"step": (int,), "psnr": OPTIONAL_NUMBER},
    "speak": {"animation": TEXT, "frames": (int,), "duration_s": NUMBER, "audio": TEXT},
    "render": {"out": TEXT, "frames": (int,), "width": (int,), "height": (int,)},
    "measure": {"readiness": (dict, type(None))},
    "frame": {"width": (int,), "height": (int,)},
    "capture.import": _TAKE,
    "capture.video": _TAKE,
    "live.start": {"place": TEXT},
    "live.state": {"status": TEXT, "note": TEXT, "face": (dict, type(None)), "recorded_s": OPTIONAL_NUMBER},
    "live.keep": {"file": (str, type(None))},
    "models.fetch": {},
}

NOTIFICATIONS: dict[str, dict[str, tuple[type, ...]]] = {
    "progress": {
        "job": (int,),
        "stage": TEXT,
        "done": NUMBER,
        "total": NUMBER,
        "eta_s": OPTIONAL_NUMBER,
        "fraction": OPTIONAL_NUMBER,
        "message": TEXT,
    },
    "log": {"level": TEXT, "text": TEXT},
    "preview": {"job": (int,), "path": TEXT},
}


def check_result(method: str, result: Any) -> None:
    """Raise `MessageError` unless `result` is what docs/protocol.md promises for `method`."""
    if method == "models.list":
        if not isinstance(result, list) or not all(isinstance(item, dict) for item in result):
            raise MessageError("models.list is not a list of objects")
    elif method in RESULTS:
        _check(f"the result of {method}", result, RESULTS[method])


def check_notification(method: Any, params: Any) -> None:
    """Raise `MessageError` unless the params are right; methods that are not known are let through."""
    if not isinstance(method, str) or not isinstance(params, dict):
        raise MessageError("a notification of the wrong types")
    if method in NOTIFICATIONS:
        _check(f"“{method}”", params, NOTIFICATIONS[method])


def response_id(message: dict[str, Any]) -> int:
    """The id of a response.

    Raises:
        MessageError: no whole number, or not exactly one of `result` and `error`.
    """
    request_id = message.get("id")
    if "error" in message and request_id is None:
        raise MessageError(f"it could not read a request: {message['error']}")
    if isinstance(request_id, bool) or not isinstance(request_id, int) or ("result" in message) == ("error" in message):
        raise MessageError("an answer of the wrong form")
    return request_id


def error_of(message: dict[str, Any]) -> dict[str, Any]:
    """`code`, `message`, `kind` and `traceback` of an error response, the latter two possibly empty.

    Raises:
        MessageError: an error of the wrong types.
    """
    error = message["error"]
    _check("an error", error, {"code": (int,), "message": TEXT})
    data = error.get("data") or {}
    _check("an error's data", data, {})
    return {
        "code": error["code"],
        "message": error["message"],
        "kind": str(data.get("kind") or ""),
        "traceback": str(data.get("traceback") or ""),
    }


def _check(what: str, value: Any, wanted: dict[str, tuple[type, ...]]) -> None:
    if not isinstance(value, dict):
        raise MessageError(f"{what} is not an object")
    for name, types in wanted.items():
        found = value.get(name)
        if not isinstance(found, types) or (isinstance(found, bool) and bool not in types):
            raise MessageError(f"{what} has {name} = {found!r}")
