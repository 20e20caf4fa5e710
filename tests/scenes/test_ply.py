"""Gaussians on disk, held against the libraries of others: plyfile and gsply; broken files are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scenes.errors import InputError
from scenes.splats.cloud import Cloud
from scenes.splats.files import read_gaussians, write_compressed, write_gaussians
from scenes.splats.tables import read_ply, write_ply


def make_cloud(n: int = 600, *, degree: int = 3, labelled: bool = False) -> Cloud:
    g = torch.Generator().manual_seed(n + degree)
    return Cloud(
        means=torch.randn(n, 3, generator=g),
        quats=torch.randn(n, 4, generator=g),
        scales=torch.randn(n, 3, generator=g) - 4,
        opacities=torch.randn(n, generator=g),
        harmonics=0.3 * torch.randn(n, (degree + 1) ** 2, 3, generator=g),
        instances=torch.arange(n, dtype=torch.int32) % 7 if labelled else None,
        classes=torch.arange(n, dtype=torch.int16) % 5 - 1 if labelled else None,
    )


@pytest.mark.core
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("labelled", [True, False])
def test_plain_round_trip_is_exact(tmp_path: Path, degree: int, labelled: bool) -> None:
    cloud = make_cloud(degree=degree, labelled=labelled)
    write_gaussians(tmp_path / "a.ply", cloud)
    again = read_gaussians(tmp_path / "a.ply").tensors()
    assert again.keys() == cloud.tensors().keys()
    for name, value in cloud.tensors().items():
        assert torch.equal(again[name], value), name


def test_plyfile_reads_what_we_write(tmp_path: Path) -> None:
    from plyfile import PlyData

    cloud = make_cloud()
    write_gaussians(tmp_path / "a.ply", cloud)
    vertex = PlyData.read(str(tmp_path / "a.ply"))["vertex"]
    np.testing.assert_array_equal(vertex["y"], cloud.means[:, 1])
    np.testing.assert_array_equal(vertex["rot_0"], cloud.quats[:, 0])
    np.testing.assert_array_equal(vertex["f_rest_15"], cloud.harmonics[:, 1, 1])  # the second channel starts at 15
    np.testing.assert_array_equal(vertex["f_rest_1"], cloud.harmonics[:, 2, 0])


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_we_read_what_plyfile_writes(tmp_path: Path, text: bool, order: str) -> None:
    from plyfile import PlyData, PlyElement

    table = np.zeros(5, [("x", "f4"), ("n", "i2"), ("d", "f8"), ("c", "u1")])
    table["x"], table["n"], table["d"], table["c"] = np.arange(5) / 3, -np.arange(5), np.pi, 200
    PlyData([PlyElement.describe(table, "vertex")], text=text, byte_order=order).write(str(tmp_path / "a.ply"))
    found = read_ply(tmp_path / "a.ply")["vertex"]
    for name in table.dtype.names or ():
        np.testing.assert_allclose(found[name], table[name], rtol=1e-6)


def test_gsply_and_we_read_each_others_plain_files(tmp_path: Path) -> None:
    import gsply

    cloud = make_cloud()
    write_gaussians(tmp_path / "a.ply", cloud)
    data = gsply.plyread(str(tmp_path / "a.ply"))
    np.testing.assert_allclose(data.means, cloud.means)
    np.testing.assert_allclose(data.shN, cloud.harmonics[:, 1:])
    np.testing.assert_allclose(data.opacities, cloud.opacities)
    parts = [t.numpy() for t in (cloud.means, cloud.scales, cloud.quats, cloud.opacities)]
    gsply.plywrite(str(tmp_path / "b.ply"), *parts, cloud.harmonics[:, 0].numpy(), cloud.harmonics[:, 1:].numpy())
    again = read_gaussians(tmp_path / "b.ply")
    for name, value in cloud.tensors().items():
        torch.testing.assert_close(again.tensors()[name], value)


def rotation(quats: Any) -> Any:
    from scenes.splats.reference import rotation as of

    return of(quats.double())


@pytest.mark.parametrize("degree", [0, 3])
def test_compressed_round_trip_is_close(tmp_path: Path, degree: int) -> None:
    cloud = make_cloud(degree=degree)
    write_compressed(tmp_path / "a.ply", cloud)
    again = read_gaussians(tmp_path / "a.ply")
    assert (again.means - cloud.means).abs().max() < 8 / 1023
    assert (again.scales - cloud.scales).abs().max() < 8 / 1023
    assert (rotation(again.quats) - rotation(cloud.quats)).abs().max() < 0.01
    assert (again.opacities.sigmoid() - cloud.opacities.sigmoid()).abs().max() <= 0.51 / 255
    assert (again.harmonics - cloud.harmonics).abs().max() < 0.02
    write_gaussians(tmp_path / "plain.ply", cloud)
    if degree:
        assert (tmp_path / "a.ply").stat().st_size < 0.4 * (tmp_path / "plain.ply").stat().st_size


@pytest.mark.slow  # gsply compiles for half a minute when it is new
def test_gsply_and_we_read_each_others_compressed_files(tmp_path: Path) -> None:
    from gsply.reader import read_compressed
    from gsply.writer import write_compressed as gsply_writes

    cloud = make_cloud()
    write_compressed(tmp_path / "a.ply", cloud)
    theirs, ours = read_compressed(str(tmp_path / "a.ply")), read_gaussians(tmp_path / "a.ply")
    np.testing.assert_allclose(theirs.means, ours.means, atol=1e-5)
    np.testing.assert_allclose(theirs.scales, ours.scales, atol=1e-5)
    np.testing.assert_allclose(theirs.quats, ours.quats, atol=1e-5)
    np.testing.assert_allclose(theirs.sh0, ours.harmonics[:, 0], atol=1e-4)
    np.testing.assert_allclose(theirs.shN, ours.harmonics[:, 1:], atol=0.02)
    np.testing.assert_allclose(theirs.opacities, ours.opacities, atol=1e-3)
    parts = [t.numpy() for t in (cloud.means, cloud.scales, cloud.quats, cloud.opacities)]
    rest = np.ascontiguousarray(cloud.harmonics[:, 1:].numpy())
    gsply_writes(str(tmp_path / "b.ply"), *parts, cloud.harmonics[:, 0].numpy(), rest)
    again = read_gaussians(tmp_path / "b.ply")
    assert (again.means - cloud.means).abs().max() < 8 / 1023
    assert (again.harmonics[:, 1:] - cloud.harmonics[:, 1:]).abs().max() < 0.03


def splatfacto(cloud: Cloud, prefix: str = "gauss_params.") -> dict[str, Any]:
    model = {"means": cloud.means, "quats": cloud.quats, "scales": cloud.scales, "opacities": cloud.opacities[:, None],
             "features_dc": cloud.harmonics[:, 0], "features_rest": cloud.harmonics[:, 1:]}  # fmt: skip
    return {"step": 7, "pipeline": {f"_model.{prefix}{k}": v for k, v in model.items()}, "optimizers": {}}


@pytest.mark.parametrize("prefix", ["gauss_params.", ""])
def test_splatfacto_checkpoints(tmp_path: Path, prefix: str) -> None:
    cloud = make_cloud()
    torch.save(splatfacto(cloud, prefix), tmp_path / "step-000000007.ckpt")
    again = read_gaussians(tmp_path / "step-000000007.ckpt").tensors()
    for name, value in cloud.tensors().items():
        assert torch.equal(again[name], value)


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("code was run",))


def test_a_checkpoint_never_runs_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"pipeline": Evil()}, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="cannot be read as a checkpoint of weights"):
        read_gaussians(tmp_path / "a.ckpt")
    assert "code was run" not in capsys.readouterr().out


def broken(tmp_path: Path, name: str) -> Path:
    path = tmp_path / "a.ply"
    cloud = make_cloud(20)
    if name == "nan":
        cloud.scales[3, 1] = float("nan")
    write_gaussians(path, cloud)
    data = path.read_bytes()
    if name == "cut":
        path.write_bytes(data[:-50])
    elif name == "header":
        path.write_bytes(data.replace(b"property float x", b"property flout x"))
    elif name == "no rotation":
        path.write_bytes(data.replace(b"rot_0", b"rat_0"))
    elif name == "picture":
        path.write_bytes(b"\x89PNG" + data)
    elif name == "empty":
        write_ply(path, {"vertex": read_ply(path)["vertex"][:0]})
    elif name == "cloud":
        write_ply(path, {"vertex": np.zeros(3, [("x", "<f4"), ("y", "<f4"), ("z", "<f4")])})
    return path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cut", "only .* bytes are left"),
        ("header", "cannot make sense of 'property flout x'"),
        ("no rotation", "it has no rot_0"),
        ("picture", "expected a PLY file"),
        ("empty", "it holds no Gaussians"),
        ("nan", "scales: 1 of 20 Gaussians are not finite"),
        ("cloud", "it has no f_dc_0"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, message: str) -> None:
    path = broken(tmp_path, name)
    with pytest.raises(InputError, match=message) as caught:
        read_gaussians(path)
    assert str(path) in str(caught.value)
