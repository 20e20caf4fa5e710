"""pytorch-ood's detectors on embeddings, fitted once; imported late, as it brings torch and torchvision with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_ood.detector import KNN, EnergyBased, Mahalanobis, ReAct, ViM

from stress.unknown import MOST_DIRECTIONS, NEIGHBOURS

Vectors = NDArray[np.float32]
Fit = Callable[[Vectors], NDArray[np.float64]]


def fit_detectors(vectors: Vectors, labels: NDArray[Any], head: Any) -> dict[str, Fit]:
    """Fit KNN and Mahalanobis, with the last linear layer of a classifier ViM and ReAct too.

    vectors: (M, D) of clean frames; labels: (M,) their classes; head: a `torch.nn.Linear` over the embedding, or None
    """
    classes = torch.from_numpy(np.unique(labels, return_inverse=True)[1].astype(np.int64))  # without gaps
    z = torch.from_numpy(vectors)
    found = {"knn": _knn(z, classes), "mahalanobis": _mahalanobis(vectors, classes)}
    if head is not None and head.bias is not None and head.in_features == z.shape[1]:
        found |= {"vim": _vim(z, classes, head), "react": _react(z, classes, head)}
    return found


def _knn(z: torch.Tensor, classes: torch.Tensor) -> Fit:
    detector = KNN(None, k=max(1, min(NEIGHBOURS, len(z) // 10)))
    detector.knn.set_params(n_jobs=1)
    detector.fit_features(z, torch.zeros_like(classes))
    return _applied(detector.predict_features)


def _mahalanobis(vectors: Vectors, classes: torch.Tensor) -> Fit:
    """Measure in the directions of largest spread, at most one for every four frames, so that the covariance holds."""
    centre = vectors.mean(axis=0, dtype=np.float64)
    _, size, axes = np.linalg.svd(vectors - centre, full_matrices=False)
    n = max(1, min(MOST_DIRECTIONS, len(vectors) // 4, int((size > 1e-6 * size[0]).sum())))
    axes = axes[:n].T * (np.sqrt(len(vectors)) / np.maximum(size[:n], 1e-12))  # each of unit spread

    def project(z: Vectors) -> torch.Tensor:
        return torch.from_numpy((z - centre) @ axes)

    detector = Mahalanobis(None)
    detector.fit_features(project(vectors).float(), classes)
    return lambda z: np.asarray(detector.predict_features(project(z).float()).numpy(), np.float64)


def _vim(z: torch.Tensor, classes: torch.Tensor, head: Any) -> Fit:
    width = z.shape[1]
    detector = ViM(None, d=512 if width >= 768 else max(1, width // 2), w=head.weight.cpu(), b=head.bias.cpu())
    detector.fit_features(z, classes)
    return _applied(detector.predict_features)


def _react(z: torch.Tensor, classes: torch.Tensor, head: Any) -> Fit:
    weight, bias = head.weight.detach().float().cpu(), head.bias.detach().float().cpu()
    detector = ReAct(lambda x: x, lambda x: x @ weight.T + bias, detector=EnergyBased.score)
    detector.fit_feature_maps(z, classes)
    return _applied(detector.predict_feature_maps)


def _applied(score: Callable[[torch.Tensor], torch.Tensor]) -> Fit:
    return lambda z: np.asarray(score(torch.from_numpy(z)).numpy(), np.float64)
