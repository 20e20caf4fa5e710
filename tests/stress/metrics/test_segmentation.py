"""Segmentation figures equal torchmetrics', ignored pixels and foreign classes included."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from scenes.errors import InputError
from scenes.sample import Annotations, Predictions, Sample
from stress.class_map import ClassMap
from stress.metrics.scored import Payload
from stress.metrics.segmentation import SegmentationScorer, confusion_counts
from stress.statistics import group_weights

NAMES = ("road", "car", "sky", "person")


def pictures(seed, n=6, *, ignore=True):
    rng = np.random.default_rng(seed)
    for i in range(n):
        truth = rng.integers(0, 4, (20, 30)).astype(np.uint8)
        said = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 4, truth.shape)).astype(np.int64)
        if ignore:
            truth[rng.random(truth.shape) < 0.2] = 255
        sample = Sample(
            sample_id=str(i), image=np.zeros((20, 30, 3), np.uint8), annotations=Annotations(segmentation=truth)
        )
        yield sample, Predictions(segmentation=said)


def cell_of(pairs, classes, *, resamples=20):
    scorer = SegmentationScorer(classes, min_visibility=0.3)
    scored = [scorer.score(s, (), p) for s, p in pairs]
    columns = {name: pa.array([s.payload[name] for s in scored], kind) for name, kind in scorer.columns.items()}
    payload = Payload(columns=columns, group=np.arange(len(scored)), n_groups=len(scored))
    return scorer.cell(payload, group_weights(len(scored), resamples, seed=0))


def value(cell, metric, class_name=None):
    (found,) = [f for f in cell.figures if (f.metric, f.class_name) == (metric, class_name)]
    return found.draws[0]


@pytest.mark.core
@pytest.mark.parametrize("seed", range(3))
def test_figures_equal_torchmetrics(seed):
    torch = pytest.importorskip("torch")
    from torchmetrics.functional.classification import (
        multiclass_accuracy,
        multiclass_f1_score,
        multiclass_jaccard_index,
    )

    pairs = list(pictures(seed))
    cell = cell_of(pairs, ClassMap.between(NAMES, NAMES))
    said = torch.tensor(np.stack([p.segmentation for _, p in pairs]))
    truth = torch.tensor(np.stack([s.annotations.segmentation for s, _ in pairs]).astype(np.int64))
    options = {"num_classes": 4, "ignore_index": 255}
    assert value(cell, "miou") == pytest.approx(float(multiclass_jaccard_index(said, truth, **options)), abs=1e-6)
    f1 = multiclass_f1_score(said, truth, average="macro", **options)
    assert value(cell, "dice") == pytest.approx(float(f1), abs=1e-6)
    micro = multiclass_accuracy(said, truth, average="micro", **options)
    assert value(cell, "pixel_accuracy") == pytest.approx(float(micro), abs=1e-6)
    each = multiclass_jaccard_index(said, truth, average="none", **options)
    for c, name in enumerate(NAMES):
        assert value(cell, "miou", name) == pytest.approx(float(each[c]), abs=1e-6)


def test_counts_equal_the_confusion_matrix_of_torchmetrics():
    torch = pytest.importorskip("torch")
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    sample, said = next(iter(pictures(7)))
    mine = np.where(sample.annotations.segmentation == 255, -1, sample.annotations.segmentation).astype(np.int32)
    ours = confusion_counts(mine, said.segmentation.astype(np.int32), 4)
    truth = torch.tensor(sample.annotations.segmentation.astype(np.int64))
    theirs = multiclass_confusion_matrix(torch.tensor(said.segmentation), truth, num_classes=4, ignore_index=255)
    assert (ours[:, :4] == theirs.numpy()).all()
    assert (ours[:, 4] == 0).all()


def test_a_class_only_the_model_knows_is_wrong_and_one_only_the_data_knows_is_ignored():
    classes = ClassMap.between(["road", "car", "toaster"], ["road", "car", "sky"])
    truth = np.array([[0, 0, 1, 2]], np.uint8)
    said = np.array([[0, 2, 1, 0]], np.int64)
    sample = Sample(sample_id="a", image=np.zeros((1, 4, 3), np.uint8), annotations=Annotations(segmentation=truth))
    cell = cell_of([(sample, Predictions(segmentation=said))], classes)
    assert value(cell, "miou", "road") == pytest.approx(0.5)  # one of two right; the sky pixel called road is ignored
    assert value(cell, "miou", "car") == 1.0
    assert value(cell, "pixel_accuracy") == pytest.approx(2 / 3)


def test_signed_labels_with_minus_one_mean_the_same_as_255():
    classes = ClassMap.between(NAMES, NAMES)
    sample, said = next(iter(pictures(1)))
    labels = sample.annotations.segmentation
    signed = np.where(labels == 255, -1, labels).astype(np.int16)
    twin = Sample(sample_id="b", image=sample.image, annotations=Annotations(segmentation=signed))
    assert value(cell_of([(sample, said)], classes), "miou") == value(cell_of([(twin, said)], classes), "miou")


def test_a_label_beyond_the_class_list_is_a_clear_error():
    scorer = SegmentationScorer(ClassMap.between(NAMES, NAMES), min_visibility=0.3)
    labels = np.full((2, 2), 9, np.uint8)
    sample = Sample(sample_id="x/1", image=np.zeros((2, 2, 3), np.uint8), annotations=Annotations(segmentation=labels))
    with pytest.raises(InputError, match=r"'x/1'.*0 to 3.*got 9"):
        scorer.truth(sample)


def test_more_classes_than_a_byte_holds():
    names = [f"c{i}" for i in range(300)]
    rng = np.random.default_rng(0)
    truth = rng.integers(-1, 300, (40, 50)).astype(np.int16)
    said = np.where(rng.random(truth.shape) < 0.5, truth, rng.integers(0, 300, truth.shape)).clip(0).astype(np.int64)
    sample = Sample(sample_id="a", image=np.zeros((40, 50, 3), np.uint8), annotations=Annotations(segmentation=truth))
    scored = SegmentationScorer(ClassMap.between(names, names), min_visibility=0.3).score(
        sample, (), Predictions(segmentation=said)
    )
    wanted = np.zeros((300, 301), np.int64)
    np.add.at(wanted, (truth[truth >= 0], said[truth >= 0]), 1)
    np.testing.assert_array_equal(scored.payload["confusion"].reshape(300, 301), wanted)
