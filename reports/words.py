"""Numbers and sentences: the same words in the page and in the summary."""

from __future__ import annotations

from typing import Any

from reports.read import Figure, Run, as_severity, finite

NBSP = "\u00a0"
MINUS = "\u2212"
UNKNOWN = "too few"
POOR = 0.15  # a clean score below is pointed out beside the share that is kept
WHOLE = 0.995  # kept; what rounds to 100 % is not called a loss
_FAMILY = {"imagenet_c": "ImageNet-C"}
_NEEDED = ("context", "occlusion", "texture")  # families whose shifts are named by what they change: object, road


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """Return a number with a true minus.

    >>> number(0.4312), number(-0.4, 2), number(0.1, 2, sign=True), number(None)
    ('0.431', '−0.40', '+0.10', 'too few')
    """
    if value is None:
        return UNKNOWN
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def percent(value: float | None, *, unit: bool = True) -> str:
    """Return a fraction in percent, whole.

    >>> percent(0.4312), percent(0.4312, unit=False), percent(None)
    ('43\\xa0%', '43', 'too few')
    """
    if value is None:
        return UNKNOWN
    text = f"{100 * value:.0f}".replace("-", MINUS)
    return f"{text}{NBSP}%" if unit else text


def interval(figure: Figure, digits: int = 2, *, as_percent: bool = False) -> str:
    """Return '[0.39, 0.47]', or nothing where no interval is known.

    >>> interval(Figure(0.43, 0.39, 0.47)), interval(Figure(0.43, 0.39, 0.47), as_percent=True), interval(Figure(0.43))
    ('[0.39, 0.47]', '[39, 47]', '')
    """
    if figure.low is None or figure.high is None:
        return ""
    low, high = (percent(v, unit=False) if as_percent else number(v, digits) for v in (figure.low, figure.high))
    return f"[{low}, {high}]"


def family_name(family: str) -> str:
    """Return a family as people write it.

    >>> family_name("imagenet_c"), family_name("weather")
    ('ImageNet-C', 'weather')
    """
    return _FAMILY.get(family, family.replace("_", " "))


def shift_name(name: str) -> str:
    """Return a shift without its family, in words.

    >>> shift_name("lighting/low_sun"), shift_name("imagenet_c/jpeg_compression")
    ('low sun', 'jpeg compression')
    """
    return name.split("/", 1)[-1].replace("_", " ")


def full_name(name: str) -> str:
    """Return a shift in words that say enough without its family beside them.

    >>> full_name("lighting/low_sun"), full_name("texture/road"), full_name("occlusion/target")
    ('low sun', 'road texture', 'target occlusion')
    """
    family = name.split("/", 1)[0]
    return f"{shift_name(name)} {family}" if family in _NEEDED else shift_name(name)


