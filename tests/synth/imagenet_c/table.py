"""Print ours beside the published package: mean, standard deviation and SSIM to clean, severities 1, 3 and 5.

    python tests/synth/imagenet_c/table.py

Mean over the pictures of the reference and over 12 seeds; the fixture's own figures are means over 6.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[3]))
sys.path.append(str(Path(__file__).resolve().parent))

import make_reference

from scenes.sample import Sample
from synth.random import rng_for
from synth.registry import create, expand

SEEDS = 12


def rows() -> list[str]:
    """Return the lines of the table."""
    published = json.loads(make_reference.FIXTURE.read_text())["rows"]
    lines = [
        "| corruption | severity | mean, published | ours | deviation, published | ours | SSIM, published | ours |"
    ]
    lines.append("|---|" + "---:|" * 7)
    pictures = make_reference.pictures()
    for name in expand("imagenet_c"):
        shift, short = create(name), name.split("/")[1]
        for severity in (1, 3, 5):
            wanted, got = [], []
            for number, clean in enumerate(pictures):
                mean, variance, ssim, *_ = published[f"{short}/{severity}/{number}"]
                wanted.append((mean, np.sqrt(variance), ssim))
                sample = Sample(sample_id=f"p{number}", image=clean)
                for seed in range(SEEDS):
                    params = shift.draw(sample, severity, rng_for(seed, shift=name, sample_id=sample.sample_id))
                    m, v, s = make_reference.figures(clean, shift.apply(sample, params).image)
                    got.append((m, np.sqrt(v), s))
            (m0, d0, s0), (m1, d1, s1) = np.mean(wanted, axis=0), np.mean(got, axis=0)
            lines.append(f"| {short} | {severity} | {m0:.1f} | {m1:.1f} | {d0:.1f} | {d1:.1f} | {s0:.3f} | {s1:.3f} |")
    return lines


if __name__ == "__main__":
    print("\n".join(rows()))
