"""Imported by the fork server: every shift is imported once there, and the workers share its memory."""

from __future__ import annotations

from contextlib import suppress

from scenes.errors import InputError
from synth.registry import shift_classes

with suppress(InputError):  # a plug-in that cannot be imported is told where it is asked for
    shift_classes()
