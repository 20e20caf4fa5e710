"""Load `module:attr` and `file.py:attr`, the doors for parts that are not ours.

The folder of a named file is appended to `sys.path`, never put first, so that a file called `synth.py` or `cli.py`
cannot take the place of a core package. The file itself becomes a module of a private name, so that one called
`timm.py` is not what others get who import timm.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from scenes.errors import InputError, did_you_mean

PRIVATE = "roadproof_plugin_"  # what the module names of named files begin with
CORE = ("scenes", "synth", "stress", "reports", "cli")
_FILE = re.compile(r"^(?P<file>.+\.py):(?P<attr>[A-Za-z_][\w.]*)$")
_MODULE = re.compile(r"^(?P<module>[A-Za-z_]\w*(?:\.\w+)*):(?P<attr>[A-Za-z_][\w.]*)$")


def looks_like_attribute(text: str) -> bool:
    """Tell whether a text has the form `module:attr` or `file.py:attr`.

    >>> looks_like_attribute("my_models.py:detector"), looks_like_attribute("weather/fog")
    (True, False)
    """
    return bool(_FILE.match(text) or _MODULE.match(text))


def load_attribute(text: str, *, what: str) -> Any:
    """Import the attribute that `module:attr` or `file.py:attr` names; `what` is the word for it in errors."""
    if match := _FILE.match(text):
        module = _load_file(Path(match["file"]), what=what)
    elif match := _MODULE.match(text):
        try:
            module = importlib.import_module(match["module"])
        except ImportError as error:
            raise InputError(f"{what} {text!r}: cannot import {match['module']!r}: {error}") from error
    else:
        raise InputError(f"{what} {text!r}: expected module:attr or file.py:attr")
    value: Any = module
    for part in match["attr"].split("."):
        if not hasattr(value, part):
            near = did_you_mean(part, [name for name in dir(value) if not name.startswith("_")])
            raise InputError(f"{what} {text!r}: {text.rpartition(':')[0]} has no attribute {part!r}{near}")
        value = getattr(value, part)
    return value


def _load_file(path: Path, *, what: str) -> ModuleType:
    if not path.is_file():
        raise InputError(f"{what}: no file {str(path)!r}")
    path = path.resolve()
    if path.stem in CORE:
        core = importlib.util.find_spec(path.stem)
        there = core.origin if core else "roadproof"
        raise InputError(f"{what}: {path} has the name of roadproof's own {there}; rename the file")
    name = _private_name(path)
    for known in (name, path.stem):  # a file that was imported by its own name is not run a second time
        loaded = sys.modules.get(known)
        if loaded is not None and getattr(loaded, "__file__", None) == str(path):
            return loaded
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{what}: cannot read {path} as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(f"{what}: {path} failed while it was imported: {type(error).__name__}: {error}") from error
    return module


def _private_name(path: Path) -> str:
    """Return a module name for a file, the same in every process."""
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    return f"{PRIVATE}{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}_{digest}"
