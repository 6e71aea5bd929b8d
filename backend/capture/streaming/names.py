"""What the options of a stream may name; without anything heavy, for `--help`."""

from __future__ import annotations

import ipaddress
import re

FOOTAGE, ALPHA = "footage", "alpha"
"""Backgrounds beside colours: the clip itself; black, with the alpha as a grey image to the right of the colours."""


def colour_of(text: str) -> tuple[int, int, int] | None:
    """R, G, B of `#RRGGBB`; None for what is no colour."""
    found = re.fullmatch(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", text)
    return None if found is None else (int(found[1], 16), int(found[2], 16), int(found[3], 16))


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
