"""A child process that speaks docs/protocol.md and misbehaves when asked: `python fake_backend.py [FAULT]`.

The work is a count from 0 to `minutes`·100, so that progress, cancelling and results can be tested without torch.
FAULT: `no-start` exits at once, `mute` never speaks, `old` speaks another protocol, `deaf` never reads its stdin,
`stubborn` ignores `cancel`, `importing` is silent for 2 s before it answers `device`, as a first import of PyTorch may be,
`no-torch` answers `device` with an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

fault = sys.argv[1] if len(sys.argv) > 1 else ""
lock = threading.Lock()
cancelled: set[int] = set()


def send(message: dict) -> None:
    write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def write(data: bytes) -> None:
    with lock:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def count(job: int, params: dict) -> None:
    total = round(params.get("minutes", 1) * 100)
    for done in range(total + 1):
        if job in cancelled:
            send({"id": job, "error": {"code": -32000, "message": "Cancelled.", "data": {"kind": "cancelled"}}})
            return
        progress = {
            "job": job,
            "stage": "training",
            "done": done,
            "total": total,
            "unit": "steps",
            "message": "",
            "eta_s": None,
            "fraction": done / total if total else None,
        }
        send({"method": "progress", "params": progress | {"elapsed_s": done * 0.01}})
        if done == total // 2:
            send({"method": "log", "params": {"job": job, "level": "warning", "text": "half way"}})
            send({"method": "preview", "params": {"job": job, "path": "/nowhere/preview.png"}})
        time.sleep(0.01)
    send({"id": job, "result": {"step": total, "minutes": 0.0, "psnr": 30.0, "checkpoint": ""}})


def misbehave(job: int, how: str) -> None:
    if how == "kill":
        os.kill(os.getpid(), 9)
    elif how == "exit":
        print("RuntimeError: the GPU fell off the bus", file=sys.stderr, flush=True)
        os._exit(7)
    elif how == "hang":
        with lock:  # nobody writes any more, as with a process stuck in a driver
            time.sleep(3600)
    elif how == "close":
        os.close(1)
        time.sleep(3600)
    elif how == "orphan":  # a grandchild keeps the pipe open after the death
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        os._exit(1)
    elif how == "text":
        write(b"Downloading weights: 45%\n")
    elif how == "binary":
        write(b"\xff\xfe\x00\x01\n")
    elif how == "long":
        write(b"x" * (17 * 1024 * 1024))
    elif how == "wrong-id":
        send({"id": 4711, "result": {}})
    elif how == "wrong-types":
        send({"id": job, "result": {"step": "many", "psnr": []}})
    elif how == "wrong-error":
        send({"id": job, "error": "no"})
    elif how == "wrong-progress":
        send({"method": "progress", "params": {"job": job, "stage": 3}})
    elif how == "not-an-object":
        write(b"[1, 2]\n")
    elif how == "defect":
        error = {
            "code": -32603,
            "message": "An internal error: division by zero.",
            "data": {"traceback": "Traceback …"},
        }
        send({"id": job, "error": error})
    elif how == "stderr":
        sys.stderr.write("a progress bar\r" * 100_000)
        sys.stderr.flush()
        send({"id": job, "result": {"step": 1, "psnr": None}})


if fault == "no-start":
    print("ModuleNotFoundError: No module named 'torch'", file=sys.stderr)
    sys.exit(1)
if fault == "mute":
    time.sleep(3600)
if fault == "deaf":
    send({"method": "log", "params": {"job": None, "level": "info", "text": "ready"}})
    time.sleep(3600)

for line in sys.stdin:
    message = json.loads(line)
    method, params, request_id = message["method"], message["params"], message.get("id")
    if method == "hello":
        answer = {"protocol": 99 if fault == "old" else 2, "backend": "0", "python": "3", "torch": "2"}
        send({"id": request_id, "result": answer | {"pid": os.getpid()}})
    elif method == "device" and fault == "no-torch":
        text = "PyTorch cannot be loaded (no libcudart): install the backend again."
        send({"id": request_id, "error": {"code": -32000, "message": text, "data": {"kind": "error"}}})
    elif method == "device":
        if fault == "importing":
            time.sleep(2.0)
        send({"id": request_id, "result": {"device": "cpu", "kernel": "none"}})
    elif method == "ping":
        send({"id": request_id, "result": {}})
    elif method == "shutdown":
        send({"id": request_id, "result": {}})
        os._exit(0)
    elif method == "cancel":
        if params["job"] is not None and fault != "stubborn":
            cancelled.add(params["job"])
    elif method == "train" and "fault" in params:
        threading.Thread(target=misbehave, args=(request_id, params["fault"]), daemon=True).start()
    elif method == "train":
        threading.Thread(target=count, args=(request_id, params), daemon=True).start()
    elif method == "measure":
        send({"id": request_id, "result": {"readiness": None}})
    elif method == "environment":
        send({"id": request_id, "result": sorted(os.environ)})
    elif method == "slow":
        threading.Timer(0.5, send, [{"id": request_id, "result": {}}]).start()
    else:
        send({"id": request_id, "error": {"code": -32601, "message": f"No method {method}.", "data": {}}})
