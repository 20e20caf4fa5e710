"""Boxes and planes come back to where they were."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.adapters.fit import Fit

pytestmark = pytest.mark.core
SIDES = st.integers(1, 900)


@given(SIDES, SIDES, st.integers(8, 700), st.integers(8, 700), st.sampled_from(["letterbox", "resize"]))
def test_boxes_return_to_the_picture(height, width, h, w, kind):
    fit = Fit.of((height, width), (h, w), kind)
    box = np.array([[0.1 * width, 0.2 * height, 0.9 * width, 0.7 * height]], np.float32)
    there = box * np.tile(fit.scale, 2) + np.tile(fit.offset, 2)
    np.testing.assert_allclose(fit.boxes_back(there), box, rtol=1e-4, atol=1e-3)
    assert (there >= -1e-3).all()
    assert (there <= np.array([w, h, w, h]) + 1e-3).all()


@pytest.mark.parametrize("kind", ["letterbox", "resize"])
@pytest.mark.parametrize("size", [(64, 64), (48, 96), (200, 100)])
def test_a_painted_box_is_found_where_the_numbers_say(kind, size):
    """The pixels move with the numbers: a white box painted in the picture lies where the forward map puts it."""
    image = np.zeros((120, 160, 3), np.uint8)
    image[30:90, 40:120] = 255
    fit = Fit.of((120, 160), size, kind)
    seen = fit.apply(image, 0)[..., 0] > 127
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    found = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float32)
    back = fit.boxes_back(found)
    pixel = max(1 / fit.scale[0], 1 / fit.scale[1])
    np.testing.assert_allclose(back, [[40, 30, 120, 90]], atol=0.51 * pixel)


def test_letterbox_keeps_the_aspect_and_pads_evenly():
    fit = Fit.of((360, 640), (640, 640), "letterbox")
    assert fit.inner == (360, 640)
    assert fit.offset == (0, 140)
    assert fit.window == (0.0, 140 / 640, 1.0, 500 / 640)


def test_planes_lose_their_padding():
    fit = Fit.of((20, 40), (40, 40), "letterbox")
    planes = np.zeros((2, 40, 40), np.float32)
    planes[1, 10:30] = 1
    back = fit.dense_back(planes)
    assert back.shape == (2, 20, 40)
    assert (back[1] == 1).all()
