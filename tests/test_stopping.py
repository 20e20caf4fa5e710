"""Ctrl-C while something stops already."""

from __future__ import annotations

import signal

import pytest

from scenes.stopping import CleanStop, told


def test_ctrl_c_is_ignored_from_begin_to_the_end_of_the_block_and_only_there() -> None:
    before = signal.getsignal(signal.SIGINT)
    with CleanStop() as stop:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        stop.begin()
        stop.begin()
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_what_the_first_interrupt_says_is_not_lost_under_a_second() -> None:
    second = KeyboardInterrupt()
    second.__context__ = OSError("on the way out")
    second.__context__.__context__ = KeyboardInterrupt("The same command resumes.")
    assert told(second) == "The same command resumes."
    assert told(KeyboardInterrupt()) == ""
