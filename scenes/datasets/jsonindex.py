"""Long JSON files, read element by element: where each stands in the file is kept, what it says is read when asked for.

A label file of a large data set holds millions of objects in one JSON array. Keeping them as Python objects takes
gigabytes; keeping (start, end) byte offsets takes 16 bytes each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from scenes.errors import InputError

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class Piece(NamedTuple):
    """One value of a file: the key it stands under, the value, its bytes [start, end), whether it is an array's."""

    key: str
    value: Any
    start: int
    end: int
    element: bool


class JsonFile:
    """A JSON file whose top level is an array, or an object with arrays worth walking through."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
        try:
            self._text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: expected JSON in UTF-8: {error}") from error
        self._ascii = len(self._text) == len(data)
        self._marks: tuple[int, int] = (0, 0)  # last position as characters and bytes, for text with multi-byte letters
        if self._text.startswith("\ufeff"):
            raise InputError(f"{path}: expected JSON without a byte order mark; save it as plain UTF-8")

    def walk(self) -> Iterator[Piece]:
        """Yield each element of the top array; or each value of the top object, arrays as None, then their elements."""
        position = self._skip(0)
        opening = self._text[position : position + 1]
        if opening == "[":
            position = yield from self._elements(position, "")
        elif opening == "{":
            position = yield from self._members(position)
        else:
            self._fail(position, "a JSON object or array")
        if self._skip(position) != len(self._text):
            self._fail(self._skip(position), "the end of the file")

    def _members(self, position: int) -> Generator[Piece, None, int]:
        position = self._skip(position + 1)
        while self._text[position : position + 1] != "}":
            key, position = self._decode(position)
            position = self._expect(position, ":")
            if self._text[position : position + 1] == "[":
                yield Piece(str(key), None, self._byte(position), self._byte(position), False)
                position = yield from self._elements(position, str(key))
            else:
                value, end = self._decode(position)
                yield Piece(str(key), value, self._byte(position), self._byte(end), False)
                position = end
            position = self._next(position, "}")
        return position + 1

    def _elements(self, position: int, key: str) -> Generator[Piece, None, int]:
        position = self._skip(position + 1)
        while self._text[position : position + 1] != "]":
            value, end = self._decode(position)
            yield Piece(key, value, self._byte(position), self._byte(end), True)
            position = self._next(end, "]")
        return position + 1

    def _next(self, position: int, closing: str) -> int:
        """Step over a comma to the next item; stay at the closing bracket."""
        position = self._skip(position)
        sign = self._text[position : position + 1]
        if sign == ",":
            return self._skip(position + 1)
        if sign != closing:
            self._fail(position, f"',' or {closing!r}")
        return position

    def _decode(self, position: int) -> tuple[Any, int]:
        try:
            return _DECODER.raw_decode(self._text, position)
        except json.JSONDecodeError as error:
            raise InputError(f"{self.path}: not valid JSON: {error}") from error
        except RecursionError as error:
            raise InputError(f"{self.path}: not usable JSON: nested too deeply") from error

    def _skip(self, position: int) -> int:
        match = _SPACE.match(self._text, position)
        return match.end() if match else position

    def _expect(self, position: int, sign: str) -> int:
        position = self._skip(position)
        if self._text[position : position + 1] != sign:
            self._fail(position, repr(sign))
        return self._skip(position + 1)

    def _fail(self, position: int, wanted: str) -> NoReturn:
        line = self._text.count("\n", 0, position) + 1
        got = self._text[position : position + 20]
        where = f"got {got!r}" if got else "the file ends"
        raise InputError(f"{self.path}: not valid JSON: line {line}: expected {wanted}, {where}")

    def _byte(self, position: int) -> int:
        """Return the byte offset of a character; cheap when asked in rising order."""
        if self._ascii:
            return position
        characters, size = self._marks
        if position < characters:
            characters, size = 0, 0
        size += len(self._text[characters:position].encode())
        self._marks = (position, size)
        return size


def read_elements(path: Path, spans: list[tuple[int, int]]) -> list[Any]:
    """Return the elements between pairs of byte offsets."""
    if not spans:
        return []
    try:
        with path.open("rb") as stream:
            found = []
            for start, end in spans:
                stream.seek(start)
                found.append(json.loads(stream.read(end - start)))
            return found
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: changed or vanished since it was opened: {error}") from error
