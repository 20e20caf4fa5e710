"""Diffusion shifts keep the laws; masked ones touch nothing else, labels say what was covered, params replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenes.errors import InputError
from scenes.sample import Annotations, Sample
from synth.boxworld import box_sample
from synth.contracts import check_shift_laws
from synth.diffusion.parts import cover_of
from synth.pipeline import params_as_mapping, replay, shifted
from synth.regions import regions
from synth.registry import create, expand

WHOLE = ("weather/diffusion_weather", "lighting/diffusion_light", "context/diffusion_season")
PARTS = ("texture/diffusion_paint", "context/diffusion_replace", "occlusion/diffusion_occluder")
BACKGROUND = "context/diffusion_background"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROADPROOF_CACHE", str(tmp_path / "cache"))


def _shift(name: str, models: Path, **options: Any) -> Any:
    model = "sd" if name in WHOLE else "sd-inpaint"
    small = {"min_side_px": 8} if name in (*PARTS, BACKGROUND) else {}
    return create(name, {"model": str(models / model), "steps": 2, "side_px": 32, **small, **options})


def _samples() -> Sequence[Sample]:
    return [box_sample(64, 48)]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*WHOLE[:1], *PARTS, BACKGROUND])
def test_laws(name: str, models: Path) -> None:
    check_shift_laws(_shift(name, models), _samples())


@pytest.mark.parametrize("name", PARTS)
def test_what_is_far_from_a_mask_keeps_its_bytes_and_labels(name: str, models: Path) -> None:
    sample, shift = box_sample(96, 64), _shift(name, models, max_targets=1)
    result = shifted(sample, shift, 4, seed=1)
    changed = (result.sample.image != sample.image).any(axis=2)
    assert changed.any()
    (target,) = result.params.targets
    (region,) = [r for r in regions(sample) if r.key == target]
    x1, y1, x2, y2 = region.window
    if name != "occlusion/diffusion_occluder":
        near = np.zeros_like(changed)
        near[max(0, y1 - 5) : y2 + 5, max(0, x1 - 5) : x2 + 5] = True
        assert not changed[~near].any()
    verdicts = {v.instance_id: v for v in result.verdicts}
    wanted = {"occlusion/diffusion_occluder": "occluded"}.get(name, "modified")
    assert verdicts[target].kind == wanted
    if wanted == "occluded":
        assert verdicts[target].visible_fraction == pytest.approx(0.3, abs=0.1)


def test_the_cover_leaves_the_wanted_fraction() -> None:
    sample = box_sample(200, 150)
    for region in regions(sample):
        for visible in (0.9, 0.5, 0.15):
            for left in (True, False):
                full = region.full((sample.height, sample.width))
                cover = cover_of(region, (sample.height, sample.width), visible, left=left)
                rest = (full & ~cover).sum() / full.sum()
                assert rest == pytest.approx(visible, abs=1.5 / max(region.width, 3) + 0.02)


def test_a_background_keeps_the_objects_and_unsays_the_surroundings(models: Path) -> None:
    sample = box_sample(96, 64)
    result = shifted(sample, _shift(BACKGROUND, models), 5, seed=0).sample
    for region in regions(sample):
        inside = region.full((sample.height, sample.width))
        assert (result.image[inside] == sample.image[inside]).all()
    assert (result.image != sample.image).any()
    if sample.annotations.segmentation is not None and result.annotations.segmentation is not None:
        assert (result.annotations.segmentation != sample.annotations.segmentation).any()


@pytest.mark.parametrize("name", [WHOLE[1], PARTS[0]])
def test_replay_and_the_cache_give_the_same_bytes(name: str, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample, shift = box_sample(96, 64), _shift(name, models)
    first = shifted(sample, shift, 3, seed=0)
    again = replay(sample, shift, params_as_mapping(first.params))
    monkeypatch.setenv("ROADPROOF_CACHE", "off")
    fresh = replay(sample, shift, params_as_mapping(first.params))
    assert (again.sample.image == first.sample.image).all()
    assert (fresh.sample.image == first.sample.image).all()
    other = {**params_as_mapping(first.params), "checkpoint": "0" * 16}
    with pytest.raises(InputError, match="were drawn with a pipeline"):
        replay(sample, shift, other)


def test_own_words_and_instructions(models: Path) -> None:
    sample = box_sample(64, 48)
    own = shifted(sample, _shift(WHOLE[0], models, prompt="hail"), 3, seed=0)
    assert own.params.prompts == ("hail",)
    told = create(
        WHOLE[0],
        {"model": str(models / "pix2pix"), "method": "instruct", "steps": 2, "side_px": 32, "condition": "fog"},
    )
    assert shifted(sample, told, 3, seed=0).params.prompts == ("add dense fog",)


def test_frames_without_objects_stay_as_they_are(models: Path) -> None:
    empty = replace(box_sample(64, 48), annotations=Annotations())
    for name in PARTS:
        assert shifted(empty, _shift(name, models), 3, seed=0).sample.image is empty.image


def test_without_a_model_they_are_no_part_of_their_families() -> None:
    for name in (*WHOLE, *PARTS, BACKGROUND):
        assert name not in expand(name.split("/")[0])
        with pytest.raises(InputError, match="needs the option model"):
            shifted(box_sample(96, 64), create(name), 3, seed=0)


def test_bad_options() -> None:
    cases: list[tuple[str, dict[str, Any], str]] = [
        (WHOLE[0], {"condition": "hail"}, "condition: expected any"), (WHOLE[0], {"method": "gan"}, "method"),
        (PARTS[0], {"control": "depth"}, "both or neither"), (PARTS[0], {"steps": 0}, "steps: expected 1"),
        (BACKGROUND, {"place": "mars"}, "place: expected any"), (PARTS[0], {"dtype": "int8"}, "dtype"),
    ]  # fmt: skip
    for name, options, words in cases:
        with pytest.raises(InputError, match=words):
            create(name, options)