def listed(words: list[str]) -> str:
    """Return words as a list in a sentence.

    >>> listed(["1", "3", "5"]), listed(["1"])
    ('1, 3 and 5', '1')
    """
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def counted(n: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun.

    >>> counted(1, "shift"), counted(1200, "class", "classes")
    ('1\\xa0shift', '1,200\\xa0classes')
    """
    return f"{n:,}{NBSP}{one if n == 1 else many or one + 's'}"


def verdict(run: Run) -> str:
    """Return the verdict in one sentence."""
    head = run.data["headline"]
    model, label = run.data["model"]["name"], run.label()
    rpc, clean = Figure.of(head["rpc"]).value, Figure.of(head["clean"]).value
    if rpc is not None:
        return f"{model} keeps {percent(rpc)} of its clean {label}."
    if clean is None:
        return f"Too few samples to say how good {model} is."
    if not run.shift_names:
        return f"{model} reaches {label} {number(clean, 2)} on clean pictures."
    if clean == 0:
        return f"{model} scores nothing on clean pictures, so there is nothing to lose."
    return f"Too few samples to say what {model} keeps of its clean {label}."


def scope(run: Run) -> str:
    """Return what the verdict is an average of."""
    severities = [f"{s:g}" for s in run.severities]
    if not run.shift_names:
        return "No shift was applied: the figures are those of the clean data."
    steps = f"severity {severities[0]}" if len(severities) == 1 else f"severities {listed(severities)}"
    return f"Averaged over {counted(len(run.shift_names), 'shift')} at {steps}."


def mce(run: Run) -> Figure:
    """Return the mean corruption error against the plan's reference, where it names one."""
    return Figure.of((run.data.get("mce") or {}).get("figure"))


def mce_name(run: Run) -> str:
    """Return 'mCE against REFERENCE'."""
    return f"mCE against {(run.data.get('mce') or {}).get('reference')}"


def scores(run: Run) -> str:
    """Return the headline's two scores: 'mAP 0.333 on clean pictures, 0.233 over the shifts.'"""
    clean, mpc = Figure.of(run.data["headline"]["clean"]), Figure.of(run.data["headline"]["mpc"])
    if clean.value is None or not run.shift_names:
        return ""
    shifted = "" if mpc.value is None else f", {number(mpc.value, 3)} over the shifts"
    little = " There is little to lose." if 0 < clean.value < POOR else ""
    return f"{run.label()} {number(clean.value, 3)} on clean pictures{shifted}.{little}"


def unscored(run: Run) -> list[str]:
    """Return which classes were scored, and which only one side knows; empty where all are."""
    classes = run.data["classes"]
    lines = []
    for key, whose in (("dataset_only", "the data set's"), ("model_only", "the model's")):
        if classes.get(key):
            shown = ", ".join(classes[key][:8]) + (", ..." if len(classes[key]) > 8 else "")
            lines.append(f"{len(classes['evaluated'])} scored; of {whose} alone, left out: {shown} (see --class-map)")
    return lines


def caution(run: Run) -> str:
    """Return a warning where the clean score itself is poor; what is kept of little says little."""
    clean = Figure.of(run.data["headline"]["clean"])
    if clean.value is None or not 0 < clean.value < POOR:
        return ""
    return f"On clean pictures it reaches only {run.label()} {number(clean.value, 2)} {interval(clean)}".rstrip() + (
        ", so there is little to lose."
    )


def weakest(run: Run) -> str:
    """Return the sentence on the weakest family, and where it breaks; empty where nothing is known."""
    ranked = [f for f in run.data["families"] if Figure.of(f["rpc"]).value is not None]
    if not ranked:
        return ""
    worst = min(ranked, key=lambda f: Figure.of(f["rpc"]).value or 0.0)
    rpc = Figure.of(worst["rpc"]).value or 0.0
    if rpc >= WHOLE and first_break(run) is None:
        return "Nothing measurable is lost."
    kept = percent(rpc)
    text = f"Weakest against {family_name(worst['family'])}, where {kept} is left"
    breaking = first_break(run, worst["family"])
    if len(run.data["families"]) == 1:  # no other family that it could be weaker than
        return f"It breaks at {place(run, breaking['shift'], breaking['breaks_at'])}." if breaking else ""
    if breaking is None:
        return f"{text}; no shift of it takes half of the score." if first_break(run) else f"{text}."
    return f"{text}; it breaks at {place(run, breaking['shift'], breaking['breaks_at'])}."


def place(run: Run, shift: str, severity: Any) -> str:
    """Return a cell in words: 'severity 3 of fog (visibility 200 m)'."""
    physical = run.physical(shift, float(severity))
    text = f"severity {as_severity(severity):g} of {full_name(shift)}"
    return f"{text} ({physical})" if physical else text


def first_break(run: Run, family: str | None = None) -> dict[str, Any] | None:
    """Return the shift that breaks first (lowest severity, then least kept), or None."""
    broken = [p for p in run.data["per_shift"] if p.get("breaks_at") is not None and family in (None, p["family"])]
    return min(broken, key=lambda p: (p["breaks_at"], Figure.of(p["rpc"]).value or 0.0), default=None)


def breaks(run: Run) -> str:
    """Return how many shifts break the model: 'Half of the score is lost to 9 of 16 shifts.'"""
    broken = [p for p in run.data["per_shift"] if p.get("breaks_at") is not None]
    total = len(run.data["per_shift"])
    clean = Figure.of(run.data["headline"]["clean"]).value
    if total < 2 or not clean:  # the sentence on the weakest family has said it, or there is nothing to break
        return ""
    if not broken:
        return f"None of the {counted(total, 'shift')} takes half of the score."
    return f"Half of the score or more is lost to {len(broken)} of {counted(total, 'shift')}."


SCORES = {
    "segmentation": "IoU of the class",
    "classification": "probability",
}  # what a failure's score is; else a score


def story(failure: dict[str, Any], task: str = "detection") -> str:
    """Return what happened to one object, region or picture, in a sentence or two."""
    shift, kind = full_name(failure["shift"]), failure["failure"]
    name, other = failure.get("class_name") or "object", failure.get("predicted_class")
    if kind == "confused" and task in ("segmentation", "classification"):
        return _region(failure) if task == "segmentation" else _picture(failure)
    before, now = finite(failure.get("score_clean")), finite(failure.get("score_shifted"))
    was = "" if before is None else f"On the clean picture it was found (score {before:.2f}). "
    score = "" if now is None else f" (score {now:.2f})"
    overlap = finite(failure.get("iou"))
    if kind == "missed":
        best = "" if now is None or now < 0.005 else f"; the highest score there is {now:.2f}"
        return f"{was}Under {shift} nothing matches it{best}."
    if kind == "invented":
        near = "" if overlap is None or overlap < 0.1 else f"; the nearest has IoU {overlap:.2f}"
        return f"Under {shift} the model reports a {other or name} that matches no object{score}{near}."
    if kind == "confused":
        return f"{was}Under {shift} it is taken for {other or 'something else'}{score}."
    tail = "" if overlap is None else f": IoU with the true box is {overlap:.2f}"
    return f"{was}Under {shift} it is found in the wrong place{tail}."


def _region(failure: dict[str, Any]) -> str:
    """Return what happened to a class of a picture: pixels of it are called another."""
    name, other = failure.get("class_name") or "a class", failure.get("predicted_class") or "another class"
    before, now = finite(failure.get("score_clean")), finite(failure.get("score_shifted"))
    fall = (
        "" if before is None or now is None else f" IoU of {name} in this picture: {before:.2f} clean, {now:.2f} now."
    )
    return f"Under {full_name(failure['shift'])}, pixels of {name} are labelled {other}.{fall}"


def _picture(failure: dict[str, Any]) -> str:
    """Return what happened to a whole picture: another class is the likeliest."""
    name, other = failure.get("class_name") or "the class", failure.get("predicted_class") or "something else"
    before, now = finite(failure.get("score_clean")), finite(failure.get("score_shifted"))
    sure = predicted_score(failure)
    said = "" if sure is None else f" (probability {sure:.2f})"
    fall = "" if before is None or now is None else f"; the probability of {name} falls from {before:.2f} to {now:.2f}"
    return f"Under {full_name(failure['shift'])}, {name} is taken for {other}{said}{fall}."


def predicted_score(failure: dict[str, Any]) -> float | None:
    """Return the score of the class that a shifted picture is taken for; None where it is not among the answers."""
    for answer in failure.get("predictions_shifted") or []:
        if answer.get("box") is None and answer.get("class_name") == failure.get("predicted_class"):
            return finite(answer.get("score"))
    return None
