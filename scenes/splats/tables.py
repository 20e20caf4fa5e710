"""PLY files (Turk 1994) as numpy tables: ascii and both binary orders in, little-endian binary out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.images import write_bytes

Table = NDArray[np.void]  # (rows,) structured, a field a property
TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
NAMES = {
    "i1": "char",
    "u1": "uchar",
    "i2": "short",
    "u2": "ushort",
    "i4": "int",
    "u4": "uint",
    "f4": "float",
    "f8": "double",
}
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}


def read_ply(path: Path) -> dict[str, Table]:
    """Return the elements of a PLY file by name; list properties (faces) and what follows them are left out."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    end = data.find(b"end_header")
    if not data.startswith(b"ply") or end < 0:
        raise InputError(f"{path}: expected a PLY file (`ply` ... `end_header`), got {data[:20]!r}")
    start = data.find(b"\n", end) + 1
    order, elements = _header(data[:end].decode("ascii", "replace"), path)
    found: dict[str, Table] = {}
    for name, rows, fields in elements:
        if fields is None:
            break
        dtype = np.dtype([(field, order.replace("=", "") + kind) for field, kind in fields])
        if order == "=":
            found[name], start = _ascii(data, start, rows, dtype, path, name)
            continue
        size = rows * dtype.itemsize
        if start + size > len(data):
            wanted = f"{rows} rows of {dtype.itemsize} bytes"
            raise InputError(f"{path}: element {name}: expected {wanted}, only {len(data) - start} bytes are left")
        found[name] = np.frombuffer(data, dtype, rows, start)
        start += size
    return found


def _header(text: str, path: Path) -> tuple[str, list[tuple[str, int, list[tuple[str, str]] | None]]]:
    order = None
    elements: list[tuple[str, int, list[tuple[str, str]] | None]] = []
    for line in text.splitlines()[1:]:
        words = line.split()
        try:
            if not words or words[0] in ("comment", "obj_info"):
                continue
            if words[0] == "format":
                order = ORDERS[words[1]]
            elif words[0] == "element":
                elements.append((words[1], int(words[2]), []))
            elif words[0] == "property" and words[1] == "list":
                elements[-1] = (*elements[-1][:2], None)
            elif words[0] == "property" and elements[-1][2] is not None:
                elements[-1][2].append((words[2], TYPES[words[1]]))
        except (KeyError, IndexError, ValueError) as error:
            raise InputError(f"{path}: PLY header: cannot make sense of {line!r}") from error
    if order is None or any(rows < 0 for _, rows, _ in elements):
        raise InputError(f"{path}: PLY header: expected a format line and element counts of 0 or more")
    return order, elements


def _ascii(data: bytes, start: int, rows: int, dtype: np.dtype[Any], path: Path, name: str) -> tuple[Table, int]:
    stream = io.BytesIO(data)
    stream.seek(start)
    table = np.zeros(rows, dtype)
    for row in range(rows):
        words = stream.readline().split()
        try:
            table[row] = tuple(float(w) for w in words)
        except ValueError as error:
            wanted = f"{len(dtype.names or ())} numbers"
            raise InputError(f"{path}: element {name}, row {row}: expected {wanted}, got {words!r}") from error
    return table, stream.tell()


def write_ply(path: Path, elements: Mapping[str, Table], *, comments: tuple[str, ...] = ()) -> None:
    """Write tables as elements, little-endian binary, whole or not at all."""
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {c}" for c in comments)]
    for name, table in elements.items():
        lines.append(f"element {name} {len(table)}")
        for field in table.dtype.names or ():
            lines.append(f"property {NAMES[table.dtype[field].str[1:]]} {field}")
    header = "\n".join([*lines, "end_header", ""]).encode("ascii")
    body = b"".join(t.astype(t.dtype.newbyteorder("<"), copy=False).tobytes() for t in elements.values())
    write_bytes(path, header + body)
