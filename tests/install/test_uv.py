"""uv gets pip's settings, and nothing that would send packages elsewhere."""

from __future__ import annotations

import sys

import pytest

from install import errors, failures, uv


def test_pips_files_and_variables_are_merged_as_pip_does(uv_folder, tmp_path, monkeypatch):
    for name in ("PIP_FIND_LINKS", "PIP_CERT", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = http://first\nfind-links =\n  /a\n  /b\n[install]\nproxy = http://p\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://second")
    settings = uv.pip_settings(uv_folder)
    assert settings["index-url"] == "http://second" and settings["proxy"] == "http://p"
    assert settings["find-links"].split() == ["/a", "/b"]


def test_pips_settings_reach_uv_in_its_words(monkeypatch):
    monkeypatch.setenv("UV_TARGET", "/elsewhere")
    settings = {"index-url": "http://i", "extra-index-url": "http://a\nhttp://b", "cert": "/c.pem", "proxy": "http://p"}
    variables = uv.variables({**settings, "trusted-host": "h", "default-timeout": "180.0", "no-cache-dir": "false"})
    expected = {
        "UV_DEFAULT_INDEX": "http://i",
        "UV_INDEX": "http://a http://b",
        "UV_INSECURE_HOST": "h",
        "UV_HTTP_TIMEOUT": "180",
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "SSL_CERT_FILE": "/c.pem",
        "HTTPS_PROXY": "http://p",
    }
    assert {name: variables[name] for name in expected} == expected
    assert not {"UV_TARGET", "UV_NO_CACHE"} & variables.keys()


def test_certificates_of_pips_http_library_reach_uv(monkeypatch, tmp_path):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv("CURL_CA_BUNDLE", "/curl.pem")
    assert uv.variables({})["SSL_CERT_FILE"] == "/curl.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/requests.pem")
    assert uv.variables({})["SSL_CERT_FILE"] == "/requests.pem"
    assert uv.variables({"cert": "/pip.pem"})["SSL_CERT_FILE"] == "/pip.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    assert uv.variables({})["SSL_CERT_DIR"] == str(tmp_path)


def test_credentials_of_an_index_reach_uv(monkeypatch):
    given = {"UV_INDEX_COMPANY_USERNAME": "u", "UV_INDEX_COMPANY_PASSWORD": "p", "UV_KEYRING_PROVIDER": "subprocess"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    variables = uv.variables({})
    assert {name: variables.get(name) for name in given} == given
    assert variables["UV_INDEX_STRATEGY"] == "unsafe-best-match"


@pytest.mark.parametrize(
    ("provider", "uvs"), [("subprocess", "subprocess"), ("import", "subprocess"), ("disabled", None), (None, None)]
)
def test_pips_keyring_reaches_uv(monkeypatch, provider, uvs):
    monkeypatch.delenv("UV_KEYRING_PROVIDER", raising=False)
    assert uv.variables({"keyring-provider": provider} if provider else {}).get("UV_KEYRING_PROVIDER") == uvs


def test_a_python_that_makes_no_environments_is_a_sentence(tmp_path):
    if sys.platform == "win32":
        pytest.skip("a shell script stands for the Python")
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no ensurepip'\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(errors.PythonError, match=r"could not make a virtual environment in .*\(no ensurepip\): choose"):
        list(uv.fetch(tmp_path, broken))
    assert not uv.is_there(tmp_path)


def test_a_full_disk_is_that_of_the_cache_where_the_download_did_not_fit(tmp_path):
    log, cache = tmp_path / "backend/install.log", tmp_path / "cache"
    downloading = [f"cause: failed to write to file `{cache}/.tmp1/a.py`: No space left on device (os error 28)"]
    copying = [
        f"cause: failed to copy file from {cache}/a.py to {log.parent}/a.py: No space left on device (os error 28)"
    ]
    assert f"full in {cache}:" in str(failures.failure(downloading, log, cache=cache))
    assert f"full in {log.parent}:" in str(failures.failure(copying, log, cache=cache))
