"""Tell whether a TorchScript archive only computes with tensors.

Loading one runs nothing but its `__setstate__` methods and those of C++ classes, so archives that have any are refused
before they are loaded (records are read by torch's own reader, so both see the same bytes). What it would run later is
known from its graphs: operators outside of the known namespaces, and those that touch files or other processes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMESPACES = ("aten", "prim", "quantized", "torchvision")
# Of these namespaces, what reaches beyond tensors: files, Python, other processes, code that is not in the graph.
REFUSED = re.compile(r"aten::(save|load|from_file)|prim::(PythonOp|IgnoredPythonOp|CallMethod|CallFunction|rpc_.*)")
CLASSES = re.compile(rb"torch[\s\\.]+classes")  # C++ classes, as `__torch__.torch.classes.NAME`
ZIP = b"PK\x03\x04"


def storage_reason(path: Path) -> str | None:
    """Return why an archive may run something while it is loaded, None where it does not. Nothing is loaded."""
    import torch

    with path.open("rb") as file:
        if file.read(4) != ZIP:
            return "it is not a plain TorchScript archive"
    reader = torch._C.PyTorchFileReader(str(path))
    names = [str(name) for name in reader.get_all_records()]
    if any(name.lower() == "model.json" for name in names):
        return "it was written by a torch older than 1.4"
    for name in names:
        if not name.lower().endswith((".py", ".pkl")):
            continue
        record = reader.get_record(name)
        if b"__setstate__" in record:
            return "its program has __setstate__, which runs while it is loaded"
        if CLASSES.search(record):
            return "it uses classes from C++ extensions, which reach beyond tensors"
    return None


def program_reason(script: Any) -> str | None:
    """Return why the graphs of a loaded archive reach beyond tensors, None where they do not."""
    kinds = {kind for module in script.modules() for graph in _graphs(module._c) for kind in _kinds(graph)}
    for kind in sorted(kinds):
        if kind.partition("::")[0] not in NAMESPACES or REFUSED.fullmatch(kind):
            return f"its program uses {kind!r}, which reaches beyond tensors"
    return None


def _graphs(module: Any) -> Iterator[Any]:
    """Yield the graphs of a module's methods and hooks, with what they call put in their place."""
    import torch

    methods = [module._get_method(name) for name in module._method_names()]
    for function in (*methods, *module._get_forward_hooks(), *module._get_forward_pre_hooks()):
        graph = function.graph.copy()
        torch._C._jit_pass_inline(graph)
        yield graph


def _kinds(block: Any) -> Iterator[str]:
    """Yield the operators of a graph or block, and those of its inner blocks and graphs."""
    for node in block.nodes():
        yield str(node.kind())
        inner = [node.g(name) for name in node.attributeNames() if node.kindOf(name) == "g"]
        for part in (*node.blocks(), *inner):
            yield from _kinds(part)
