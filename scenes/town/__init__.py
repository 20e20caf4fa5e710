"""The built-in town: a procedural street world with exact labels.

>>> from scenes.town import Town
>>> town = Town(7)
>>> town.camera(0).width
640
"""

from scenes.town.classes import CLASS_NAMES
from scenes.town.crops import CROP_CLASSES, write_crops
from scenes.town.dataset import TownDataset
from scenes.town.town import Town

__all__ = ["CLASS_NAMES", "CROP_CLASSES", "Town", "TownDataset", "write_crops"]
