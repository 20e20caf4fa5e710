"""The one exception for input that cannot be used."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something the user gave cannot be used: data, plan, model, option.

    The message names the thing, what was wanted, what came and what to do. The command line prints it
    without a traceback and exits with code 2.
    """


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return a hint that names the nearest known word, or an empty string.

    >>> did_you_mean("severites", ["severities", "seed"])
    " (did you mean 'severities'?)"
    >>> did_you_mean("zzz", ["seed"])
    ''
    """
    if not isinstance(word, str):  # e.g. a position where samples are looked up by name
        return "".join(f" (expected a name such as {name!r})" for name in list(known)[:1])
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
