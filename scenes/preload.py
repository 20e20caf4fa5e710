"""Imported last by the fork server: what it has imported is kept out of garbage collection.

A collection writes to the header of every object, and a written page is no longer shared between processes.
"""

from __future__ import annotations

import gc

gc.collect()
gc.freeze()
