"""Write what imagecorruptions 1.1.2 does to a few pictures as mean, variance and SSIM: `reference.json`.

It needs an environment of its own, for the package stands on interfaces that are gone:

    python3.11 -m venv ref
    ref/bin/pip install "setuptools<80" "numpy==1.23.5" "scipy<1.12" "scikit-image==0.19.3" "Pillow<10" \
        "opencv-python-headless==4.7.0.72" "numba<0.59"
    ref/bin/pip install --no-deps imagecorruptions==1.1.2
    ref/bin/python tests/synth/imagenet_c/make_reference.py

The pictures are made by `pictures`, here and in the test, from a generator of their own.
"""

import json
import warnings
from pathlib import Path

import cv2
import numpy as np

SIZES = ((224, 224), (96, 160), (360, 640))  # height, width
REPEATS = 6  # random corruptions are averaged over so many seeds
FIXTURE = Path(__file__).with_name("reference.json")


def pictures():
    """Return one picture of each size: sky, road, blocks and texture, by integer arithmetic alone."""
    made = []
    for number, (height, width) in enumerate(SIZES):
        state = 12345 + number
        y, x = np.mgrid[0:height, 0:width]
        texture = ((x * 7919 + y * 104729 + x * y * 31) % 61) - 30
        image = np.empty((height, width, 3), np.int64)
        horizon = height * 2 // 5
        for c, (sky, road) in enumerate(((120, 90), (150, 88), (190, 84))):
            image[..., c] = np.where(y < horizon, sky + 40 * y // max(horizon, 1), road + texture // 2)
        for _ in range(14):
            numbers = []
            for _ in range(7):
                state = (state * 1103515245 + 12345) % 2**31
                numbers.append(state >> 8)
            left, top = numbers[0] % width, horizon // 2 + numbers[1] % (height // 2)
            wide, high = width // 16 + numbers[2] % (width // 6), height // 16 + numbers[3] % (height // 5)
            colour = [30 + n % 200 for n in numbers[4:7]]
            image[top : top + high, left : left + wide] = (
                np.array(colour) + texture[: len(image[top : top + high]), :1, None] // 3
            )
        made.append(np.clip(image, 0, 255).astype(np.uint8))
    return made


def ssim(first, second):
    """Return the mean structural similarity of two pictures in grey (Wang et al. 2004): 11 px Gaussian of 1.5 px."""
    a, b = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float64) for p in (first, second))

    def blur(p):
        return cv2.GaussianBlur(p, (11, 11), 1.5)

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    both = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float((top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def figures(clean, corrupted):
    """Return mean, variance and SSIM to clean."""
    return [float(corrupted.mean()), float(corrupted.var()), ssim(clean, corrupted)]


def main():
    import imagecorruptions

    rows = {}
    for name in imagecorruptions.get_corruption_names("all"):
        for severity in range(1, 6):
            for number, clean in enumerate(pictures()):
                found = []
                for seed in range(REPEATS):
                    np.random.seed(1000 * seed + number)  # noqa: NPY002  # what the package draws from
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        made = imagecorruptions.corrupt(clean, severity=severity, corruption_name=name)
                    found.append(figures(clean, made))
                mean, spread = np.mean(found, axis=0), np.std(found, axis=0)
                rows[f"{name}/{severity}/{number}"] = [round(float(v), 4) for v in (*mean, *spread)]
        print(name, flush=True)
    checks = [int(p.astype(np.int64).sum()) for p in pictures()]
    text = json.dumps({"package": "imagecorruptions 1.1.2", "repeats": REPEATS, "checks": checks, "rows": rows})
    FIXTURE.write_text(text.replace('], "', '],\n"') + "\n")


if __name__ == "__main__":
    main()
