"""Weights are found where a user puts them, and a download is complete or not there."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from backend import cli, errors, models
from backend.progress import Reporter

CONTENT = b"weights" * 100_000


@pytest.fixture
def server():
    """A web server on this machine; `server.answer` is (status, headers, body)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, body = self.server.answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    http.answer = (200, {"Content-Length": str(len(CONTENT))}, CONTENT)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield http
    http.shutdown()
    http.server_close()


@pytest.fixture
def model(server, monkeypatch, tmp_path) -> models.Model:
    """The one known model; it is published on `server`, and this user's model folder is an empty one."""
    address = f"http://127.0.0.1:{server.server_port}/tiny.task"
    record = models.Model(
        "tiny", "tiny.task", "tests", address, len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "Apache-2.0"
    )
    monkeypatch.setattr(models, "MODELS", (record,))
    monkeypatch.delenv(models.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "user"))
    return record


def leftovers() -> list[str]:
    return [path.name for path in models.user_folder().glob(".*")]


def test_a_download_of_unknown_length_ends_complete(model, server, monkeypatch):
    monkeypatch.setattr(models, "MODELS", (replace(model, size=None),))
    server.answer = (200, {}, CONTENT)
    seen = []
    models.fetch("tiny", Reporter(lambda event: seen.append((event.done, event.total)), interval_s=0))
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_fetched_model_is_found_and_not_fetched_again(model, server):
    assert models.find("tiny") is None
    seen = []
    reporter = Reporter(lambda event: seen.append((event.done, event.total)), interval_s=0)
    path = models.fetch("tiny", reporter)
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and seen == sorted(seen)
    assert models.find("tiny") == models.find("tiny.task") == path
    server.answer = (404, {}, b"")
    assert models.fetch("tiny") == path


def test_the_named_folder_comes_before_the_users(model, monkeypatch, tmp_path):
    models.fetch("tiny")
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(tmp_path / "named"))
    assert models.find("tiny").parent == models.user_folder()
    (tmp_path / "named").mkdir()
    (tmp_path / "named/tiny.task").write_bytes(CONTENT)
    assert models.find("tiny") == tmp_path / "named/tiny.task"


def test_the_checksum_is_computed_once_for_a_file_that_stays_the_same(model, monkeypatch):
    path = models.fetch("tiny")
    models.find("tiny")
    computed = []
    monkeypatch.setattr(models, "_sha256", lambda path: computed.append(path) or model.sha256)
    models.find("tiny")
    assert not computed
    path.touch()
    models.find("tiny")
    assert computed == [path]


def test_a_damaged_file_is_refused_with_what_to_do(model):
    path = models.fetch("tiny")
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(
        errors.ModelError, match="699,999 bytes and tiny.task has 700,000: delete it and run `models fetch"
    ):
        models.find("tiny")
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(errors.ModelError, match="checksum differs"):
        models.find("tiny")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, {"Content-Length": str(len(CONTENT))}, CONTENT[:1000]), "connection ended after|IncompleteRead"),
        ((200, {}, CONTENT[:1000]), "1,000 bytes"),
        ((200, {}, b"x" * len(CONTENT)), "checksum differs"),
        ((404, {}, b""), "cannot be downloaded .*Not Found"),
    ],
    ids=["cut off", "short", "another file", "not there"],
)
def test_a_failed_download_is_a_sentence_and_leaves_nothing(model, server, answer, message):
    server.answer = answer
    with pytest.raises(errors.ModelError, match=message) as caught:
        models.fetch("tiny")
    assert "\n" not in str(caught.value)
    assert models.find("tiny") is None
    assert not leftovers()


def test_an_unreachable_host_names_the_address_and_the_folder(model, server, monkeypatch):
    monkeypatch.setattr(models, "MODELS", (replace(model, address="http://127.0.0.1:9/tiny.task"),))
    with pytest.raises(errors.ModelError, match=r"download http://127\.0\.0\.1:9/tiny\.task yourself into .*models"):
        models.fetch("tiny")


def test_a_cancelled_download_leaves_nothing(model):
    with pytest.raises(errors.Cancelled):
        models.fetch("tiny", Reporter(cancelled=lambda: True))
    assert models.find("tiny") is None
    assert not leftovers()


def test_a_narrower_licence_must_be_agreed_to(model, monkeypatch):
    monkeypatch.setattr(models, "MODELS", (replace(model, licence="CC-BY-NC-4.0", licence_opt_in=True),))
    with pytest.raises(errors.ModelError, match="its own licence .*--accept-licence"):
        models.fetch("tiny")
    assert models.fetch("tiny", accept_licence=True).exists()


def test_an_unknown_name_lists_the_known_ones(model):
    with pytest.raises(errors.ModelError, match="no model named large: choose one of tiny"):
        models.find("large")


def test_every_record_is_complete():
    for record in models.MODELS:
        assert record.address.startswith("https://")
        assert record.licence and record.purpose
        assert record.sha256 is None or len(record.sha256) == 64
    assert {record.name for record in models.MODELS if record.licence_opt_in} == {"syncnet", "audio_visual_encoder"}


def test_the_verb_speaks_json(model, capsys):
    assert cli.main(["models", "fetch", "tiny", "--json"]) == 0
    path = json.loads(capsys.readouterr().out)["tiny"]
    assert cli.main(["models", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["path"] == path and Path(path).is_file()
    assert cli.main(["models", "path", "tiny"]) == 0
    assert capsys.readouterr().out.strip() == path


def test_the_shared_models_are_the_published_ones(shared, monkeypatch):
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(shared / "models"))
    assert models.find("face_landmarker") == shared / "models/face_landmarker.task"
    assert models.find("hair_segmentation").is_file()
