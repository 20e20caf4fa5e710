"""Why the model said so: Grad-CAM and HiResCAM through captum, RISE and D-RISE for black boxes."""

from stress.explain.explanation import Explanation, energy_inside
from stress.explain.masks import MaskBudget
from stress.explain.run import Method, explain, explain_failure
from stress.explain.targets import Target

__all__ = ["Explanation", "MaskBudget", "Method", "Target", "energy_inside", "explain", "explain_failure"]
