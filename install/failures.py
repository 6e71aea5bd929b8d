"""What uv and pip print when they fail, as one sentence each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from . import disk
from .errors import DiskError, InstallError, NetworkError, PackageError

_OFFLINE = re.compile(
    r"error sending request|dns error|tcp connect error|tunnel error|client error \(Connect\)|operation timed out"
    r"|HTTP status server error|connection (?:closed|reset)|invalid peer certificate|network was disabled|Network connectivity is disabled"
    # pip's words, when it fetches uv
    r"|Failed to establish a new connection|Temporary failure in name resolution|Name or service not known"
    r"|getaddrinfo failed|nodename nor servname|NewConnectionError|Connection refused|ConnectTimeout|Read timed out"
    r"|Network is unreachable|ProxyError|Tunnel connection failed|Connection aborted|RemoteDisconnected|IncompleteRead"
    r"|Connection broken|certificate verify failed|SSLError|HTTP error 5\d\d|5\d\d Server Error"
)
_FULL = re.compile(r"No space left on device|Errno 28|not enough space on the disk|\(os error 112\)")

_KNOWN: tuple[tuple[re.Pattern[str], type[InstallError], str], ...] = (
    (
        re.compile(r"\[WinError (?:5|32)\]|(?<!output error )\(os error (?:5|32)\)"),
        DiskError,
        "A file in {folder} is in use or write-protected: close every other Blender that runs SyncTalk, and run the same "
        "command again (see {log}).",
    ),
    (
        re.compile(r"Read-only file system|Permission denied"),
        DiskError,
        "{folder} cannot be written to: change its permissions and run the same command again.",
    ),
    (
        re.compile(r"Hash mismatch for `([^`]+)`|(\S+) from .*\n\s+Expected sha256"),
        PackageError,
        "The checksum of {package} does not match (damaged download, or another file on the index): try again, or set "
        "PIP_INDEX_URL to another index (see {log}).",
    ),
    (
        _OFFLINE,
        NetworkError,
        "{host} cannot be reached: check the network connection and the proxy (HTTPS_PROXY) and run the same command "
        "again. Finished downloads are kept (see {log}).",
    ),
    (
        re.compile(r"you require ([\w.+-]+==[^\s,]+)|satisfies the requirement ([^\s(;]+)"),
        PackageError,
        "{host} has no {package} for this Python and platform: check PIP_INDEX_URL, PIP_NO_INDEX and pip's configuration "
        "file, and run the same command again (see {log}).",
    ),
)
"""What is searched for, in this order; the group that matched is the package."""


def failure(
    lines: Sequence[str], log: Path, host: str = "the package index", cache: Path | None = None
) -> InstallError:
    """The last lines of uv or pip as one error: what is wrong, and what to do."""
    text = "\n".join(lines)
    full = next((line for line in lines if _FULL.search(line)), "")
    if full:
        in_cache = cache is not None and str(cache) in full and str(log.parent) not in full
        return DiskError(disk.full(cache if cache and in_cache else log.parent))
    for pattern, kind, sentence in _KNOWN:
        if found := pattern.search(text):
            package = next(filter(None, found.groups()), "")
            values = {"folder": log.parent, "log": log, "host": host[0].upper() + host[1:], "package": package}
            return kind(sentence.format(**values))
    reported = [line.strip() for line in lines if line.strip().lower().startswith(("error:", "cause:"))]
    reason = ": ".join(line.partition(":")[2].strip().rstrip(".") for line in reported[:3]) or "uv failed"
    # What uv had begun to put in place may be half there: no `PackageError`, after which an environment is kept.
    kind = InstallError if re.search(r"Failed to (un)?install", text) else PackageError
    return kind(f"{reason}: run the same command again; the full report is in {log}.")
