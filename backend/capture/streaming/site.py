"""The stream's web server: one page, and the offers of those who have the token. A stranger gets nothing."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from ...errors import NetworkError
from ...protocol import SYNTHETIC_MARK
from .names import is_loopback
from .viewers import BadOfferError, StreamFullError, Viewers

_PAGE = Path(__file__).with_name("page.html")
_LARGEST_OFFER = 64 * 1024
_DENIED = "Open the complete address that the stream has printed: it has the token."


@dataclass(frozen=True)
class Address:
    """Where a stream listens, and its token; an empty one lets everyone on this computer in."""

    host: str
    port: int
    token: str

    @property
    def url(self) -> str:
        """What a viewer opens."""
        host = reachable(self.host)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}/" + (f"?token={self.token}" if self.token else "")


@dataclass(frozen=True)
class Page:
    """What the page knows of the stream.

    Attributes:
        beside: the frames have colours and alpha side by side.
        hold_ms: how long a viewer's browser holds audio and frames back, so that both come evenly.
    """

    beside: bool = False
    hold_ms: int = 0

    def text(self) -> str:
        """The page, but for `{{nonce}}`."""
        filled = {"mark": SYNTHETIC_MARK, "layout": "beside" if self.beside else "plain", "hold": str(self.hold_ms)}
        text = _PAGE.read_text(encoding="utf-8")
        for name, value in filled.items():
            text = text.replace("{{" + name + "}}", value)
        return text


def reachable(host: str) -> str:
    """An address by which others reach one who listens on all: that of the way out."""
    if host not in ("0.0.0.0", "::"):
        return host
    family, outside = (socket.AF_INET6, "2001:db8::1") if host == "::" else (socket.AF_INET, "192.0.2.1")
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as way:
        way.connect((outside, 9))  # sends nothing: it only chooses the way
        return str(way.getsockname()[0])
    return "::1" if host == "::" else "127.0.0.1"


@contextlib.asynccontextmanager
async def serving(address: Address, viewers: Viewers, page: Page) -> AsyncIterator[int]:
    """Serve until the `with` ends; the port, which is a free one where the address has 0.

    Raises:
        NetworkError: the address cannot be listened on.
    """
    app = web.Application(client_max_size=_LARGEST_OFFER, middlewares=[_guard(address.token)])
    text = page.text()

    async def show(request: web.Request) -> web.Response:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return web.Response(
            text=text.replace("{{nonce}}", nonce),
            content_type="text/html",
            headers={"Content-Security-Policy": policy},
        )

    async def offer(request: web.Request) -> web.Response:
        try:
            value = json.loads(await request.text())
            name, answer = await viewers.answer(str(value["sdp"]))
        except StreamFullError:
            return _sentence(503, f"The stream has its {viewers.limit} viewers: wait until one leaves.")
        except (BadOfferError, ValueError, KeyError, TypeError):
            return _sentence(400, "This is no WebRTC offer to receive audio and video.")
        return web.json_response({"viewer": name, "sdp": answer})

    async def leave(request: web.Request) -> web.Response:
        await viewers.leave((await request.text())[:64])
        return web.Response(status=204)

    app.add_routes([web.get("/", show), web.post("/offer", offer), web.post("/leave", leave)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host, address.port)
        try:
            await site.start()
        except OSError as error:
            raise NetworkError(
                f"{address.host}:{address.port} cannot be listened on ({error.strerror or error}): choose another --port, "
                "or a --host of this computer."
            ) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _guard(token: str) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Lets nobody in without the token, nor a page of another site: before any path is looked at."""
    expected = token.encode()

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.query.get("token", "").encode("utf-8", "replace")
        if not secrets.compare_digest(given, expected) or not _is_own(request, is_open=not token):
            response: web.StreamResponse = _sentence(403, _DENIED)
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = _sentence(error.status, f"{error.reason}.")
        response.headers.update(
            {
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
                "Cross-Origin-Resource-Policy": "same-origin",
            }
        )
        return response

    return guard


def _is_own(request: web.Request, is_open: bool) -> bool:
    """Whether a request comes from the stream's own page, or from an address that a person opened.

    Without a token only names of this computer are taken: a page of another site could give its own name our address.
    """
    if is_open and not is_loopback(urlsplit(f"//{request.host}").hostname or ""):
        return False
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"{request.scheme}://{request.host}":
        return False
    return request.method == "GET" or request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"


def _sentence(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n")
