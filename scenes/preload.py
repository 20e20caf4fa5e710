"""Imported last by the fork server: what it has imported is kept out of garbage collection.

A collection writes to the header of every object, and a written page is no longer shared between processes. numba makes
a semaphore when its threads are first asked about: made here, it does not stay behind where a worker is ended. The
server itself only waits: what it read of the libraries' files is let go.
"""

from __future__ import annotations

import gc
import importlib
import sys

from scenes.memory import release_libraries

if "numba" in sys.modules:
    make_lock = getattr(importlib.import_module("numba.np.ufunc.parallel"), "_set_init_process_lock", None)
    if make_lock is not None:  # private: without it, ending a worker early costs a warning and no more
        make_lock()
gc.collect()
gc.freeze()
release_libraries()
