"""What is left out and why, how far a new set is from its source, and the page and sheet that show it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import synth
from reports import synthesis as page
from scenes.datasets import write_dataset
from scenes.images import read_image
from scenes.sample import Image, Sample
from synth.audit import Verdict
from synth.boxworld import box_sample
from synth.filters import Duplicates, looks_of, perceptual_hash, quality
from synth.preview import write_preview
from synth.quality import Features, measure, set_distances
from synth.recipe import Filters

NAMES = tuple(f"class{i}" for i in range(8))


def _kept(sample: Sample) -> tuple[Verdict, ...]:
    return tuple(Verdict(i, "kept", 1.0) for i in sample.annotations.instance_ids.tolist())


def _reason(made: Image, verdicts: tuple[Verdict, ...] | None = None, **filters: bool) -> str | None:
    clean = box_sample(160, 90)
    found = quality(clean, replace(clean, image=made), verdicts or _kept(clean), Filters(**filters))
    return None if found is None else found[0]


@pytest.mark.core
def test_pictures_that_show_nothing_are_told_apart() -> None:
    image = box_sample(160, 90).image
    assert _reason(image) == "unchanged"
    assert _reason(image, unchanged=False) is None
    assert _reason(np.zeros_like(image)) == "too dark"
    assert _reason(np.full_like(image, 15)) == "too dark"
    assert _reason(np.full_like(image, 180)) == "blank"
    assert _reason((image * 0.3).astype(np.uint8)) is None
    lamp = np.zeros_like(image)
    lamp[40:50, 80:90] = 255  # one headlight in the night is something to see
    assert _reason(lamp) is None


@pytest.mark.core
def test_a_frame_whose_objects_are_all_lost_is_left_out_but_one_without_objects_is_not() -> None:
    clean = box_sample(160, 90)
    other = (clean.image // 2 + 60).astype(np.uint8)
    ids = clean.annotations.instance_ids.tolist()
    lost = tuple(Verdict(i, "invalid", 0.0, "gone") for i in ids)
    hard = tuple(Verdict(i, "kept", 1.0, hard_to_see=True) for i in ids)
    assert _reason(other, lost) == "nothing left"
    assert _reason(other, hard) == "nothing to see"
    assert _reason(other, (*lost[:-1], _kept(clean)[-1])) is None
    assert _reason(other, (*lost, Verdict(99, "kept", 1.0, "the shift put it there"))) is None
    assert _reason(other, lost, nothing_left=False) is None
    empty = Sample(sample_id="empty", image=clean.image)
    assert quality(empty, replace(empty, image=other), (), Filters()) is None


@pytest.mark.core
def test_the_perceptual_hash_holds_under_size_and_noise_and_tells_scenes_apart() -> None:
    import cv2

    one, other = box_sample(320, 180, seed=1).image, box_sample(320, 180, seed=9).image
    small = np.asarray(cv2.resize(one, (200, 112), interpolation=cv2.INTER_AREA), np.uint8)
    noisy = np.clip(one + np.random.default_rng(0).normal(0, 6, one.shape), 0, 255).astype(np.uint8)
    near = [(perceptual_hash(one) ^ perceptual_hash(p)).bit_count() for p in (small, noisy)]
    assert max(near) <= 6
    assert (perceptual_hash(one) ^ perceptual_hash(other)).bit_count() > max(near)


@pytest.mark.core
def test_near_duplicates_are_those_of_the_same_shifts_only() -> None:
    image = box_sample(160, 90).image
    brighter = np.clip(image.astype(int) + 60, 0, 255).astype(np.uint8)
    seen = Duplicates(3)
    assert seen.of("a", ["weather/fog"], looks_of(image)) is None
    assert seen.of("b", ["weather/fog"], looks_of(image)) == "a"
    assert seen.of("c", ["weather/rain"], looks_of(image)) is None
    assert seen.of("d", ["weather/fog"], looks_of(brighter)) is None  # the same structure in another light


def test_distances_of_sets_are_named_and_grow_with_the_difference() -> None:
    pytest.importorskip("torchmetrics")
    features = Features("zoo:classifier", list)
    rng = np.random.default_rng(0)
    real = rng.normal(size=(64, 16)).astype(np.float32)
    same, near, far = (
        set_distances(real, other, features)
        for other in (rng.normal(size=(64, 16)).astype(np.float32), real + 0.5, real + 3)
    )
    for name in ("kid[zoo:classifier]", "fid[zoo:classifier]"):
        assert same[name][0] < near[name][0] < far[name][0]
    assert set_distances(real, real, features)["fid[zoo:classifier]"][0] == pytest.approx(0, abs=1e-3)
    assert far["fid[zoo:classifier]"][0] == pytest.approx(16 * 9, rel=0.05)  # the distance of the means, squared
    assert set_distances(real, far_of(real), features) == set_distances(real, far_of(real), features)


def far_of(
    rows: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return other rows, the same each time."""
    return rows * 2


def _mean_colour(images: list[Image]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array([image.reshape(-1, 3).mean(axis=0) for image in images], np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthesised set of two dozen frames, large enough for MS-SSIM."""
    folder = tmp_path_factory.mktemp("quality")
    frames = [replace(box_sample(192, 180, seed=i), sample_id=f"{i:02d}", scene=None, depth=None) for i in range(24)]
    write_dataset(frames, folder / "source", format="coco", class_names=NAMES)
    recipe = {"shifts": ["fog", "occlusion/target"], "filters": {"near_duplicates": 3}}
    return synth.generate(folder / "source", recipe, folder / "out", workers=1).path


def test_a_set_is_measured_and_what_cannot_be_is_said(made: Path) -> None:
    found = measure(made, fallback=Features("mean", _mean_colour))
    assert found.n_made == sum(entry["n"] for entry in found.entries)
    assert 0 < (found.ms_ssim or 0) < 1
    assert set(found.figures) >= {"kid[mean]", "fid[mean]"} or set(found.figures) >= {"kid", "fid"}
    assert set(found.baseline) == set(found.figures)
    if found.lpips is None:
        assert any("LPIPS" in text and "put" in text for text in found.missing)
    assert sum(row["n"] for row in found.left_out) + found.n_made == 24
    bare = measure(made)
    assert bare.figures or any("KID and FID" in text and "put" in text for text in bare.missing)


def test_a_set_whose_source_is_gone_is_described_all_the_same(made: Path) -> None:
    source = made.parent / "source"
    source.rename(made.parent / "moved")
    try:
        found = measure(made)
    finally:
        (made.parent / "moved").rename(source)
    assert found.figures == {}
    assert found.pairs == []
    assert any("is not there" in text for text in found.missing)
    assert "is not there" in page.render(found)


def test_the_page_asks_nobody_for_anything_and_names_its_features(made: Path, tmp_path: Path) -> None:
    path = page.write(measure(made, fallback=Features("mean<b>", _mean_colour)), tmp_path / "quality.html")
    text = path.read_text()
    assert "default-src 'none'" in text
    assert "<script" not in text
    assert 'src="http' not in text
    assert "mean<b>" not in text
    assert "data:image/jpeg;base64," in text
    assert [p.name for p in tmp_path.iterdir()] == ["quality.html"]


def test_the_contact_sheet_has_a_line_for_each_frame(made: Path, tmp_path: Path) -> None:
    sheet = read_image(write_preview(made, tmp_path / "sheet.png"))
    assert sheet.shape[1] >= 2 * 400
    assert sheet.shape[0] > 8 * 200
    assert sheet.std() > 20
