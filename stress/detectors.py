"""pytorch-ood's detectors on embeddings, fitted once; imported late, as it brings torch and torchvision with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_ood.detector import KNN, EnergyBased, Mahalanobis, ReAct, ViM

from stress.unknown import MOST_DIRECTIONS, NEIGHBOURS

FLOW_DIRECTIONS = 16  # of the embeddings' spread that a flow is fitted in
FLOW_FRAMES = 100  # clean frames that it needs
FLOW_STEPS, FLOW_RATE = 200, 3e-3  # of Adam

Vectors = NDArray[np.float32]
Fit = Callable[[Vectors], NDArray[np.float64]]


def fit_detectors(vectors: Vectors, labels: NDArray[Any], head: Any, *, flow: bool = False) -> dict[str, Fit]:
    """Fit KNN and Mahalanobis, with the last linear layer of a classifier ViM and ReAct too, a flow where wanted.

    vectors: (M, D) of clean frames; labels: (M,) their classes; head: a `torch.nn.Linear` over the embedding, or None
    """
    classes = torch.from_numpy(np.unique(labels, return_inverse=True)[1].astype(np.int64))  # without gaps
    z = torch.from_numpy(vectors)
    found = {"knn": _knn(z, classes), "mahalanobis": _mahalanobis(vectors, classes)}
    if head is not None and head.bias is not None and head.in_features == z.shape[1]:
        found |= {"vim": _vim(z, classes, head), "react": _react(z, classes, head)}
    if flow and len(vectors) >= FLOW_FRAMES:
        found["flow"] = _flow(vectors)
    return found


def _knn(z: torch.Tensor, classes: torch.Tensor) -> Fit:
    detector = KNN(None, k=max(1, min(NEIGHBOURS, len(z) // 10)))
    detector.knn.set_params(n_jobs=1)
    detector.fit_features(z, torch.zeros_like(classes))
    return _applied(detector.predict_features)


def _mahalanobis(vectors: Vectors, classes: torch.Tensor) -> Fit:
    """Measure in the directions of largest spread, at most one for every four frames, so that the covariance holds.

    The frames of a class say less by one, which its mean takes. Where that leaves less than half of them (many classes,
    few frames of each) there is one mean of all, as the spread within classes would be that of next to nothing.
    """
    free = len(vectors) - 1 - int(classes.max())
    if 2 * free < len(vectors):
        classes, free = torch.zeros_like(classes), len(vectors) - 1
    project = _whitened(vectors, min(MOST_DIRECTIONS, free // 4))
    detector = Mahalanobis(None)
    detector.fit_features(project(vectors).float(), classes)
    return lambda z: np.asarray(detector.predict_features(project(z).float()).numpy(), np.float64)


def _whitened(vectors: Vectors, most: int) -> Callable[[Vectors], torch.Tensor]:
    """Return a projection onto at most so many directions of largest spread, each brought to unit spread."""
    centre = vectors.mean(axis=0, dtype=np.float64)
    _, size, axes = np.linalg.svd(vectors - centre, full_matrices=False)
    n = max(1, min(most, int((size > 1e-6 * size[0]).sum())))
    axes = axes[:n].T * (np.sqrt(len(vectors)) / np.maximum(size[:n], 1e-12))
    return lambda z: torch.from_numpy((z - centre) @ axes)


def _flow(vectors: Vectors) -> Fit:
    """Fit a neural spline flow (Durkan et al. 2019) to the embeddings; the score is minus its log likelihood."""
    import zuko

    project = _whitened(vectors, FLOW_DIRECTIONS)
    z = project(vectors).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        flow = zuko.flows.NSF(z.shape[1], transforms=2, hidden_features=(32, 32))
        noise = 0.05 * torch.randn(FLOW_STEPS, *z.shape)  # keeps the density off single frames
    optimiser = torch.optim.Adam(flow.parameters(), lr=FLOW_RATE)
    with torch.enable_grad():
        for step in range(FLOW_STEPS):
            loss = -flow().log_prob(z + noise[step]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    def score(found: Vectors) -> NDArray[np.float64]:
        with torch.no_grad():
            return np.asarray(-flow().log_prob(project(found).float()).numpy(), np.float64)

    return score


def _vim(z: torch.Tensor, classes: torch.Tensor, head: Any) -> Fit:
    """Keep as many principal directions as the paper's code (1,000 or 512 of wide embeddings), else half of the width.

    But at most one for every four frames: what frames leave out of a space that they span themselves is nothing but
    rounding, and the virtual logit would be measured in units of it.
    """
    width = z.shape[1]
    most = 1000 if width >= 2048 else 512 if width >= 768 else width // 2
    principal = max(1, min(most, len(z) // 4))
    detector = ViM(None, d=principal, w=head.weight.cpu(), b=head.bias.cpu())
    detector.fit_features(z, classes)
    return _applied(detector.predict_features)


def _react(z: torch.Tensor, classes: torch.Tensor, head: Any) -> Fit:
    weight, bias = head.weight.detach().float().cpu(), head.bias.detach().float().cpu()
    detector = ReAct(lambda x: x, lambda x: x @ weight.T + bias, detector=EnergyBased.score)
    detector.fit_feature_maps(z, classes)
    return _applied(detector.predict_feature_maps)


def _applied(score: Callable[[torch.Tensor], torch.Tensor]) -> Fit:
    return lambda z: np.asarray(score(torch.from_numpy(z)).numpy(), np.float64)
