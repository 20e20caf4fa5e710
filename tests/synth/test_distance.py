"""Distances to clean against torchmetrics, and against what they must be by definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scenes.errors import InputError
from synth.boxworld import box_sample
from synth.distance import SMALLEST, lpips_backbone, lpips_distance, ms_ssim


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    sample = box_sample(230, 190, seed=3)
    rng = np.random.default_rng(0)
    noisy = np.clip(sample.image + rng.normal(0, 25, sample.image.shape), 0, 255).astype(np.uint8)
    fog = (sample.image * 0.3 + 140).astype(np.uint8)
    return [(sample.image, noisy), (sample.image, fog), (noisy, fog), (sample.image, 255 - sample.image)]


@pytest.mark.core
def test_ms_ssim_equals_torchmetrics() -> None:
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as reference

    for one, other in pairs():
        tensors = [torch.from_numpy(p).permute(2, 0, 1)[None].float() / 255 for p in (one, other)]
        for channel in range(3):  # it multiplies means over all channels; ours are means of channels' products
            wanted = float(reference(*(t[:, channel : channel + 1] for t in tensors), data_range=1.0, normalize="relu"))
            grey = [np.repeat(p[..., channel : channel + 1], 3, axis=2) for p in (one, other)]
            assert ms_ssim(*grey) == pytest.approx(wanted, abs=2e-4)


def test_small_pictures_have_none_and_sizes_must_agree() -> None:
    small = np.zeros((SMALLEST - 1, 300, 3), np.uint8)
    assert ms_ssim(small, small) is None
    assert ms_ssim(np.zeros((SMALLEST, 300, 3), np.uint8), np.zeros((SMALLEST, 300, 3), np.uint8)) == 1.0
    with pytest.raises(InputError, match="one size"):
        ms_ssim(small, small[:, 1:])


def test_lpips_says_what_is_missing_and_measures_where_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError, match="alexnet-owt"):
        lpips_distance()
    from torchvision.models import alexnet

    torch.manual_seed(0)
    weights = lpips_backbone()
    weights.parent.mkdir()
    torch.save(alexnet(weights=None).state_dict(), weights)
    distance = lpips_distance()
    one, other = pairs()[0]
    assert distance(one, one) == pytest.approx(0, abs=1e-6)
    assert distance(one, other) > 0
