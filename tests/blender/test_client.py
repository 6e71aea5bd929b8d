"""Whatever the backend does, Blender gets a sentence and keeps running. These run in any Python: nothing here needs bpy."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

FAKE = Path(__file__).with_name("fake_backend.py")


@pytest.fixture(scope="module")
def client(import_part):
    """The module under test."""
    return import_part("synctalk_blender.client.shared")


@pytest.fixture
def start(client, import_part):
    """Starts a fake backend; all are killed at the end."""
    running = []

    def start(*faults, **limits):
        command = [sys.executable, str(FAKE), *faults]
        process = client.BackendProcess(
            command, limits=import_part("synctalk_blender.client.watchdog").Limits(**limits)
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.close(0.0)


def error_of(call):
    with pytest.raises(Exception) as caught:
        call()
    assert type(caught.value).__name__ == "BackendError", caught.value
    assert str(caught.value).strip().endswith((".", "help."))
    return caught.value


def wait_until(condition, timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_a_request_is_answered(start):
    assert start().request("hello", {"protocol": 1, "client": "test"})["torch"] == "2"


def test_a_job_reports_progress_log_and_preview_on_the_thread_that_pumps(start):
    backend, seen, threads = start(), [], set()

    def note(what):
        def callback(params):
            seen.append((what, params))
            threads.add(threading.current_thread())

        return callback

    job = backend.submit(
        "train", {"minutes": 0.2}, on_progress=note("progress"), on_log=note("log"), on_preview=note("preview")
    )
    wait_until(job.poll)
    assert not seen, "callbacks must wait for pump()"
    backend.pump()
    assert job.result()["step"] == 20
    assert [params["done"] for what, params in seen if what == "progress"] == list(range(21))
    assert {what for what, _ in seen} == {"progress", "log", "preview"}
    assert threads == {threading.current_thread()}
    assert job.progress["done"] == 20


def test_a_cancelled_job_ends_and_the_backend_lives_on(start):
    backend = start()
    job = backend.submit("train", {"minutes": 100})
    wait_until(lambda: job.progress is not None)
    job.cancel()
    assert error_of(lambda: job.result(10)).kind == "cancelled"
    assert backend.request("ping", {}) == {}


def test_a_job_that_ignores_cancel_is_killed_after_the_grace_time(start):
    backend = start("stubborn", cancel_grace_s=0.5)
    job = backend.submit("train", {"minutes": 100})
    job.cancel()
    assert error_of(lambda: job.result(10)).kind == "cancelled"
    assert not backend.alive


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("exit", "died"),
        ("close", "died"),
        ("orphan", "died"),
        ("text", "nonsense"),
        ("binary", "nonsense"),
        ("long", "nonsense"),
        ("wrong-id", "nonsense"),
        ("wrong-types", "nonsense"),
        ("wrong-error", "nonsense"),
        ("wrong-progress", "nonsense"),
        ("not-an-object", "nonsense"),
        pytest.param("kill", "died", marks=pytest.mark.skipif(os.name == "nt", reason="POSIX signals")),
    ],
)
def test_a_faulty_backend_costs_a_sentence(start, fault, kind):
    backend = start()
    other = backend.submit("train", {"minutes": 100})
    error = error_of(lambda: backend.request("train", {"fault": fault}, timeout_s=20))
    assert error.kind == kind, error
    assert error_of(lambda: other.result(5)).kind == kind, "every request under way must end"
    assert not backend.alive
    assert error_of(lambda: backend.submit("ping", {})).kind == kind


def test_the_last_words_of_a_dead_backend_are_reported(start):
    backend = start()
    error = error_of(lambda: backend.request("train", {"fault": "exit"}))
    assert "exit status 7" in str(error)
    assert "the GPU fell off the bus" in str(error)
    assert "the GPU fell off the bus" in backend.last_words


def test_a_hang_is_noticed_only_while_a_request_waits(start):
    backend = start(hang_after_s=1.0, ping_every_s=0.25)
    backend.request("ping", {})
    job = backend.submit("slow", {})
    assert job.result(5) == {}
    time.sleep(1.5)
    assert backend.alive, "an idle backend need not say anything"
    assert error_of(lambda: backend.request("train", {"fault": "hang"}, timeout_s=10)).kind == "hangs"


def test_a_long_job_that_is_silent_but_answers_pings_is_no_hang(start):
    backend = start(hang_after_s=1.0, ping_every_s=0.25)
    job = backend.submit("train", {"fault": "nothing"})
    time.sleep(2.0)
    assert backend.alive
    assert not job.poll()


def test_a_full_pipe_does_not_block_the_caller(start):
    backend = start("deaf", hang_after_s=5.0, ping_every_s=0.25)
    jobs = [backend.submit("speak", {"text": "x" * 1_000_000}) for _ in range(20)]
    # A caller that was blocked would be back when the backend was ended, with all jobs failed.
    assert backend.alive and not any(job.poll() for job in jobs)
    assert error_of(lambda: jobs[-1].result(20)).kind == "hangs"


def test_a_backend_that_cannot_be_run_is_named_in_the_message(client):
    error = error_of(lambda: client.BackendProcess(["/no/such/python"]))
    assert error.kind == "start"
    assert "/no/such/python" in str(error)


def test_a_backend_that_dies_while_starting_says_to_install_it(start):
    error = error_of(lambda: start("no-start").request("hello", {}))
    assert error.kind == "died"
    assert "install" in str(error)
    assert "torch" in str(error)


def test_a_backend_that_never_speaks_is_ended(start):
    assert error_of(lambda: start("mute", start_within_s=0.5).request("hello", {})).kind == "hangs"


def test_a_backend_that_has_greeted_may_import_as_long_as_it_may_start(start):
    backend = start("importing", start_within_s=30.0, hang_after_s=0.5, ping_every_s=0.25)
    hello, device = backend.submit("hello", {"protocol": 2, "client": "test"}), backend.submit("device")
    hello.result(10)
    assert device.result(10)["device"] == "cpu"
    assert error_of(lambda: backend.request("train", {"fault": "hang"}, timeout_s=10)).kind == "hangs", "no longer"


def test_a_backend_that_has_greeted_and_never_imports_is_ended(start):
    backend = start("importing", start_within_s=1.0, hang_after_s=0.5, ping_every_s=0.25)
    backend.submit("hello", {"protocol": 2, "client": "test"}).result(10)
    error = error_of(lambda: backend.request("device"))
    assert error.kind == "hangs"
    assert "did not start within 1 s" in str(error)


def test_why_there_is_no_device_is_kept(start):
    backend = start("no-torch")
    error_of(lambda: backend.request("device"))
    assert backend.alive
    assert (backend.device, backend.device_error) == (
        "", "PyTorch cannot be loaded (no libcudart): install the backend again."
    )  # fmt: skip


def test_a_backend_of_another_protocol_is_refused(start):
    backend = start("old")
    backend.submit("hello", {"protocol": 1, "client": "test"})
    wait_until(lambda: not backend.alive)
    assert backend.error.kind == "protocol"


def test_a_late_answer_is_not_taken_for_nonsense(start):
    backend = start()
    assert error_of(lambda: backend.request("slow", {}, timeout_s=0.1)).kind == "timeout"
    time.sleep(0.8)
    assert backend.request("ping", {}) == {}


def test_a_defect_of_the_backend_is_reported_and_its_traceback_logged(start, caplog):
    error = error_of(lambda: start().request("train", {"fault": "defect"}))
    assert error.kind == "defect"
    assert "Traceback" in caplog.text


def test_endless_chatter_on_stderr_is_bounded(start):
    backend = start()
    assert backend.request("train", {"fault": "stderr"})["step"] == 1
    wait_until(lambda: "progress bar" in backend.last_words)
    assert len(backend.last_words) < 1_000_000


def test_values_that_are_not_json_are_refused_before_they_are_sent(start):
    backend = start()
    error_of(lambda: backend.submit("frame", {"focal_px": float("nan")}))
    assert backend.alive


def test_close_ends_the_process_and_its_requests(start):
    backend = start()
    job = backend.submit("train", {"minutes": 100})
    backend.close(5.0)
    assert error_of(lambda: job.result(1)).kind == "closed"
    assert backend.error is None
    assert backend._child.poll() == 0, "it was asked to end, not killed"


def test_blenders_python_settings_are_kept_from_the_child(start, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/blender/python")
    monkeypatch.setenv("PYTHONPATH", "/blender/scripts")
    backend = start()
    names = backend.request("environment", {})
    assert "PYTHONHOME" not in names
    assert "PYTHONPATH" not in names
    assert "PATH" in names


def test_the_next_action_restarts_a_dead_backend_but_a_redraw_does_not(client, monkeypatch):
    command = ([sys.executable, str(FAKE)], None, None)
    monkeypatch.setattr(client, "backend_command", lambda: command)
    try:
        first = client.shared_backend()
        assert client.shared_backend(user_asked=False) is first
        error_of(lambda: first.request("train", {"fault": "exit"}))
        assert error_of(lambda: client.shared_backend(user_asked=False)).kind == "died"
        second = client.shared_backend()
        assert second is not first
        wait_until(lambda: second.hello is not None)
    finally:
        client.close_shared_backend()
    assert client.running_backend() is None
