"""Adapters: what turns a model of any kind into `name`, `task`, `class_names` and `predict(images)`."""

from stress.adapters.checked import CheckedModel, checked
from stress.adapters.load import load_model

__all__ = ["CheckedModel", "checked", "load_model"]
