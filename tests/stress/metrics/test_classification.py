"""Classification figures equal torchmetrics', and a resample equals the figures of the repeated pictures."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from scenes.sample import Annotations, Predictions, Sample
from stress.class_map import ClassMap
from stress.metrics.classification import ClassificationScorer
from stress.metrics.scored import Payload

NAMES = tuple("abcdefg")
KEYS = ("accuracy", "top5", "precision", "recall", "f1", "auroc")


def pictures(seed, n=60, *, coarse=False):
    rng = np.random.default_rng(seed)
    image = np.zeros((2, 2, 3), np.uint8)
    for i in range(n):
        label = int(rng.integers(0, 7))
        logits = rng.normal(0, 1, 7)
        logits[label] += 1.0
        shares = np.exp(logits) / np.exp(logits).sum()
        if coarse:  # many ties
            shares = np.round(shares, 1)
        sample = Sample(sample_id=str(i), image=image, annotations=Annotations(label=label))
        yield sample, Predictions(probabilities=shares.astype(np.float32))


def cell_of(pairs, weights=None):
    scorer = ClassificationScorer(ClassMap.between(NAMES, NAMES), min_visibility=0.3)
    scored = [scorer.score(s, (), p) for s, p in pairs]
    columns = {name: pa.array([s.payload[name] for s in scored], kind) for name, kind in scorer.columns.items()}
    payload = Payload(columns=columns, group=np.arange(len(scored)), n_groups=len(scored))
    return scorer.cell(payload, np.ones((1, len(scored)), np.int32) if weights is None else weights)


def value(cell, metric, row=0, class_name=None):
    (found,) = [f for f in cell.figures if (f.metric, f.class_name) == (metric, class_name)]
    return found.draws[row]


@pytest.mark.core
@pytest.mark.parametrize("seed", range(3))
def test_figures_equal_torchmetrics(seed):
    torch = pytest.importorskip("torch")
    from torchmetrics.functional import classification as tm

    pairs = list(pictures(seed, coarse=seed == 2))
    shares = torch.tensor(np.stack([p.probabilities for _, p in pairs]))
    truth = torch.tensor([s.annotations.label for s, _ in pairs])
    cell = cell_of(pairs)
    reference = {
        "accuracy": tm.multiclass_accuracy(shares, truth, 7, average="micro"),
        "precision": tm.multiclass_precision(shares, truth, 7, average="macro"),
        "recall": tm.multiclass_recall(shares, truth, 7, average="macro"),
        "f1": tm.multiclass_f1_score(shares, truth, 7, average="macro"),
        "auroc": tm.multiclass_auroc(shares, truth, 7, average="macro"),
    }
    if seed != 2:  # which of several tied classes is fifth is not defined
        reference["top5"] = tm.multiclass_accuracy(shares, truth, 7, average="micro", top_k=5)
    for key, theirs in reference.items():
        assert value(cell, key) == pytest.approx(float(theirs), abs=1e-6), key
    matrix = tm.multiclass_confusion_matrix(shares, truth, 7)
    assert cell.confusion["counts"] == matrix.tolist()


def test_a_resample_equals_the_figures_of_the_repeated_pictures():
    pairs = list(pictures(5, n=12))
    counts = np.array([2, 0, 1, 1, 3, 0, 1, 1, 0, 1, 1, 1], np.int32)
    cell = cell_of(pairs, np.stack([np.ones(12, np.int32), counts]))
    repeated = cell_of([pairs[i] for i in np.repeat(np.arange(12), counts)])
    for key in KEYS:
        assert value(cell, key, row=1) == pytest.approx(value(repeated, key), abs=1e-12), key


def test_a_class_the_model_alone_knows_cannot_win():
    scorer = ClassificationScorer(ClassMap.between(["a", "b", "toaster"], ["a", "b"]), min_visibility=0.3)
    sample = Sample(sample_id="1", image=np.zeros((2, 2, 3), np.uint8), annotations=Annotations(label=1))
    said = Predictions(probabilities=np.array([0.1, 0.2, 0.7], np.float32))
    assert scorer.score(sample, (), said).quantities["accuracy"] == 1.0
