"""What a model makes of it: adapters, runs, metrics, explanations.

import stress
result = stress.run("town:7:40", "zoo:detector", {"shifts": "weather,lighting", "severities": [1, 3, 5]}, "runs/first")
result.results.headline["rpc"]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stress.calibration import Calibration, calibrate
    from stress.estimate import dry_run
    from stress.feedback import make_feedback
    from stress.plan import Cell, Plan
    from stress.reproduction import reproduce
    from stress.results import Results, read
    from stress.running import Interrupted, RunResult, run
    from stress.training.retraining import retrain

_HOME = {
    "Calibration": "stress.calibration",
    "calibrate": "stress.calibration",
    "Cell": "stress.plan",
    "Interrupted": "stress.running",
    "Plan": "stress.plan",
    "Results": "stress.results",
    "RunResult": "stress.running",
    "read": "stress.results",
    "reproduce": "stress.reproduction",
    "dry_run": "stress.estimate",
    "run": "stress.running",
    "make_feedback": "stress.feedback",
    "retrain": "stress.training.retraining",
}
__all__ = [
    "Calibration",
    "Cell",
    "Interrupted",
    "Plan",
    "Results",
    "RunResult",
    "calibrate",
    "dry_run",
    "make_feedback",
    "read",
    "reproduce",
    "retrain",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import a part when it is first asked for: `import stress` alone loads nothing heavy."""
    if name not in _HOME:
        raise AttributeError(f"module 'stress' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
