"""What the zoo promises, on town seeds that no training has seen: a few frames here, many in the slow test."""

import numpy as np
import pytest

from scenes.town import CLASS_NAMES, TownDataset, write_crops
from stress.adapters import load_model
from stress.zoo import NAMES
from stress.zoo.evaluate import classifier_figures, detector_figures, segmenter_figures
from stress.zoo.frames import Frame
from stress.zoo.weights import FOLDER, card

SEED = 77  # of the test split: never trained on, nor what the cards were measured on
PROMISED = {"detector": ("ap50", 0.75), "segmenter": ("miou", 0.7), "classifier": ("top1", 0.95)}


@pytest.mark.core
@pytest.mark.parametrize("name", NAMES)
def test_weights_are_small_and_their_card_keeps_the_promise(name):
    assert (FOLDER / f"{name}.safetensors").stat().st_size <= 3_000_000
    key, least = PROMISED[name]
    told = card(name)
    assert told["figures"][key] >= least
    assert told["classes"] == list(load_model(f"zoo:{name}", device="cpu").class_names)
    assert told["training"]["minutes"] < 60


def judged(n, crops_in):
    """Figures on n fresh frames, every one of another street."""
    data = TownDataset(SEED, n, split="test", frames_per_drive=1)
    frames = [Frame.of(sample) for sample in data]
    write_crops(data, crops_in)
    import cv2

    classifier = load_model("zoo:classifier", device="cpu")
    files = sorted(crops_in.glob("*/*.png"))
    crops = [cv2.imread(str(path))[..., ::-1].copy() for path in files]
    labels = np.array([classifier.class_names.index(path.parent.name) for path in files])
    return {
        "detector": detector_figures(load_model("zoo:detector", device="cpu"), frames, CLASS_NAMES),
        "segmenter": segmenter_figures(load_model("zoo:segmenter", device="cpu"), frames, CLASS_NAMES),
        "classifier": classifier_figures(classifier, crops, labels),
    }


def test_a_few_fresh_frames_come_near(tmp_path):
    figures = judged(3, tmp_path)
    for name, (key, least) in PROMISED.items():
        assert figures[name][key] >= least - 0.15, (name, figures[name])


@pytest.mark.slow
def test_unseen_streets_keep_the_promise(tmp_path):
    figures = judged(40, tmp_path)
    for name, (key, least) in PROMISED.items():
        assert figures[name][key] >= least, (name, figures[name])
