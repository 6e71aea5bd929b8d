"""What is made ahead arrives in order, with its errors, and stops when nobody wants more."""

from __future__ import annotations

import contextlib
import threading

import pytest

from backend.errors import MediaError
from backend.media.ahead import made_ahead


def test_items_come_in_order_and_are_made_on_another_thread():
    makers = []

    def items():
        for number in range(20):
            makers.append(threading.current_thread())
            yield number

    assert list(made_ahead(items(), 3)) == list(range(20))
    assert threading.current_thread() not in makers


def test_an_error_arrives_after_what_was_made_before_it():
    def items():
        yield 1
        raise MediaError("the file ends here")

    found = made_ahead(items())
    assert next(found) == 1
    with pytest.raises(MediaError, match="ends here"):
        next(found)


def test_closing_stops_the_making_and_ends_its_thread():
    made = []

    def endless():
        while True:
            made.append(len(made))
            yield made[-1]

    before = threading.active_count()
    with contextlib.closing(made_ahead(endless(), 2)) as items:
        assert next(items) == 0
    assert threading.active_count() == before
    assert len(made) <= 5
