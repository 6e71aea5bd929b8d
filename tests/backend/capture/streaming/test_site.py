"""Who has the token may watch; a stranger, or another site's page, gets nothing."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import aiohttp
import psutil
import pytest

from backend.capture.streaming import viewers as viewers_module
from backend.capture.streaming.names import is_loopback
from backend.capture.streaming.site import Address
from backend.errors import NetworkError
from backend.protocol import SYNTHETIC_MARK
from tests.backend.capture.streaming.marks import TOKEN, Client, Marks, served

SENTENCE = "Open the complete address that the stream has printed: it has the token.\n"


def ask(*requests, token: str = TOKEN):
    """(status, text, headers) of each of (method, path, token, headers, body) to a stream."""

    async def main():
        async with served(Marks(), token=token) as stream, aiohttp.ClientSession() as session:
            answers = []
            for method, path, given, headers, body in requests:
                url = f"http://127.0.0.1:{stream.address.port}/{path}"
                own = {name: value.format(port=stream.address.port) for name, value in headers.items()}
                params = {} if given is None else {"token": given}
                async with session.request(method, url, params=params, headers=own, data=body) as response:
                    answers.append((response.status, await response.text(), response.headers))
            assert not len(stream.viewers) and not stream.broadcast.counts.frames and not stream.counts
            return answers

    return asyncio.run(main())


@pytest.mark.parametrize("given", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "ä"])
def test_a_stranger_gets_neither_page_nor_answer(given):
    offer = json.dumps({"sdp": "v=0"})
    answers = ask(
        ("GET", "", given, {}, None),
        ("POST", "offer", given, {}, offer),
        ("POST", "leave", given, {}, "x"),
        ("GET", "nothing", given, {}, None),
        ("OPTIONS", "offer", given, {"Origin": "http://elsewhere.example"}, None),
    )
    for status, text, headers in answers:
        assert (status, text) == (403, SENTENCE)
        assert not any(name.startswith("Access-Control") for name in headers)


def test_the_page_names_the_likeness_and_loads_nothing_from_elsewhere():
    ((status, page, headers),) = ask(("GET", "", TOKEN, {}, None))
    assert status == 200 and SYNTHETIC_MARK in page
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "://" not in page and "{{" not in page
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert headers["Referrer-Policy"] == "no-referrer" and headers["Cache-Control"] == "no-store"


def test_a_page_of_another_site_is_refused_even_with_the_token():
    post = ("POST", "offer", TOKEN)
    answers = ask(
        (*post, {"Origin": "http://elsewhere.example"}, "{}"),
        (*post, {"Origin": "null"}, "{}"),
        (*post, {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "cross-site"}, "{}"),
        (*post, {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}, "{}"),
    )
    assert [status for status, _, _ in answers] == [403, 403, 403, 400]


def test_without_a_token_only_names_of_this_computer_are_taken():
    answers = ask(
        ("GET", "", None, {}, None),
        ("GET", "", None, {"Host": "localhost:{port}"}, None),
        ("GET", "", None, {"Host": "elsewhere.example:{port}"}, None),
        token="",
    )
    assert [status for status, _, _ in answers] == [200, 200, 403]


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"sdp": 3}', '{"sdp": "v=0"}', '{"sdp": "' + "a=" * 1000 + '"}'])
def test_what_is_no_offer_is_refused_and_leaves_nothing(body):
    ((status, text, _),) = ask(("POST", "offer", TOKEN, {}, body))
    assert (status, text) == (400, "This is no WebRTC offer to receive audio and video.\n")


def test_an_offer_that_is_too_large_is_refused():
    ((status, _, _),) = ask(("POST", "offer", TOKEN, {}, json.dumps({"sdp": "a" * 200_000})))
    assert status == 413


def test_viewers_are_bounded_and_one_that_leaves_makes_room():
    async def main() -> None:
        async with served(Marks(), limit=2) as stream, aiohttp.ClientSession() as session:
            clients = [Client() for _ in range(3)]
            assert [await client.watch(stream.url("offer")) for client in clients] == [200, 200, 503]
            await clients[0].tracks["video"].recv()
            (name, *_) = stream.viewers._viewers
            async with session.post(stream.url("leave"), data=name) as response:
                assert response.status == 204
            assert len(stream.viewers) == 1
            assert await clients[2].watch(stream.url("offer")) == 200
            await clients[2].tracks["video"].recv()
            for client in clients:
                await client.connection.close()
            assert stream.counts[:3] == [1, 2, 1]
        assert stream.counts[-1] == 0

    asyncio.run(main())


def test_a_viewer_that_vanishes_frees_everything(monkeypatch):
    monkeypatch.setattr(viewers_module, "SILENT_S", 2.5)
    monkeypatch.setattr(viewers_module, "CONNECT_S", 1.0)
    monkeypatch.setattr(viewers_module, "_WATCH_S", 0.2)
    before = udp_sockets()

    async def main() -> None:
        async with served(Marks()) as stream:
            gone, never = Client(), Client()
            assert await gone.watch(stream.url("offer")) == 200
            await gone.tracks["video"].recv()
            mute(gone)
            asked = json.dumps({"sdp": await never.offer()})
            async with aiohttp.ClientSession() as session, session.post(stream.url("offer"), data=asked) as response:
                assert response.status == 200, "it asks, and never connects"
            assert len(stream.viewers) == 2
            for _ in range(100):
                await asyncio.sleep(0.1)
                if not len(stream.viewers):
                    break
            assert not len(stream.viewers) and not stream.broadcast._receivers
            for client in (gone, never):
                await client.connection.close()
            await asyncio.sleep(0.2)
            assert udp_sockets() == before

    asyncio.run(main())


def mute(client: Client) -> None:
    """From now on it sends nothing, as a computer whose network is gone."""
    for transceiver in client.connection.getTransceivers():
        for protocol in transceiver.receiver.transport.transport._connection._protocols:
            protocol.transport.sendto = lambda *_: None


def udp_sockets() -> list[str]:
    return sorted(item.laddr.ip for item in psutil.Process().net_connections("udp"))


def test_media_are_listened_for_on_this_computer_alone():
    async def main() -> list[str]:
        async with served(Marks()) as stream:
            client = Client()
            offer = json.dumps({"sdp": await client.offer()})
            others = udp_sockets()
            async with aiohttp.ClientSession() as session, session.post(stream.url("offer"), data=offer) as response:
                answer = (await response.json())["sdp"]
            found = udp_sockets()
            for address in others:
                found.remove(address)
            await client.connection.close()
        assert set(re.findall(r"a=candidate:\S+ \d udp \d+ (\S+) ", answer)) == {"127.0.0.1"}
        return found

    assert set(asyncio.run(main())) == {"127.0.0.1"}


def test_a_port_that_is_taken_is_one_sentence():
    from backend.capture.streaming.site import Page, serving

    async def main() -> None:
        async with served(Marks()) as stream, serving(stream.address, stream.viewers, Page()):
            pass

    with pytest.raises(NetworkError, match=r"127.0.0.1:\d+ cannot be listened on .*: choose another --port"):
        asyncio.run(main())


def test_addresses_for_viewers():
    assert Address("127.0.0.1", 8650, "abc").url == "http://127.0.0.1:8650/?token=abc"
    assert Address("::1", 8650, "").url == "http://[::1]:8650/"
    assert "0.0.0.0" not in Address("0.0.0.0", 8650, "abc").url
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("0.0.0.0") and not is_loopback("192.168.1.4") and not is_loopback("elsewhere.example")


def test_the_page_is_shipped_with_the_code():
    assert (Path(viewers_module.__file__).parent / "page.html").is_file()
