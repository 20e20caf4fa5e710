"""Any albumentations transform or imgaug augmenter as a shift: `albumentations:RandomFog`, `imgaug:Rain`.

The name stands wherever a shift's name does; `weather/albumentations.RandomFog` is the same with its family said. Its
options are those of the transform. Severity means what the user makes of it: an option may be a table of values by
severity, `{fog_coef_range: {1: [0.1, 0.2], 5: [0.8, 0.9]}}`, between which numbers are interpolated, or all options may
be given under `by_severity: {1: {...}, 3: {...}}`. What is no table is the same at every severity. Labels follow: the
transform is run over the coordinates of the pixels too, so every label goes where its pixels go.
"""

from synth.backends.shift import backend_class, names_backend

__all__ = ["backend_class", "names_backend"]
