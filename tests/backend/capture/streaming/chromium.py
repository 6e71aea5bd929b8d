"""A real Chromium without a window, driven over its DevTools protocol: no package beside the backend's own is needed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
VARIABLE = "SYNCTALK_CHROMIUM"


def find() -> str | None:
    """The browser's program: what `SYNCTALK_CHROMIUM` names, else of the usual names on the path."""
    named = os.environ.get(VARIABLE)
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


class Tab:
    """One tab."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self._waiting: dict[int, asyncio.Future] = {}

    async def listen(self) -> None:
        async for message in self._socket:
            value = json.loads(message.data)
            if value.get("id") in self._waiting:
                self._waiting.pop(value["id"]).set_result(value)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        answer = await asyncio.wait_for(self._waiting[number], 30)
        assert "error" not in answer, answer
        return answer["result"]

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise's when it is settled."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str, seconds: float) -> Any:
        """The value of an expression as soon as it is true."""
        for _ in range(round(seconds / 0.05)):
            if value := await self.evaluate(expression):
                return value
            await asyncio.sleep(0.05)
        raise AssertionError(f"{expression} is not so after {seconds} s")

    async def screenshot(self, path: Path) -> None:
        answer = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(answer["data"]))


@contextlib.asynccontextmanager
async def opened(program: str, profile: Path, *flags: str, size: str = "1280,860") -> AsyncIterator[Tab]:
    """A browser with one empty tab, closed with the `with`."""
    import aiohttp

    given = [
        "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={profile}", f"--window-size={size}",
        "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
        "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--mute-audio",
        *(["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []), *flags, "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen([program, *given], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert process.stderr is not None
        lines = process.stderr

        def endpoint() -> str:
            for line in lines:
                if found := re.search(r"ws://([\d.:\[\]]+)/", line):
                    return found[1]
            raise AssertionError(f"{program} ended with {process.wait()}")

        place = await asyncio.wait_for(asyncio.to_thread(endpoint), 60)
        drain = asyncio.create_task(asyncio.to_thread(lines.read))
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{place}/json/list") as response:
                pages = await response.json(content_type=None)
            url = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
            async with session.ws_connect(url, max_msg_size=0) as socket:
                tab = Tab(socket)
                listening = asyncio.create_task(tab.listen())
                await tab.call("Page.enable")
                yield tab
                listening.cancel()
        process.terminate()
        await drain
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
