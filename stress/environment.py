"""What a run was made with; see scenes/environment.py."""

from __future__ import annotations

from scenes.environment import environment, installed, own_version, usable_cores

__all__ = ["environment", "installed", "own_version", "usable_cores"]
