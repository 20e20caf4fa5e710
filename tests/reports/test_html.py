"""The page as text: sound markup, nothing unescaped, figures that are those of the run, nothing half-written."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

import reports
from reports import figures, gallery, html, palette, tables, views, words
from reports.read import Figure, Run, read
from scenes.errors import InputError

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class Balance(HTMLParser):
    """Raises where a tag closes another than the last opened; collects the elements and the text outside scripts."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)


def parse(page: Path) -> Balance:
    parser = Balance()
    parser.feed(page.read_text(encoding="utf-8"))
    parser.close()
    assert parser.open == []
    return parser


def text_of(page: Path) -> str:
    return " ".join(" ".join(parse(page).text).split())


@pytest.mark.core
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"task": "segmentation"},
        {"task": "classification"},
        {"hostile": True},
        {"empty_figures": True, "failures": 0},
        {"shifts": 0, "failures": 0},
        {"shifts": 1, "severities": (3,), "failures": 1},
        {"shifts": 40, "severities": (1, 2, 3, 4, 5), "failures": 5},
    ],
    ids=str,
)
def test_the_page_is_sound_html_whatever_the_run_holds(page_of: Any, options: dict[str, Any]) -> None:
    found = parse(page_of(**options))
    ids = [attributes["id"] for _, attributes in found.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    anchors = {str(a["href"])[1:] for tag, a in found.elements if tag == "a" and str(a.get("href", "")).startswith("#")}
    assert anchors <= set(ids)


def test_no_element_comes_from_the_run(page_of: Any) -> None:
    """Names, ids and notes that are markup add no element: the tags are those of a harmless run, but for counts."""
    harmless, hostile = parse(page_of()), parse(page_of(hostile=True))
    assert {tag for tag, _ in harmless.elements} == {tag for tag, _ in hostile.elements}
    handlers = [name for _, attributes in hostile.elements for name in attributes if name.startswith("on")]
    assert handlers == []
    assert "<script>alert(1)</script> keeps" in " ".join(hostile.text)


def test_data_for_scripts_cannot_close_its_element(page_of: Any) -> None:
    text = page_of(hostile=True).read_text(encoding="utf-8")
    blocks = re.findall(r'<script type="application/json" id="(data-\w+)">(.*?)</script>', text, re.DOTALL)
    loaded = {name: json.loads(block) for name, block in blocks}
    assert any("</script><b>" in item["sample_id"] for item in loaded["data-failures"])
    assert not any("<" in block for _, block in blocks)


def test_the_page_names_no_other_place(page_of: Any) -> None:
    text = page_of().read_text(encoding="utf-8")
    outside = set(re.findall(r"(?:https?:)?//[\w.]+", re.sub(r"base64,[\w+/=]+", "", text)))
    assert outside <= {"http://www.w3.org"}  # the name of SVG's language, which no browser asks for
    assert "default-src 'none'" in text


def test_the_headline_is_that_of_the_run(detection_run: Path, page_of: Any) -> None:
    data = json.loads((detection_run / "results.json").read_text())
    text = text_of(page_of())
    rpc, clean = data["headline"]["rpc"], data["headline"]["clean"]
    assert f"keeps {100 * rpc['value']:.0f}\u00a0% of its clean mAP".replace("\u00a0", " ") in text.replace(
        "\u00a0", " "
    )
    assert f"{clean['value']:.2f} [{clean['low']:.2f}, {clean['high']:.2f}]" in text
    assert f"[{100 * rpc['low']:.0f}, {100 * rpc['high']:.0f}]" in text


def test_cells_of_the_grid_are_shifted_over_clean(detection_run: Path) -> None:
    run = read(detection_run)
    by_key = {
        (f["shift"], f["severity"]): f["value"]
        for f in run.data["figures"]
        if (f["metric"], f["class_name"], f["size"]) == ("map", None, None)
    }
    seen = 0
    for group in views.heat(run, "map"):
        for row in group["rows"]:
            for cell in row["cells"]:
                value = by_key[row["shift"], cell["severity"]]
                assert cell["kept"] == f"{100 * value / by_key['clean', 0]:.0f}"
                assert cell["value"] == f"{value:.2f}"
                assert cell["step"] == round(20 * value / by_key["clean", 0])
                seen += 1
    assert seen == 16 * 3


def test_a_plain_number_has_no_unit(detection_run: Path) -> None:
    run = read(detection_run)
    assert run.physical("occlusion/occluder", 3) == "visible fraction 0.45"
    assert run.physical("weather/fog", 3) == "visibility 200\u00a0m"
    assert run.physical("weather/fog", 2.5) == ""


def test_the_first_cell_below_half_is_outlined(detection_run: Path) -> None:
    run = read(detection_run)
    rows = [row for group in views.heat(run, "map") for row in group["rows"]]
    for ranked in run.data["per_shift"]:
        row = next(row for row in rows if row["shift"] == ranked["shift"])
        assert [cell["severity"] for cell in row["cells"] if cell["breaks"]] == [ranked["breaks_at"]] * (
            ranked["breaks_at"] is not None
        )


def test_a_mean_over_cells_is_the_mpc_of_the_run(detection_run: Path) -> None:
    run = read(detection_run)
    assert run.mean() == pytest.approx(run.data["headline"]["mpc"]["value"])
    for ranked in run.data["per_shift"]:
        assert run.mean(shifts=[ranked["shift"]]) == pytest.approx(ranked["mpc"]["value"])


def test_classes_are_ranked_by_what_they_keep(detection_run: Path) -> None:
    run = read(detection_run)
    rows = tables.breakdown(run, by="name")
    assert len(rows) == 7
    kept = [row["retention"] for row in rows]
    assert kept == sorted(kept)
    worst = rows[0]["name"]
    clean = next(f["value"] for f in run.data["figures"] if f["shift"] == "clean" and f["class_name"] == worst)
    assert rows[0]["clean"] == f"{clean:.2f}"


def test_unknown_figures_are_said_to_be_too_few(page_of: Any) -> None:
    text = text_of(page_of(empty_figures=True, failures=0))
    assert "Too few samples to say how good" in text
    assert "None" not in text
    assert not re.search(r"\b(nan|null|undefined)\b", text, re.IGNORECASE)


def test_a_drawn_curve_stands_where_its_values_are() -> None:
    points = [
        figures.Point(0, Figure(0.8), "clean", "clean: 0.8"),
        figures.Point(5, Figure(0.2, 0.1, 0.3), "50", "a & b"),
    ]
    svg = str(figures.curve(points, clean=Figure(0.8), top=1.0, label="x"))
    heights = [float(y) for y in re.findall(r'<circle class="dot" cx="[\d.]+" cy="([\d.]+)"', svg)]
    scale = figures.HEIGHT - figures.TOP - figures.BOTTOM
    assert (heights[1] - heights[0]) / scale == pytest.approx(0.6, abs=0.002)
    assert "<title>a &amp; b</title>" in svg


@pytest.mark.parametrize("anchors", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
def test_lightness_alone_tells_what_is_kept(anchors: tuple[palette.Anchor, ...]) -> None:
    steps = palette.ramp(anchors)
    light = [palette.relative_luminance(colour) for colour, _ in steps]
    assert light == sorted(light, reverse=anchors is palette.DARK)
    assert all(palette.contrast(colour, ink) >= 4.5 for colour, ink in steps)


def test_pictures_fit_the_budget_and_those_left_out_are_counted(builder: ModuleType, tmp_path: Path) -> None:
    run = read(builder.build(tmp_path / "run", failures=8))
    everything = gallery.build(run)
    size = sum(len(asset.content) for asset in everything.assets.values())
    assert everything.left_out == 0
    smaller = gallery.build(run, budget=size // 2)
    assert smaller.left_out == 0
    assert sum(len(asset.content) for asset in smaller.assets.values()) <= size // 2
    tiny = gallery.build(run, budget=30_000)
    assert sum(len(asset.content) for asset in tiny.assets.values()) <= 30_000
    assert tiny.left_out == sum(item["shifted"] is None for item in tiny.items) > 0
    shown = [item["loss"] for item in tiny.items if item["shifted"]]
    assert not shown or min(shown) >= max(item["loss"] for item in tiny.items if not item["shifted"])


def test_a_picture_that_several_failures_show_is_stored_once(builder: ModuleType, tmp_path: Path) -> None:
    shown = gallery.build(read(builder.build(tmp_path / "run", failures=12, frames=2)))
    assert len({item["clean"] for item in shown.items}) == 2


def test_a_missing_picture_is_said_and_the_page_still_written(builder: ModuleType, tmp_path: Path) -> None:
    run = builder.build(tmp_path / "run", failures=4)
    (run / "evidence/0001_shifted.png").write_bytes(b"no picture")
    (run / "evidence/0002_shifted.png").unlink()
    assert "2 pictures named by the run could not be read" in text_of(reports.write(run))


def test_pictures_outside_the_run_are_refused(builder: ModuleType, tmp_path: Path) -> None:
    run = builder.build(tmp_path / "run", failures=1)
    data = json.loads((run / "results.json").read_text())
    data["gallery"][0]["clean"] = "../secret.png"
    (run / "results.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"expected pictures inside the run, got '\.\./secret\.png'"):
        reports.write(run)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a run folder with results.json"),
        ("{", "expected JSON"),
        ('{"schema": "roadproof.results/9"}', "expected 'roadproof.results/1', got 'roadproof.results/9'"),
        ('{"schema": "roadproof.results/1"}', "missing run, dataset"),
    ],
)
def test_what_is_no_run_is_a_clear_error(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(InputError, match=message):
        reports.write(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ([] if content is None else ["results.json"])


def test_an_unfinished_run_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(InputError, match="not finished"):
        reports.write(tmp_path)


def test_the_same_run_gives_the_same_page_and_leaves_nothing_else(builder: ModuleType, tmp_path: Path) -> None:
    run = builder.build(tmp_path / "run", failures=3)
    before = {p.name for p in run.iterdir()}
    first = reports.write(run, single_file=False).read_bytes()
    assert {p.name for p in run.iterdir()} - before == {"report.html", "summary.md", "report_assets"}
    assert len(list((run / "report_assets").iterdir())) > 3
    assert reports.write(run, single_file=False).read_bytes() == first
    single = reports.write(run)
    assert {p.name for p in run.iterdir()} - before == {"report.html", "summary.md"}
    assert single.stat().st_size > len(first)


def test_nothing_half_written_stays_when_the_disk_is_full(
    builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = builder.build(tmp_path / "run", failures=2)
    page = reports.write(run).read_bytes()
    before = {p.name for p in run.iterdir()}

    def full(self: Path, *_: Any, **__: Any) -> int:
        with self.open("w") as file:
            file.write("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        html.write(read(run))
    assert {p.name for p in run.iterdir()} == before
    assert (run / "report.html").read_bytes() == page


def run_with(detection_run: Path, **changes: Any) -> Run:
    data = json.loads((detection_run / "results.json").read_text())
    data.update(changes)
    return Run(detection_run, data)


def test_the_verdict_says_where_it_breaks_in_physical_words(detection_run: Path) -> None:
    run = read(detection_run)
    assert words.weakest(run).replace("\u00a0", " ") == (
        "Weakest against weather, where 48 % is left; it breaks at severity 3 of fog (visibility 200 m)."
    )
    unbroken = run_with(
        detection_run,
        families=[{**f, "breaks_at": None} for f in run.data["families"]],
        per_shift=[{**p, "breaks_at": None} for p in run.data["per_shift"]],
    )
    assert words.weakest(unbroken).endswith("is left.")
    assert "None of the" in words.breaks(unbroken)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missed", "Under fog nothing matches it; the highest score there is 0.12."),
        (
            "invented",
            "Under fog the model reports a bus that matches no object (score 0.12); the nearest has IoU 0.40.",
        ),
        ("confused", "Under fog it is taken for bus (score 0.12)."),
        ("misplaced", "Under fog it is found in the wrong place: IoU with the true box is 0.40."),
    ],
)
def test_the_story_of_a_failure(kind: str, said: str) -> None:
    failure = {
        "failure": kind, "shift": "weather/fog", "class_name": "car", "predicted_class": "bus",
        "score_clean": None, "score_shifted": 0.12, "iou": 0.4,
    }  # fmt: skip
    assert words.story(failure) == said
    missed = words.story({**failure, "score_clean": 0.9, "failure": "missed"})
    assert missed.startswith("On the clean picture it was found")
    region = words.story({**failure, "failure": "confused", "score_clean": 0.9}, "segmentation")
    assert region == "Under fog, pixels of car are labelled bus. IoU of car in this picture: 0.90 clean, 0.12 now."


def test_the_story_of_a_picture_names_the_score_of_the_answer() -> None:
    """The score of a failed picture is that of its true class; the wrong one's is among the answers."""
    failure = {
        "failure": "confused", "shift": "texture/road", "class_name": "14", "predicted_class": "38",
        "score_clean": 0.98, "score_shifted": 0.004,
        "predictions_shifted": [{"box": None, "class_name": "38", "score": 0.31}],
    }  # fmt: skip
    assert words.story(failure, "classification") == (
        "Under road texture, 14 is taken for 38 (probability 0.31); the probability of 14 falls from 0.98 to 0.00."
    )
    unknown = words.story({**failure, "predictions_shifted": []}, "classification")
    assert unknown.startswith("Under road texture, 14 is taken for 38; the probability of 14")


def test_the_strongest_place_of_a_map_is_told_in_its_own_unit(detection_run: Path) -> None:
    run = read(detection_run)
    given = {f["id"]: f["explanation"] for f in run.data["gallery"]}
    told = {i["id"]: i["explanation"] for i in gallery.build(run).items if i["explanation"]}
    assert told
    for key, explanation in told.items():
        for name in ("clean", "shifted"):
            with Image.open(detection_run / given[key][f"cam_{name}"]) as image:
                expected = image.convert("L").getextrema()[1] / 255 * given[key]["scale"]
            assert explanation[f"peak_{name}"] == pytest.approx(expected)


def test_what_keeps_everything_is_not_called_weak(detection_run: Path) -> None:
    data = read(detection_run).data
    whole = {"value": 0.998, "low": 0.99, "high": 1.0, "n": 9}
    families = [{**f, "rpc": whole} for f in data["families"]]
    unbroken = [{**p, "breaks_at": None} for p in data["per_shift"]]
    assert (
        words.weakest(run_with(detection_run, families=families, per_shift=unbroken)) == "Nothing measurable is lost."
    )
    assert words.weakest(run_with(detection_run, families=families)).startswith("Weakest against")


def test_a_label_table_without_objects_is_left_out(detection_run: Path) -> None:
    kinds = ("kept", "modified", "occluded", "invalid", "hard_to_see")
    data = read(detection_run).data
    nothing = [{**row, **dict.fromkeys(kinds, 0)} for row in data["audit"]]
    run = run_with(detection_run, audit=nothing, model={**data["model"], "task": "segmentation"})
    page = html.render(run, gallery.build(run), {})
    assert 'id="audit"' not in page
    assert 'href="#audit"' not in page
    assert "there is no table of it" in page
    assert 'id="audit"' in html.render(read(detection_run), gallery.build(read(detection_run)), {})


def test_a_poor_clean_score_is_pointed_out(detection_run: Path) -> None:
    head = read(detection_run).data["headline"]
    assert words.caution(read(detection_run)) == ""
    poor = run_with(detection_run, headline={**head, "clean": {"value": 0.137, "low": 0.0, "high": 0.279, "n": 6}})
    assert words.caution(poor) == "On clean pictures it reaches only mAP 0.14 [0.00, 0.28], so there is little to lose."


def test_a_corruption_error_stands_beside_the_headline(detection_run: Path) -> None:
    run = run_with(
        detection_run, mce={"reference": "alexnet", "figure": {"value": 0.8, "low": 0.7, "high": 0.9, "n": 9}}
    )
    assert views.big_numbers(run)[-1]["name"] == "mCE against alexnet"
    assert views.big_numbers(run)[-1]["interval"] == "[70, 90]"
    assert len(views.big_numbers(read(detection_run))) == 3


def test_one_family_alone_is_not_called_the_weakest(builder: ModuleType, tmp_path: Path) -> None:
    run = read(builder.build(tmp_path / "run", shifts=1, severities=(3,), failures=0))
    assert words.weakest(run).replace("\u00a0", " ") == "It breaks at severity 3 of fog (visibility 200 m)."


def test_nothing_is_said_of_what_is_kept_of_nearly_nothing(detection_run: Path) -> None:
    rows = [
        {**f, "value": 0.01} if f["class_name"] == "car" and f["shift"] == "clean" else f
        for f in read(detection_run).data["figures"]
    ]
    last = tables.breakdown(run_with(detection_run, figures=rows), by="name")[-1]
    assert (last["name"], last["clean"], last["kept"]) == ("car", "0.01", "–")
    assert {cell["step"] for cell in last["cells"]} == {None}
