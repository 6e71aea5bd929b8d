"""The page in a real Chromium: it plays, names the likeness, and comes back by itself. Skipped where there is no Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from fractions import Fraction
from pathlib import Path

import pytest

from backend.protocol import SYNTHETIC_MARK
from tests.backend.capture.streaming import chromium
from tests.backend.capture.streaming.marks import Marks, served

PROGRAM = chromium.find()
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason=f"there is no Chromium here: install one, or name its program in {chromium.VARIABLE}"
)
SHOWN = "performance.getEntriesByName('first-image').length > 0 && state.textContent === 'Live'"


@contextlib.asynccontextmanager
async def tab():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        assert PROGRAM is not None
        async with chromium.opened(PROGRAM, Path(profile)) as opened:
            yield opened


def test_it_plays_with_audio_and_names_the_likeness():
    async def main() -> None:
        async with served(Marks()) as stream, tab() as page:
            await page.call("Page.navigate", url=stream.url())
            await page.until(SHOWN, 30)
            assert await page.evaluate("[video.videoWidth, video.videoHeight]") == list(Marks.size)
            assert await page.evaluate("video.srcObject.getTracks().map((track) => track.kind).sort()") == [
                "audio",
                "video",
            ]
            assert SYNTHETIC_MARK in await page.evaluate("document.body.innerText")
            heard = "(async () => [...(await connection.getStats()).values()].some((r) => r.kind === 'audio' && r.totalAudioEnergy > 0))()"
            await page.until(heard, 15)
            if not await page.evaluate("button.hidden"):
                await page.evaluate("button.click()")
            assert await page.evaluate("[video.muted, button.hidden, notice.classList.contains('shown')]") == [
                False,
                True,
                False,
            ]
            await page.call("Page.navigate", url="about:blank")
            for _ in range(100):
                if not len(stream.viewers):
                    break
                await asyncio.sleep(0.05)
            assert not len(stream.viewers), "it leaves when the page is left"

    asyncio.run(main())


def test_it_says_what_is_wrong_and_comes_back_by_itself():
    async def main() -> None:
        async with tab() as page:
            async with served(Marks(Fraction(10)), limit=1) as stream:
                await page.call("Page.navigate", url=stream.url())
                await page.until(SHOWN, 30)
            said = await page.until("notice.classList.contains('shown') && notice.textContent", 20)
            assert said.endswith("Trying again …") and await page.evaluate("state.textContent") == "Connecting"
            async with served(Marks(Fraction(10)), limit=1, port=stream.address.port):
                await page.until("state.textContent === 'Live' && !notice.classList.contains('shown')", 30)

    asyncio.run(main())


def test_a_second_page_is_told_that_the_stream_is_full():
    async def main() -> None:
        async with served(Marks(), limit=1) as stream, tab() as page:
            await page.call("Page.navigate", url=stream.url())
            await page.until(SHOWN, 30)
            stream.viewers.limit = 0
            await page.evaluate("(again('x'), true)")
            await page.until("notice.textContent === 'The stream has its 0 viewers: wait until one leaves.'", 10)

    asyncio.run(main())
