"""A trainer of one's own: what it is told, what it has to leave, and how it can fail."""

from __future__ import annotations

import sys

import pytest
import torch
from safetensors.torch import save_file

from scenes.errors import InputError
from stress.training.external import Trainer

PYTHON = sys.executable


def script(tmp_path, body):
    path = tmp_path / "train.py"
    path.write_text(
        f"import sys, pathlib\nfrom safetensors.numpy import save_file, load_file\nimport numpy as np\n{body}\n"
    )
    return f"{PYTHON} {path} {{data}} {{weights}} {{out}} {{seed}} {{steps}}"


GOOD = """
data, weights, out, seed, steps = sys.argv[1:]
state = load_file(weights)
state["w"] = state["w"] + np.float32(int(seed) + int(steps))
save_file(state, pathlib.Path(out) / "weights.safetensors")
(pathlib.Path(out) / "curve.csv").write_text("step,loss,validation\\n1,2.0,\\n2,1.0,1.5\\n")
"""


def run(tmp_path, body, **options):
    start = tmp_path / "start.safetensors"
    save_file({"w": torch.ones(2)}, start)
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    trainer = Trainer(script(tmp_path, body), start, **options)
    return trainer.run(arm="feedback", seed=2, data=tmp_path, out=out, steps=5)


def test_a_trainer_gets_its_values_and_leaves_weights_and_a_curve(tmp_path):
    made = run(tmp_path, GOOD)
    assert made.weights == "weights.safetensors"
    assert made.curve["loss"] == [2.0, 1.0]
    assert (made.curve["checks"], made.curve["validation"]) == ([2], [1.5])
    from safetensors.torch import load_file

    assert load_file(tmp_path / "out" / "weights.safetensors")["w"].tolist() == [8.0, 8.0]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("print('out of memory'); sys.exit(3)", r"'feedback' with seed 2 ended with exit code 3: out of memory"),
        ("pass", r"left no weights: expected .*weights\.safetensors"),
        ("print('epoch 3 loss: nan')", r"diverged: it says 'loss: nan'"),
        (
            "save_file({'w': np.array([np.inf], np.float32)}, pathlib.Path(sys.argv[3]) / 'weights.safetensors')",
            r"hold NaN or infinity \(in w\): the training diverged",
        ),
        (
            GOOD + "(pathlib.Path(out) / 'curve.csv').write_text('step,loss\\n1,nan\\n')",
            "holds a loss that is no number",
        ),
        (GOOD + "(pathlib.Path(out) / 'curve.csv').write_text('a,b\\n1,2\\n')", r"expected columns step,loss"),
    ],
)
def test_a_trainer_that_fails_is_a_clear_error(tmp_path, body, told):
    with pytest.raises(InputError, match=told):
        run(tmp_path, body)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("train --data {data}", r"has to name \{out\}"),
        ("train {data} {out} {sede}", r"no \{sede\} \(did you mean 'seed'"),
        ("train {data {out}", "cannot be read"),
        ("train {data} {out} 'x", "cannot be read"),
    ],
)
def test_a_command_is_checked_before_anything_is_made(command, told):
    with pytest.raises(InputError, match=told):
        Trainer(command)


def test_a_command_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"'no-such-trainer' cannot be started"):
        Trainer("no-such-trainer {data} {out}").run(arm="clean", seed=0, data=tmp_path, out=tmp_path, steps=1)


def test_another_model_may_come_out(tmp_path):
    body = "(pathlib.Path(sys.argv[3]) / 'model.onnx').write_bytes(b'x')"
    made = run(tmp_path, body, model="{out}/model.onnx")
    assert made.model == str(tmp_path / "out" / "model.onnx")
    with pytest.raises(InputError, match=r"left no .*other\.onnx, which --trained-model names"):
        run(tmp_path, body, model="{out}/other.onnx")
    with pytest.raises(InputError, match=r"expected a model with \{out\}"):
        Trainer("train {data} {out}", None, "model.onnx")
