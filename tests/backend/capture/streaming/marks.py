"""A stream that can be measured: once a second a white frame, and a tone of one block that begins with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from backend.capture.streaming.broadcast import Broadcast
from backend.capture.streaming.program import Played
from backend.capture.streaming.site import Address, Page, serving
from backend.capture.streaming.timing import BLOCK
from backend.capture.streaming.viewers import Viewers
from backend.media.audio_rates import DELIVERY_RATE

SIZE = (128, 96)
TOKEN = "a-token-that-nobody-guesses"
_BLACK, _WHITE, _GREY = 16, 235, 128


class Marks:
    """A `Program` and its `Composer` in one."""

    ahead, loop, room, size = 3, 0, 0, SIZE

    def __init__(self, rate: Fraction = Fraction(25)) -> None:
        self.rate = rate

    def at(self, frame: int) -> Played:
        return Played(np.eye(4), np.zeros(52, np.float32), frame, np.eye(3))

    def make(self, played: Played) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        marked = played.plate_frame % round(self.rate) == 0
        width, height = self.size
        luma = np.full((height, width), _WHITE if marked else _BLACK, np.uint8)
        chroma = np.full((height // 2, width // 2), _GREY, np.uint8)
        return luma, chroma, chroma

    def block(self, first: int, count: int) -> np.ndarray:
        at = first + np.arange(count)
        tone = np.sin(at * (2 * np.pi * 1000 / DELIVERY_RATE)) * 16000
        period = round(self.rate) / self.rate * DELIVERY_RATE
        return np.where(at % float(period) < BLOCK, tone, 0).astype(np.int16)


@dataclass
class Served:
    """A stream in this process."""

    broadcast: Broadcast
    viewers: Viewers
    address: Address
    counts: list[int] = field(default_factory=list)

    def url(self, path: str = "", token: str | None = None) -> str:
        return f"http://127.0.0.1:{self.address.port}/{path}?token={TOKEN if token is None else token}"


@contextlib.asynccontextmanager
async def served(program: Marks, limit: int = 2, token: str = TOKEN, port: int = 0) -> AsyncIterator[Served]:
    counts: list[int] = []
    broadcast = Broadcast(program, program)
    viewers = Viewers(broadcast, limit, "127.0.0.1", counts.append)
    running = asyncio.create_task(broadcast.run())
    try:
        async with serving(Address("127.0.0.1", port, token), viewers, Page()) as taken:
            yield Served(broadcast, viewers, Address("127.0.0.1", taken, token), counts)
    finally:
        await viewers.close()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


class Client:
    """A viewer that is no browser: aiortc's own receiver."""

    def __init__(self) -> None:
        from aiortc import RTCConfiguration, RTCPeerConnection

        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        for kind in ("audio", "video"):
            self.connection.addTransceiver(kind, "recvonly")

    @property
    def tracks(self) -> dict[str, Any]:
        """By their kinds, once the stream has answered."""
        return {transceiver.kind: transceiver.receiver.track for transceiver in self.connection.getTransceivers()}

    async def offer(self) -> str:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def watch(self, url: str) -> int:
        """Ask for the stream; the status of the answer."""
        import aiohttp
        from aiortc import RTCSessionDescription

        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=json.dumps({"sdp": await self.offer()})) as response,
        ):
            if response.status == 200:
                answer = await response.json()
                await self.connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
            return response.status
