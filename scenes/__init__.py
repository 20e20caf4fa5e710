"""What the road is: samples, cameras, data sets, scenes and the built-in town."""

from scenes.camera import Camera
from scenes.errors import InputError
from scenes.sample import Annotations, Dataset, Predictions, Sample, Scene

__all__ = ["Annotations", "Camera", "Dataset", "InputError", "Predictions", "Sample", "Scene"]
