"""Labels of pictures carried to Gaussians: each gets the label of the pixels that it paints most.

What a Gaussian contributes to the pixels of a mask is the gradient, by its feature, of the sum of rendered features
over that mask: the backward pass of the rasteriser counts the votes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.rasterize import Backend, rasterization
from scenes.sample import Sample
from scenes.splats.cloud import Cloud

AT_ONCE = 23  # masks a pass; with depth a multiple of the rasteriser's four channels
LEAST_PAINTED = 0.1  # pixels: a view that a Gaussian gives less to does not show it
BOX_INSIDE = 0.97  # in box sizes: what lies further in is of the object, whatever was seen of it
GROUND_M = 0.05
BOX_SLACK = 1.25  # how far beyond its 3D box, in box sizes, the Gaussians of an object may lie


def contributions(cloud: Cloud, camera: Camera, masks: NDArray[np.bool_], *, backend: Backend = "auto") -> torch.Tensor:
    """Return (N, M): the sum of the weights with which each Gaussian enters the pixels of masks (M, H, W)."""
    parts = []
    view = torch.from_numpy(camera.world_to_cam).float()[None]
    K = torch.from_numpy(camera.K).float()[None]
    for first in range(0, len(masks), AT_ONCE):
        some = torch.from_numpy(masks[first : first + AT_ONCE]).permute(1, 2, 0).float()
        features = torch.zeros((len(cloud), some.shape[2]), requires_grad=True)
        picture, _, _ = rasterization(
            cloud.means, cloud.quats, cloud.scales.exp(), cloud.opacities.sigmoid(), features, view, K,
            camera.width, camera.height, backend=backend,
        )  # fmt: skip
        parts.append(torch.autograd.grad((picture[0] * some).sum(), features)[0])
    return torch.cat(parts, dim=1)


def seen_by(cloud: Cloud, cameras: Sequence[Camera], *, backend: Backend = "auto") -> torch.Tensor:
    """Return (N,) int16: in how many views each Gaussian paints at least `LEAST_PAINTED` of a pixel."""
    count = torch.zeros(len(cloud), dtype=torch.int16)
    for camera in cameras:
        everywhere = np.ones((1, camera.height, camera.width), np.bool_)
        count += (contributions(cloud, camera, everywhere, backend=backend)[:, 0] >= LEAST_PAINTED).to(torch.int16)
    return count


def lifted(
    cloud: Cloud,
    samples: Sequence[Sample],
    boxes: Mapping[int, NDArray[np.float32]],
    n_classes: int,
    *,
    backend: Backend = "auto",
) -> Cloud:
    """Return the cloud with instances and classes voted for by labelled views.

    samples: views with `instances`, segmentation, or both; boxes: instance id -> (10,) as `Annotations.boxes_3d`
    """
    ids = sorted({int(i) for s in samples if s.instances is not None for i in np.unique(s.instances)} | {0})
    votes = torch.zeros((len(cloud), len(ids)))
    class_votes = torch.zeros((len(cloud), n_classes))
    for sample in samples:
        if sample.camera is None:
            continue
        if sample.instances is not None:
            here = [i for i in ids if (sample.instances == i).any()]
            found = contributions(
                cloud, sample.camera, np.stack([sample.instances == i for i in here]), backend=backend
            )
            votes[:, [ids.index(i) for i in here]] += found
        segmentation = sample.annotations.segmentation
        if segmentation is not None:
            kinds = [k for k in np.unique(segmentation).tolist() if 0 <= k < n_classes]
            if kinds:
                masks = np.stack([segmentation == k for k in kinds])
                class_votes[:, kinds] += contributions(cloud, sample.camera, masks, backend=backend)
    instances = torch.tensor(ids, dtype=torch.int32)[votes.argmax(dim=1)]
    instances = _bounded(cloud, instances, boxes)
    classes = torch.where(class_votes.sum(dim=1) > 0, class_votes.argmax(dim=1), -1).to(torch.int16)
    return replace(cloud, instances=instances.to(torch.int32), classes=classes)


def _bounded(cloud: Cloud, instances: torch.Tensor, boxes: Mapping[int, NDArray[np.float32]]) -> torch.Tensor:
    """Take from an object what lies outside its 3D box, and give it what lies inside: seen through a gap, or never."""
    for number, near in within(cloud, boxes).items():
        instances = torch.where((instances == number) & ~near, 0, instances)
    for number, inside in within(cloud, boxes, slack=BOX_INSIDE, whole=True).items():
        instances = torch.where((instances == 0) & inside, number, instances)
    return instances


def within(
    cloud: Cloud, boxes: Mapping[int, NDArray[np.float32]], *, slack: float = BOX_SLACK, whole: bool = False
) -> dict[int, torch.Tensor]:
    """Return for each 3D box which Gaussians (N,) lie in it, after it was made `slack` times as large.

    whole: with their longest standard deviation to every side, as those of the ground beneath do not
    """
    from scipy.spatial.transform import Rotation

    reach = cloud.scales.exp().amax(dim=1, keepdim=True).double().numpy() if whole else 0.0
    found = {}
    for number, box in boxes.items():
        if not np.isfinite(box).all():
            continue
        turn = Rotation.from_quat(np.roll(box[6:10].astype(np.float64), -1)).as_matrix()
        local = (cloud.means.double().numpy() - box[:3]) @ turn
        found[number] = torch.from_numpy((np.abs(local) + reach <= 0.5 * slack * box[3:6]).all(axis=1))
    return found


def chosen_by_boxes(cloud: Cloud, boxes: Mapping[int, NDArray[np.float32]]) -> torch.Tensor:
    """Return instances (N,) int32: the object in whose 3D box (10,) a Gaussian is, else 0; of several the smallest.

    The lowest 5 cm are the ground that the object stands on.
    """
    instances = torch.zeros(len(cloud), dtype=torch.int32)
    for number in sorted(boxes, key=lambda i: -float(np.prod(boxes[i][3:6]))):
        box = boxes[number].copy()
        cut = min(GROUND_M, 0.5 * float(box[5]))
        box[2], box[5] = box[2] + 0.5 * cut, box[5] - cut
        for inside in within(cloud, {number: box}, slack=1.0).values():
            instances = torch.where(inside, number, instances)
    return instances.to(torch.int32)
