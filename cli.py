"""The command line: parses, calls and prints. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pathlib import Path

F = TypeVar("F", bound=Callable[..., Any])

BAD_INPUT = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count


class Command(click.Group):
    """A group whose commands answer bad input with one message and exit code 2, and Ctrl-C with 130."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            from scenes.stopping import CleanStop, told

            CleanStop().begin()  # to the end of the process: leaving may take a while too
            _hush()
            click.echo(f"\nStopped. {told(stop)}".rstrip(), err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:  # the reader of a pipe (head, less) has seen enough
            import os
            import sys

            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except (ValueError, OSError) as error:
            from scenes.errors import InputError

            if not isinstance(error, InputError | OSError):
                raise
            click.echo(f"Error: {_plain(error)}", err=True)
            ctx.exit(BAD_INPUT)


def _hush() -> None:
    """Let what Ctrl-C left half made (a compiler's objects) go without a word: the last line is the one that helps."""
    import sys

    sys.unraisablehook = lambda _: None


def _plain(error: Exception) -> str:
    """Return an error as one message; what the system says of a file is put into words."""
    import errno

    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full{f' at {error.filename}' if error.filename else ''}; free some space and run it again"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


@click.group(cls=Command, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="roadproof", message="%(prog)s %(version)s")
def main() -> None:
    """Make the road worse on purpose, with labels that stay true, and see where a trained model breaks."""


def path(*, exists: bool = False, file: bool = True, folder: bool = True) -> Any:
    """Return the click type of a path; only files and folders that must exist are checked here."""
    import pathlib

    return click.Path(exists=exists, file_okay=file, dir_okay=folder, path_type=pathlib.Path)


def _downloads(context: click.Context, parameter: click.Parameter, value: bool) -> bool:
    """Let generators of this command and its workers know that they may fetch weights."""
    import os

    if value:
        os.environ["ROADPROOF_ALLOW_DOWNLOAD"] = "1"
    return value


def dataset_options(command: F) -> F:
    """Add the options that say how a data set is read."""
    for decorate in (
        click.option("--strict", is_flag=True, help="Stop at the first sample that cannot be used."),
        click.option("--split", metavar="NAME", help="Use one split (train, val, ...); without it all are used."),
        click.option("--format", "format_", metavar="FORMAT", help="Format of DATASET, where it is not to be guessed."),
    ):
        command = decorate(command)
    return command


def model_options(command: F) -> F:
    """Add the options that say how a model is loaded."""
    for decorate in (
        click.option(
            "--allow-download", is_flag=True, callback=_downloads, help="Let hf:, timm:, torchvision: fetch weights."
        ),
        click.option("--trust", is_flag=True, help="Let files execute code (pickled checkpoints)."),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
        click.option("--class-map", type=path(folder=False), help="YAML of `model class: data set class` lines."),
        click.option("--model-yaml", type=path(folder=False), help="How an ONNX or TorchScript model is fed and read."),
    ):
        command = decorate(command)
    return command


def plan_options(command: F) -> F:
    """Add one option for each key of a plan; they win over the file."""
    for decorate in (
        click.option("--predictions/--no-predictions", default=None, help="Keep what the model said."),
        click.option(
            "--no-dependability",
            "dependability",
            flag_value=False,
            type=bool,
            default=None,
            help="No calibration, no detection of the unknown, no explanations but of failures.",
        ),
        click.option("--resamples", type=int, help="Bootstrap resamples behind every interval."),
        click.option("--min-visibility", type=float, help="Set aside what is less visible, beside the headline."),
        click.option("--batch-size", type=int, help="Source frames of one task and one call of the model."),
        click.option("--reference", metavar="NAME|RUN", help="What mCE divides by: alexnet, or another run's folder."),
        click.option("--calibration", type=path(folder=False), help="File of `roadproof shifts calibrate`."),
        click.option("--scale", type=click.Choice(["physical", "measured"]), help="What severities mean."),
        click.option("--explain-budget", type=int, metavar="N", help="Masks of a black-box explanation."),
        click.option("--explain-layer", metavar="NAME", help="Layer of the model to explain; found unless given."),
        click.option("--explain-method", help="auto, gradcam, hirescam, drise or none."),
        click.option("--explain", type=int, metavar="N", help="How many failures are explained; 0 for none."),
        click.option("--metrics", metavar="LIST", help="Metrics, the first is the headline, e.g. map,ap50."),
        click.option("--limit", type=int, metavar="N", help="Use N source frames, evenly spread."),
        click.option("--seed", type=int, help="Seed of every draw; same seed, same pictures."),
        click.option("--severities", metavar="LIST", help="Numbers from 1 to 5, e.g. 1,3,5."),
        click.option("--shifts", metavar="LIST", help="Names or families, e.g. fog,night,sensor; all for every one."),
        click.option("--plan", "plan_file", type=path(folder=False), help="YAML file with these keys."),
    ):
        command = decorate(command)
    return command


def run_options(command: F) -> F:
    """Add the options that say how the work is carried out."""
    for decorate in (
        click.option("--no-report", is_flag=True, help="Do not write report.html."),
        click.option("--depth", metavar="SOURCE", help="Depth where the data has none: hf:NAME_OR_PATH, file.py:attr."),
        click.option("--workers", type=int, metavar="N", help="Processes; one per core unless given."),
    ):
        command = decorate(command)
    return command


class Listing(click.Group):
    """A group that lists what its arguments name, unless the first of them is one of its commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            ctx.meta["names"] = tuple(arg for arg in args if not arg.startswith("-"))
            args = [arg for arg in args if arg.startswith("-")]
        return super().parse_args(ctx, args)


@main.group(
    cls=Listing, invoke_without_command=True, subcommand_metavar="[SHIFT|FAMILY]... | COMMAND", no_args_is_help=False
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON with sources, options and all values.")
@click.pass_context
def shifts(ctx: click.Context, as_json: bool) -> None:
    """List the shifts: name, what they change and need, and the five physical values behind severities 1 to 5."""
    if ctx.invoked_subcommand is None:
        _list_shifts(ctx.meta.get("names", ()), as_json=as_json)


@shifts.command()
@click.argument("dataset")
@click.option("--out", type=path(file=False), required=True, metavar="DIR", help="Folder to write into.")
@click.option("--model", default="zoo:detector", show_default=True, help="The reference model, as `stress` takes it.")
@click.option("--shifts", "chosen", default="all", show_default=True, metavar="LIST", help="Names or families.")
@click.option("--limit", type=click.IntRange(2), default=24, show_default=True, help="Source frames for the model.")
@click.option("--pictures", type=click.IntRange(1), default=8, show_default=True, help="Of them, for distances.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of every draw.")
@click.option("--workers", type=int, metavar="N", help="Processes; one per core unless given.")
@click.option("--depth", metavar="SOURCE", help="Depth where the data has none: hf:NAME_OR_PATH, file.py:attr.")
@dataset_options
@model_options
def calibrate(dataset: str, out: Path, **options: Any) -> None:
    """Measure what each severity is: distance to clean, and what it costs a reference model.

    Writes calibration.html, calibration.md and calibration.json; a plan with `scale: measured` and
    `calibration: DIR/calibration.json` then uses severities that cost the reference model the same for every shift.
    """
    import shlex
    import sys

    import reports.calibration
    from stress import calibrate as measure

    model_options = {"trust": options["trust"], "allow_download": options["allow_download"]}
    if options["model_yaml"] is not None:
        model_options["model_yaml"] = str(options["model_yaml"])
    found = measure(
        dataset,
        options["model"],
        out,
        shifts=options["chosen"],
        **{key: options[key] for key in ("limit", "pictures", "seed", "workers", "device", "strict", "depth", "split")},
        format=options["format_"],
        classes=None if options["class_map"] is None else str(options["class_map"]),
        model_options=model_options,
        command=shlex.join(["roadproof", *sys.argv[1:]]),
    )
    page = reports.calibration.write(found.path, found.summary)
    click.echo((found.path / "calibration.md").read_text(encoding="utf-8"))
    click.echo(page)


def _list_shifts(names: tuple[str, ...], *, as_json: bool) -> None:
    from synth.registry import catalogue, expand

    wanted = {full for name in names for full in expand(name)}
    rows = catalogue(wanted if names else None)
    if as_json:
        import json

        click.echo(json.dumps(rows, indent=2))
        return
    width = max(len(row["name"]) for row in rows)
    needs_width = max(len(",".join(row["needs"]) or "-") for row in rows)
    click.echo(
        f"{'shift':{width}}  {'family':9}  {'changes':10}  {'needs':{needs_width}}  physical values, severity 1 to 5"
    )
    for row in rows:
        values = " ".join(f"{value:g}" for value in row["values"])
        needs = ",".join(row["needs"]) or "-"
        unit = f" {row['unit']}" if row["unit"] not in ("", "1") else ""
        what = f"{row['quantity']} {values}{unit}"
        click.echo(f"{row['name']:{width}}  {row['family']:9}  {row['changes']:10}  {needs:{needs_width}}  {what}")


@main.command()
@click.argument("dataset")
@click.option("--model", required=True, help="file.py:attr, module:attr, a path, zoo:, hf:, torchvision: or timm:NAME.")
@click.option("--out", type=path(file=False), required=True, help="Run folder; the same command resumes it.")
@plan_options
@model_options
@dataset_options
@run_options
@click.option("--dry-run", is_flag=True, help="Print the cells and the expected time, and stop.")
def stress(dataset: str, model: str, out: Path, plan_file: Path | None, dry_run: bool, **options: Any) -> None:
    """Run MODEL over DATASET under a grid of shifts and severities; write RUN/report.html.

    DATASET is a folder (COCO, YOLO, KITTI, BDD100K, Cityscapes-style, image folder) or town:SEED:N, the built-in one.
    """
    from stress import plan as plans

    keys = {name: options.pop(name) for name in (*PLAN_KEYS, *EXPLAIN_KEYS)}
    plan = plans.Plan.from_yaml(plan_file or "", **_plan_overrides(plan_file, keys))
    _stress(dataset, model, plan, out, dry_run=dry_run, **options)


PLAN_KEYS = (
    "shifts", "severities", "seed", "limit", "metrics", "scale", "reference", "batch_size", "min_visibility",
    "resamples", "predictions", "calibration",
    "dependability",
)  # fmt: skip


EXPLAIN_KEYS = {"explain": "failures", "explain_method": "method", "explain_layer": "layer", "explain_budget": "budget"}


def _plan_overrides(plan_file: Path | None, keys: dict[str, Any]) -> dict[str, Any]:
    """Return the plan keys given as options; those of `explain` are joined with what the file says of it."""
    overrides = {name: keys[name] for name in PLAN_KEYS}
    if keys["calibration"] is not None:
        overrides["calibration"] = str(keys["calibration"])
    if keys["severities"] is not None:
        overrides["severities"] = _numbers(keys["severities"])
    given = {key: keys[option] for option, key in EXPLAIN_KEYS.items() if keys[option] is not None}
    if given:
        from stress.plan import Plan

        known = Plan.from_yaml(plan_file).explain.model_dump() if plan_file else {}
        overrides["explain"] = {**known, **given}
    return overrides


def _numbers(text: str) -> list[float]:
    from scenes.errors import InputError

    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InputError(f"--severities: expected numbers from 1 to 5 such as 1,3,5, got {text!r}") from None


def _stress(dataset: str, model: str, plan: Any, out: Path, *, dry_run: bool = False, **options: Any) -> None:
    """Run, say what was found, write the report."""
    import shlex
    import sys

    import stress as harness

    named = {"format": options["format_"], "split": options["split"]}
    _say_data(dataset, named)
    model_options = {"trust": options["trust"], "allow_download": options["allow_download"]}
    if options["model_yaml"] is not None:
        model_options["model_yaml"] = str(options["model_yaml"])
    arguments: dict[str, Any] = {
        "device": options["device"],
        "workers": options["workers"],
        "strict": options["strict"],
        "depth": options["depth"],
        "classes": None if options["class_map"] is None else str(options["class_map"]),
        "model_options": model_options,
        **named,
    }
    if dry_run:
        _print_estimate(harness.dry_run(dataset, model, plan, **arguments))
        return
    command = shlex.join(["roadproof", *sys.argv[1:]])
    result = harness.run(dataset, model, plan, out, command=command, **arguments)
    if result.already_done:
        click.echo(f"done   {out} was finished already; nothing was run", err=True)
    _print_result(result)
    _read_closer(out)
    if not options["no_report"]:
        _report(out)


def _say_data(dataset: str, named: dict[str, Any]) -> None:
    """Say how a data set was understood, before anything is made of it."""
    from scenes.datasets import open_dataset
    from scenes.datasets.base import count

    opened = open_dataset(dataset, **named)
    said = getattr(opened, "description", None) or f"{opened.name}, {count(len(opened), 'frame')}"
    click.echo(f"data   {said}", err=True)


def _print_estimate(estimate: Any) -> None:
    for item in estimate.cells:
        text = f"left out: it {item.left_out}" if item.left_out else f"{1000 * item.seconds:.0f} ms a picture"
        click.echo(f"{item.cell.label:28} {text}")
    click.echo(
        f"{estimate.pictures} pictures of {estimate.samples} frames; the model: {1000 * estimate.predict_s:.0f} ms "
        f"each; about {_duration(estimate.seconds)} on {estimate.workers} core(s), without explanations"
    )
    if estimate.explaining:
        click.echo(
            f"explanations: up to {_duration(estimate.explaining_s)} more, worth {estimate.explaining:,} predictions "
            "whatever the size of the data; --explain 0 leaves them out"
        )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _print_result(result: Any) -> None:
    """Say the headline and what a reader must know, on standard error; the path of the report is standard output."""
    from reports import words
    from reports.read import read

    run = read(result.path)
    for line in (words.verdict(run), words.scores(run), words.weakest(run), words.breaks(run)):
        if line:
            click.echo(line, err=True)
    for line in words.unscored(run):
        click.echo(f"classes {line}", err=True)
    for note in result.results.summary["notes"]:
        click.echo(f"note   {note}", err=True)
    for skipped in result.results.summary["skipped"][:10]:
        click.echo(f"skip   {skipped['sample_id']}: {skipped['reason']}", err=True)
    if result.n_skipped > 10:
        click.echo(f"skip   and {result.n_skipped - 10} more; all are in the report", err=True)


def _report(run: Path, *, single_file: bool = True) -> None:
    import reports

    click.echo(str(reports.write(run, single_file=single_file)))


@main.command()
@click.argument("dataset", required=False)
@click.option("--recipe", "recipe_file", type=path(folder=False), help="YAML file: shifts, variants, filters.")
@click.option("--out", type=path(file=False), required=True, help="Folder of the new data set; must not exist yet.")
@click.option("--format", "format_", metavar="FORMAT", help="Format of the new set; the source's own unless given.")
@click.option("--source-format", metavar="FORMAT", help="Format of DATASET, where it is not to be guessed.")
@click.option("--split", metavar="NAME", help="Use one split (train, val, ...); without it all are used.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Use N source frames, evenly spread.")
@click.option("--variants", type=click.IntRange(min=1), metavar="N", help="Pictures of each frame; wins over the file.")
@click.option("--seed", type=int, help="Seed of every draw; wins over the file.")
@click.option("--workers", type=int, metavar="N", help="Processes; one per core. The new set does not depend on it.")
@click.option("--depth", metavar="SOURCE", help="Depth where the data has none: hf:NAME_OR_PATH, file.py:attr.")
@click.option("--allow-download", is_flag=True, callback=_downloads, help="Let hf: and diffusion shifts fetch weights.")
@click.option("--strict", is_flag=True, help="Stop at the first sample that cannot be used.")
@click.option("--preview", is_flag=True, help="Also write a contact sheet, OUT-preview.png.")
@click.option("--quality", is_flag=True, help="Also measure the new set: OUT/quality.html.")
@click.option("--replay", type=path(exists=True), metavar="MANIFEST", help="Make the pictures of a manifest again.")
@click.option("--dataset", "root", metavar="ROOT", help="With --replay: where the source is now.")
def synth(dataset: str | None, out: Path, preview: bool, quality: bool, replay: Path | None, **options: Any) -> None:
    """Make a new, labelled data set of DATASET by a recipe of shifts; OUT/manifest.jsonl can make it again.

    DATASET is a folder of any format that `roadproof stress` takes, or town:SEED:N, the built-in one. The same command
    goes on where it was stopped.
    """
    from scenes.errors import InputError

    if replay is not None:
        named = {"DATASET": dataset, **{text: options[key] for key, text in NOT_REPLAYED.items()}}
        given = [text for text, value in named.items() if value is not None and value is not False]
        if given:
            raise InputError(
                f"--replay takes everything from the manifest, and so no {' or '.join(given)}; see --dataset"
            )
        faithful = _synth_again(replay, out, options)
    else:
        if dataset is None or options["recipe_file"] is None:
            raise InputError("synth needs DATASET and --recipe FILE (or --replay MANIFEST)")
        if options["root"] is not None:
            raise InputError("--dataset belongs to --replay; name the data set before the options")
        _synth_new(dataset, out, options)
        faithful = True
    if preview:
        from synth.preview import write_preview

        click.echo(str(write_preview(out, out.with_name(f"{out.name}-preview.png"))))
    if quality:
        _synth_quality(out)
    if not faithful:
        raise SystemExit(1)


NOT_REPLAYED = {
    "recipe_file": "--recipe", "format_": "--format", "source_format": "--source-format", "split": "--split",
    "limit": "--limit", "variants": "--variants", "seed": "--seed", "strict": "--strict",
}  # fmt: skip


def _synth_new(dataset: str, out: Path, options: dict[str, Any]) -> None:
    """Make the set and say what was made, on standard error; its path is standard output."""
    import synth as synthesis
    from scenes.datasets.base import count
    from synth.filters import REASONS

    recipe = synthesis.Recipe.from_yaml(options["recipe_file"], variants=options["variants"], seed=options["seed"])
    _say_data(dataset, {"format": options["source_format"], "split": options["split"]})
    taken = ("split", "source_format", "limit", "workers", "strict", "depth", "allow_download")
    made = synthesis.generate(dataset, recipe, out, format=options["format_"], **{key: options[key] for key in taken})
    if made.already_done:
        click.echo(f"done   {out} was finished already; nothing was made", err=True)
    total = made.n_made + sum(made.left_out.values())
    pictures = f"{made.n_made} of {count(total, 'picture')} wanted," if total > made.n_made else ""
    pictures = pictures or count(made.n_made, "picture")
    click.echo(f"made   {pictures} of {count(made.n_sources, 'frame')}, as {made.format}", err=True)
    for name, number in sorted(made.made.items(), key=lambda item: (-item[1], item[0])):
        click.echo(f"       {number:6}  {name}", err=True)
    for reason, number in made.left_out.items():
        click.echo(f"left out {number}: {REASONS[reason]}, e.g. {made.examples[reason][0]}", err=True)
    for note in made.notes[:5]:
        click.echo(f"note   {note}", err=True)
    click.echo(str(out))


def _synth_again(manifest: Path, out: Path, options: dict[str, Any]) -> bool:
    """Make the pictures of a manifest again; return whether all came out as they were."""
    import synth as synthesis

    taken = {key: options[key] for key in ("workers", "depth", "allow_download")}
    again = synthesis.remake(manifest, out, dataset=options["root"], **taken)
    total = len(again.identical) + len(again.within) + len(again.different) + len(again.unknown)
    click.echo(f"replay {len(again.identical)} of {total} pictures are byte for byte the same", err=True)
    if again.within:
        click.echo(
            f"       {len(again.within)} are within the tolerance of their shifts, e.g. {again.within[0]}", err=True
        )
    for name, levels in list(again.different.items())[:5]:
        click.echo(f"       differs by up to {levels:.0f} grey levels: {name}", err=True)
    if len(again.different) > 5:
        click.echo(f"       and {len(again.different) - 5} more differ", err=True)
    if again.unknown:
        text = "differ, and the first pictures are not beside the manifest to say by how much"
        click.echo(f"       {len(again.unknown)} {text}, e.g. {again.unknown[0]}", err=True)
    if again.labels:
        click.echo(f"       labels differ in {len(again.labels)}, e.g. {again.labels[0]}", err=True)
    for name, (then, now) in again.versions.items():
        click.echo(f"note   {name} was {then or 'not there'}, is {now or 'not there'}", err=True)
    click.echo(str(out))
    return bool(again.faithful)


def _synth_quality(out: Path) -> None:
    """Measure a new set and write its page; features come from the built-in classifier where no other weights are."""
    import reports.synthesis
    from stress.zoo import load
    from synth.quality import Features, measure

    quality = measure(out, fallback=Features("zoo:classifier", load("classifier").embed))
    click.echo(str(reports.synthesis.write(quality, out / "quality.html")))


@main.command()
@click.argument("run", type=path(exists=True, file=False))
@click.option("--folder", is_flag=True, help="Keep the pictures beside the page instead of inside it.")
def report(run: Path, folder: bool) -> None:
    """Write the report of a finished RUN again; prints its path."""
    _report(run, single_file=not folder)


DEMO_SHIFTS = (
    "weather/fog", "weather/rain", "lighting/night", "lighting/low_sun", "sensor/motion_blur", "sensor/pixelation",
    "texture/object", "texture/road", "shape/warp", "shape/lens", "pose/yaw", "pose/pitch",
    "context/misplaced", "context/background", "occlusion/target", "occlusion/object",
)  # fmt: skip


@main.command()
@click.argument("run", type=path(exists=True, file=False))
@click.option(
    "--least", type=click.IntRange(5), default=20, show_default=True, help="Objects of a slice, in each half."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Which groups are searched, and which test.")
@click.option(
    "--clusters/--no-clusters", default=True, show_default=True, help="Gather failures that look alike; makes pictures."
)
@click.option("--no-report", is_flag=True, help="Do not write report.html again.")
def mine(run: Path, least: int, seed: int, clusters: bool, no_report: bool) -> None:
    """Find the slices of a finished run where objects are lost: which classes, sizes, distances under which shifts.

    Slices are sought in half of the source groups and tested on the other half. Writes mining.json and
    failures.parquet into the run folder, and its report again. Clusters need the data set where it was.
    """
    from stress.mining import markdown
    from stress.mining import mine as dig

    click.echo(markdown(dig(run, least=least, seed=seed, clusters=clusters)), nl=False)
    if not no_report:
        _report(run)


@main.command()
@click.argument("run", type=path(exists=True, file=False))
@click.option("--weights", type=path(folder=False), metavar="FILE", help="YAML: vulnerable, vehicle, other, speed_kmh.")
@click.option("--no-report", is_flag=True, help="Do not write report.html again.")
def safety(run: Path, weights: Path | None, no_report: bool) -> None:
    """Read a finished detection run for safety: misses weighted by distance and road user, and what was not covered.

    Writes safety.json into the run folder, and its report again.
    """
    import reports.safety
    from stress.safety import Weights, assess

    found = assess(run, Weights.from_yaml(weights) if weights is not None else None)
    click.echo(reports.safety.markdown(found), nl=False)
    if not no_report:
        _report(run)


def _read_closer(run: Path) -> None:
    """Mine a run that was just finished and read it for safety, without pictures, so that its report shows it."""
    from scenes.errors import InputError
    from stress.mining import mine as dig
    from stress.results import read
    from stress.safety import assess

    results = read(run)
    most = 2_000_000  # objects in cells; about a minute
    if results.task != "segmentation" and results.objects.num_rows > most:
        click.echo(f"note   large run: `roadproof mine {run}` looks for slices", err=True)
        return
    for name, work in (("mining.json", dig), ("safety.json", assess)):
        if (run / name).exists() or (name == "safety.json" and results.task != "detection"):
            continue
        try:
            work(run)
        except InputError as error:
            click.echo(f"note   {error}", err=True)


@main.command()
@click.argument("run", type=path(exists=True, file=False))
@click.option("--out", type=path(file=False), required=True, metavar="DIR", help="Folder of the new training set.")
@click.option("--images", type=int, required=True, metavar="N", help="Pictures of the set, clean frames included.")
@click.option("--clean-share", type=float, default=0.5, show_default=True, help="Share of clean frames, 0 to 0.9.")
@click.option("--hold-out", default="", metavar="FAMILY[,FAMILY]", help="Families whose shifts are never used.")
@click.option("--dataset", metavar="ROOT", help="Where training frames come from; the run's own data unless given.")
@click.option("--split", metavar="NAME", help="Split of the training frames; train where there is one unless given.")
@click.option("--frames", type=click.IntRange(min=1), metavar="N", help="How many frames to choose from.")
@click.option("--embed", default="zoo:classifier", show_default=True, metavar="MODEL", help="Tells pictures apart.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of every draw.")
@click.option("--workers", type=int, metavar="N", help="Processes; one per core. The new set does not depend on it.")
def feedback(run: Path, out: Path, embed: str, **options: Any) -> None:
    """Make a labelled training set of what the model lost in a finished RUN.

    Frames that the run was not tested on go through the shifts under which most was lost, on the classes, sizes and
    distances that lost most, and stand beside clean frames. DIR is a data set in the source's own format, with
    weights.csv (sampling weights), feedback.json and a card, README.md. The same command goes on where it was stopped.
    """
    import shlex
    import sys

    from stress.feedback import make_feedback

    command = shlex.join(["roadproof", *sys.argv[1:]])
    made = make_feedback(run, out, embedder=embed, command=command, **options)
    if made.already_done:
        click.echo(f"done   {out} was finished already; nothing was made", err=True)
    for line in made.words():
        click.echo(line, err=True)
    click.echo(str(out))


@main.command()
@click.argument("run", type=path(exists=True, file=False))
@click.argument("failure")
@click.option("--out", type=path(folder=False), metavar="FILE", help="PNG to write; RUN-FAILURE.png here unless given.")
def reproduce(run: Path, failure: str, out: Path | None) -> None:
    """Make the shifted picture of a FAILURE of RUN again (its id in the report, e.g. f001); print its path.

    The data set has to be where it was when the run was made.
    """
    from pathlib import Path

    from stress import reproduce as again

    click.echo(again(run, failure, out or Path(f"{run.resolve().name}-{failure}.png")))


@main.command()
@click.argument("runs", nargs=-1, required=True, type=path(exists=True, file=False), metavar="RUN RUN...")
@click.option("--out", type=path(file=False), metavar="DIR", help="Folder for the pages.")
@click.option("--metric", metavar="NAME", help="What to compare; the runs' headline unless given.")
@click.option("--label", "labels", multiple=True, metavar="NAME", help="Name of a run, once for each in their order.")
@click.option("--resamples", type=click.IntRange(100), default=1000, show_default=True, help="Bootstrap resamples.")
def compare(
    runs: tuple[Path, ...], out: Path | None, metric: str | None, labels: tuple[str, ...], resamples: int
) -> None:
    """Compare finished runs, paired by sample; the first is what the others are compared with.

    Prints a summary; with --out also writes comparison.html, comparison.md and comparison.json.
    """
    import reports.comparison
    from scenes.folders import write_json
    from stress.compare import compare as paired

    found = paired(runs, metric=metric, resamples=resamples, labels=labels)
    click.echo(reports.comparison.markdown(found), nl=False)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "comparison.json", found)
        click.echo(reports.comparison.write(out, found))


@main.command()
@click.argument("run", type=path(exists=True, file=False))
@click.option("--budget", type=path(folder=False), required=True, metavar="FILE", help="YAML file of limits.")
@click.option("--baseline", type=path(exists=True, file=False), metavar="RUN", help="Run not to fall behind.")
@click.option("--junit", type=path(folder=False), metavar="FILE", help="Write JUnit XML.")
@click.option("--markdown", type=path(folder=False), metavar="FILE", help="Write a table for a pull request.")
@click.pass_context
def gate(
    ctx: click.Context, run: Path, budget: Path, baseline: Path | None, junit: Path | None, markdown: Path | None
) -> None:
    """Judge a finished run by a budget: exit code 0 where all limits are kept, 1 where not, 2 for a bad budget."""
    from stress.gate import gate as judge

    verdict = judge(run, budget, baseline=baseline)
    for file, text in ((junit, verdict.junit()), (markdown, verdict.markdown())):
        if file is not None:
            file.write_text(text, encoding="utf-8")
    for check in verdict.checks:
        if check.outcome != "kept" or check.note:
            click.echo(f"{check.outcome:8} {check.sentence}")
    click.echo(f"{len(verdict.checks) - len(verdict.broken)} of {len(verdict.checks)} limits are kept")
    ctx.exit(0 if verdict.passed else 1)


@main.command()
@click.option("--feedback", type=path(exists=True, file=False), required=True, metavar="DIR", help="Feedback set.")
@click.option("--out", type=path(file=False), required=True, metavar="DIR", help="The same command goes on in it.")
@click.option(
    "--model", metavar="MODEL", help="As `stress` takes it; that of the run behind the feedback unless given."
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Trainings of every arm.")
@click.option("--steps", type=click.IntRange(1), default=300, show_default=True, help="Steps of every training.")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Pictures of a step; what suits the model.")
@click.option("--rate", type=float, metavar="R", help="Highest learning rate; what suits the model.")
@click.option(
    "--checks", type=click.IntRange(1), default=10, show_default=True, help="Measurements of validation loss."
)
@click.option("--patience", type=click.IntRange(1), metavar="N", help="Stop after N checks that are no better.")
@click.option("--held-out", default="", metavar="LIST", help="Families kept out of the training; `each`: in turn.")
@click.option("--run", type=path(exists=True, file=False), metavar="RUN", help="Whose plan is repeated; the set's run.")
@click.option("--test", metavar="DATASET", help="Other data to repeat the plan on.")
@click.option("--split", metavar="NAME", help="Split of --test.")
@click.option("--format", "format_", metavar="FORMAT", help="Format of --test, where it is not to be guessed.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Test on N frames, evenly spread.")
@click.option("--trainer", metavar="COMMAND", help="Train by a command with {data}, {out}, {weights}, {seed}, {steps}.")
@click.option(
    "--trained-model", metavar="MODEL", help="How --model names what the trainer left, e.g. {out}/model.onnx."
)
@click.option("--workers", type=int, metavar="N", help="Processes; one per core unless given.")
@click.option("--no-report", is_flag=True, help="Do not write proof.html.")
@click.option("--allow-download", is_flag=True, callback=_downloads, help="Let hf:, timm:, torchvision: fetch weights.")
@click.option("--trust", is_flag=True, help="Let files execute code (pickled checkpoints).")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--model-yaml", type=path(folder=False), help="How an ONNX or TorchScript model is fed and read.")
def retrain(feedback: Path, out: Path, model: str | None, no_report: bool, **options: Any) -> None:
    """Train MODEL on a feedback set and prove it: two controls of equal budget, the stress test repeated on all.

    Writes OUT/proof.html, proof.md and proof.json; OUT/models/feedback-0 is a model that `--model trained:DIR` takes.
    "Helped" is said where training seeds and frames leave no room for chance, "no evidence" where they do.
    """
    import shlex
    import sys

    _retrain(feedback, out, model, no_report=no_report, command=shlex.join(["roadproof", *sys.argv[1:]]), **options)


def _retrain(feedback: Path, out: Path, model: str | None, *, no_report: bool = False, **options: Any) -> None:
    """Retrain, say what came of it on standard error, write the report and print its path."""
    import reports.proof
    import stress as harness

    loaded = {"trust": options.pop("trust"), "allow_download": options.pop("allow_download")}
    model_yaml = options.pop("model_yaml")
    if model_yaml is not None:
        loaded["model_yaml"] = str(model_yaml)
    settings = {key: options.pop(key) for key in ("steps", "batch", "rate", "checks", "patience")}
    options.update(settings=settings, model_options=loaded, format=options.pop("format_"))
    if options["held_out"] == "each":
        _leave_one_out(feedback, out, model, no_report=no_report, **options)
        return
    made = harness.retrain(model, feedback, out, **options)
    if made.already_done:
        click.echo(f"done   {out} was finished already; nothing was trained", err=True)
    for line in (*reports.proof.sentences(made.summary), *(f"note   {note}" for note in made.summary["notes"])):
        click.echo(line, err=True)
    click.echo(str(out / "proof.json" if no_report else reports.proof.write(out, made.summary)))


def _leave_one_out(feedback: Path, out: Path, model: str | None, *, no_report: bool, **options: Any) -> None:
    """Retrain without each family in turn; print the table, and write a proof page for each turn."""
    import reports.pages
    import reports.proof
    from scenes.folders import read_json
    from stress.training.leave_out import leave_one_out

    options.pop("held_out")
    made = leave_one_out(model, feedback, out, **options)
    if not no_report:
        for turn in sorted(out.glob("without-*")):
            reports.proof.write(turn, read_json(turn / "proof.json"))
    text = reports.proof.left_out(made.summary)
    reports.pages.write(out / "leave-one-out.md", text)
    click.echo(text, nl=False)


@main.command()
@click.option("--out", type=path(file=False), default="roadproof-demo", show_default=True, help="Run folder.")
@click.option("--frames", type=click.IntRange(min=1), help="Frames of the town: 40, or 24 with --loop.")
@click.option("--loop", is_flag=True, help="Go all the way round: stress, mine, feedback, retrain, proof.")
@click.option("--workers", type=int, metavar="N", help="Processes; one per core unless given.")
def demo(out: Path, frames: int | None, loop: bool, workers: int | None) -> None:
    """Stress the built-in detector on the built-in town: two shifts of every family at severities 1, 3 and 5.

    With --loop it is then trained again on what it lost, beside two controls, and the report says whether that helped.
    """
    from stress.plan import Plan

    if loop:
        _demo_loop(out, frames or 24, workers)
        return
    frames = frames or 40
    # the camera turned by re-projection, as on photographs: an exact re-render is a second a picture
    listed = [{"name": n, "renderer": "reprojection"} if n.startswith("pose/") else n for n in DEMO_SHIFTS]
    plan = Plan.make({"shifts": listed, "severities": [1, 3, 5], "explain": {"failures": 20, "per_cell": 1}})
    options: dict[str, Any] = {"split": "demo", **dict.fromkeys(("format_", "model_yaml", "class_map", "depth"))}
    options.update(dict.fromkeys(("strict", "trust", "allow_download", "no_report"), False))
    _stress(f"town:{DEMO_SEED}:{frames}", "zoo:detector", plan, out, workers=workers, device="auto", **options)


LOOP_SHIFTS = ("fog", "rain", "night", "low_sun", "motion_blur", "pixelation")  # the last two are held out
LOOP_IMAGES, LOOP_STEPS, LOOP_SEEDS = 80, 80, 3


def _demo_loop(out: Path, frames: int, workers: int | None) -> None:
    """Run the whole loop, small; the same command goes on where it was stopped."""
    import stress as harness
    from scenes.progress import reporting
    from stress.feedback import make_feedback
    from stress.mining import markdown
    from stress.mining import mine as dig
    from stress.plan import Plan

    click.echo("1 of 4  stress: six shifts at severity 3 on the built-in detector", err=True)
    explain = {"failures": 6}
    keys = {"shifts": LOOP_SHIFTS, "severities": [3], "limit": frames, "explain": explain, "dependability": "none"}
    plan = Plan.make(keys)
    # drives have four frames; one of each is tested, so that every frame is a witness of its own
    result = harness.run(f"town:{DEMO_SEED}:{4 * frames}", "zoo:detector", plan, out / "run", split="demo",
                         workers=workers)  # fmt: skip
    _print_result(result)
    _report(out / "run")
    click.echo("2 of 4  mine: where is it lost?", err=True)
    click.echo(markdown(dig(out / "run")), nl=False, err=True)
    click.echo(f"3 of 4  feedback: {LOOP_IMAGES} training pictures aimed at that, none of the sensor family", err=True)
    with reporting(None) as report:
        made = make_feedback(out / "run", out / "feedback", images=LOOP_IMAGES, hold_out=("sensor",),
                             workers=workers, progress=report)  # fmt: skip
    click.echo(f"        {made.path}", err=True)
    trainings = f"feedback and two controls, {LOOP_SEEDS} seeds, {LOOP_STEPS} steps each"
    click.echo(f"4 of 4  retrain: {trainings}; then all are stressed again and compared", err=True)
    options: dict[str, Any] = dict.fromkeys(("batch", "rate", "patience", "run", "test", "split", "format_", "limit"))
    options.update(dict.fromkeys(("trainer", "trained_model", "model_yaml")), trust=False, allow_download=False)
    options.update(seeds=LOOP_SEEDS, steps=LOOP_STEPS, checks=10, held_out="", device="auto", workers=workers)
    _retrain(made.path, out / "retrained", None, **options)


DEMO_SEED = 2026  # not among the seeds that the built-in models were trained on


@main.group()
def scene() -> None:
    """Fit scenes to posed photographs, and drive through them anew."""


@scene.command("fit")
@click.argument("capture")
@click.option("--out", type=path(file=False), required=True, help="Scene folder; the same command goes on with a fit.")
@click.option(
    "--method", type=click.Choice(["splat", "nerf"]), default="splat", show_default=True,
    help="3D Gaussian splats, or nerfstudio's nerfacto.",
)  # fmt: skip
@click.option("--steps", type=int, help="Steps: of one photo each, 3000 (splat), or of many rays, 2000 (nerf).")
@click.option("--pixels", type=int, help="Longest side of the pictures fitted to: 640 (splat), 160 (nerf).")
@click.option(
    "--size", type=click.Choice(["auto", "small", "full"]), default="auto", show_default=True,
    help="Of a NeRF: small for a CPU; full, as ns-train has it, for CUDA (30000 steps, 1600 pixels).",
)  # fmt: skip
@click.option("--start", default="auto", show_default=True, help="auto, points, depth, triangulate or random.")
@click.option("--max-gaussians", type=int, default=60_000, show_default=True, help="About how many there may be.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of every draw.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--trust", is_flag=True, help="Read the config.yml of ns-train, which can execute code.")
def scene_fit(capture: str, out: Path, method: str, device: str, **options: Any) -> None:
    """Fit a scene to CAPTURE and write it to a folder; every eighth view is held out and measured.

    CAPTURE is a folder with transforms.json (nerfstudio), a COLMAP model or a KITTI sequence, or town:SEED:N. With
    --method nerf it may also be an output folder of ns-train (config.yml), whose nerfacto is taken over as it is.
    """
    from stress.devices import resolve

    _refuse_options_of_others(method)
    place = resolve(device)
    with _fit_progress() as report:
        try:
            fitted = _fitted(capture, out, method, place, report, options)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("The same command goes on from the last checkpoint.") from None
    click.echo(str(out), err=True)
    click.echo(f"held-out PSNR: {fitted.about['held_out_psnr_db']:.1f} dB")


def _refuse_options_of_others(method: str) -> None:
    """Raise for options on the command line that only the other method has."""
    from scenes.errors import InputError

    context = click.get_current_context()
    others = ("start", "max_gaussians") if method == "nerf" else ("size", "trust")
    for name in others:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option, other = f"--{name.replace('_', '-')}", "splat" if method == "nerf" else "nerf"
            raise InputError(f"{option}: expected with --method {other} only, got --method {method}; leave it out")


def _fitted(
    capture: str, out: Path, method: str, device: str, report: Callable[[Any], None], options: dict[str, Any]
) -> Any:
    """Return the scene that a method makes of a capture; options that the user left out are the method's own."""
    given = {key: value for key, value in options.items() if value is not None}
    trust, size = given.pop("trust"), given.pop("size")
    if method == "splat":
        from scenes.gaussians import FitSettings, fit_scene

        return fit_scene(capture, out, FitSettings(**given), report=report, note=_say, device=device)
    from pathlib import Path

    from scenes.nerf import NerfSettings, fit_nerf
    from scenes.nerfs.studio import is_studio, take_over

    if is_studio(Path(capture)):
        return take_over(Path(capture), out, trust=trust, note=_say, device=device)
    settings = NerfSettings(size=size, **{key: given[key] for key in ("steps", "pixels", "seed") if key in given})
    return fit_nerf(capture, out, settings, report=report, note=_say, device=device)


@scene.command("render")
@click.argument("source", metavar="SCENE")
@click.option("--out", type=path(file=False), required=True, help="Folder of the new data set; it must be empty.")
@click.option(
    "--trajectory", type=click.Choice(["straight", "lane-change", "interpolation"]), default="interpolation",
    show_default=True, help="Ahead from the first captured camera, to the next lane, or through all of them.",
)  # fmt: skip
@click.option("--frames", type=click.IntRange(min=1), default=40, show_default=True, help="Pictures to render.")
@click.option("--length", type=float, default=12.0, show_default=True, help="Metres ahead.")
@click.option("--offset", type=float, default=3.4, show_default=True, help="Metres to the left of a lane change.")
@click.option("--format", "format_", default="coco", show_default=True, help="Format of the data set.")
def scene_render(
    source: str, out: Path, trajectory: str, frames: int, length: float, offset: float, format_: str
) -> None:
    """Drive through SCENE anew: a labelled data set of what is seen, and video.mp4.

    SCENE is the folder of a fitted scene, or town:SEED for the exact pictures.
    """
    from scenes.trajectory import drive, planned

    world, cameras, class_names = _world(source)
    views = planned(trajectory, cameras, frames=frames, length_m=length, offset_m=offset)
    click.echo(str(drive(world, views, out, class_names=class_names, format=format_, name=trajectory)))


@scene.command("view")
@click.argument("source", metavar="SCENE")
@click.option("--out", type=path(folder=False), required=True, help="HTML file of the page.")
@click.option(
    "--trajectory", type=click.Choice(["straight", "lane-change", "interpolation"]), default="interpolation",
    show_default=True, help="Ahead from the first captured camera, to the next lane, or through all of them.",
)  # fmt: skip
@click.option("--frames", type=click.IntRange(min=1), default=60, show_default=True, help="Pictures to render.")
@click.option("--length", type=float, default=12.0, show_default=True, help="Metres ahead.")
@click.option("--offset", type=float, default=3.4, show_default=True, help="Metres to the left of a lane change.")
def scene_view(source: str, out: Path, trajectory: str, frames: int, length: float, offset: float) -> None:
    """Write a page with a slider along a path through SCENE; it needs no network.

    SCENE is the folder of a fitted scene, or town:SEED for the exact pictures.
    """
    from scenes.trajectory import planned
    from scenes.turntable import turntable

    world, cameras, _ = _world(source)
    views = planned(trajectory, cameras, frames=frames, length_m=length, offset_m=offset)
    click.echo(str(turntable(world, views, out, title=f"Scene {source}")))


def _world(source: str) -> tuple[Any, Any, tuple[str, ...]]:
    """Return what renders, its captured cameras by name, and its classes; of a fitted scene or town:SEED."""
    from scenes.fitted import open_fitted

    if not source.startswith("town:"):
        world = open_fitted(source)
        return world, world.cameras, world.class_names
    from scenes.capture import open_capture
    from scenes.town import Town

    capture = open_capture(source)
    return Town(int(source.split(":")[1])), {view.name: view.camera for view in capture.views}, capture.class_names


@scene.command("check")
@click.argument("source", metavar="SCENE", type=path(exists=True, file=False))
@click.option("--views", type=click.IntRange(1), default=10, show_default=True, help="Views to move the camera from.")
@click.option("--model", default="zoo:detector", show_default=True, help="Detector whose scores are compared.")
def scene_check(source: Path, views: int, model: str) -> None:
    """Measure how true SCENE is, and keep it in SCENE/fidelity.json, from where reports take it.

    PSNR and SSIM of the views held out of the fit; for a scene of the town also pictures, labels and the model's score
    at moved cameras against the exact frames, by severity.
    """
    from scenes.progress import reporting
    from stress.fidelity import check_scene, table

    with reporting(None) as report:
        known = check_scene(source, views=views, model=model, report=report)
    if known["rows"]:
        click.echo(table(known["rows"]))
    else:
        click.echo("no exact scene of this place to compare moved cameras with: held-out views alone", err=True)
    if known["psnr_db"] is None:
        click.echo("held-out views: unknown, their photos are gone")
    else:
        click.echo(f"held-out PSNR: {known['psnr_db']:.1f} dB, SSIM: {known['ssim']:.3f}")


@scene.command("export")
@click.argument("source", metavar="SCENE", type=path(exists=True))
@click.argument("out", type=path(folder=False))
@click.option("--compressed", is_flag=True, help="A quarter of the size; labels are left out.")
def scene_export(source: Path, out: Path, compressed: bool) -> None:
    """Write the Gaussians of SCENE (a folder, .ply or splatfacto .ckpt) to a PLY file that viewers read."""
    from scenes.errors import InputError
    from scenes.fitted import is_nerf
    from scenes.gaussians import GAUSSIANS_FILE, open_scene
    from scenes.splats.files import write_compressed, write_gaussians

    if out.suffix.lower() != ".ply":
        raise InputError(f"export {out}: expected the name of a .ply file")
    if out.resolve() in (source.resolve(), (source / GAUSSIANS_FILE).resolve()):
        raise InputError(f"export {out}: these are the Gaussians of the scene itself; choose another name")
    if is_nerf(source):
        raise InputError(f"scene {source}: it is a NeRF, which has no Gaussians to export: fit it with --method splat")
    (write_compressed if compressed else write_gaussians)(out, open_scene(source).cloud)
    click.echo(str(out))


def _say(text: str) -> None:
    """Print a note on standard error."""
    click.echo(text, err=True)


@contextmanager
def _fit_progress() -> Iterator[Callable[[Any], None]]:
    """Show how far a fit is on standard error: a bar on a terminal, a line every tenth of the way elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    text = TextColumn("{task.fields[words]}")
    with Progress(
        "fit", BarColumn(), text, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("fit", words="", total=None)

        def report(now: Any) -> None:
            count = f"{now.rays} rays" if hasattr(now, "rays") else f"{now.gaussians} Gaussians"
            words = f"step {now.step}/{now.steps}  PSNR {now.psnr:.1f} dB  loss {now.loss:.4f}  {count}"
            bar.update(task, completed=now.step, total=now.steps, words=words)
            if not console.is_terminal and now.step % max(1, now.steps // 10) == 0:
                click.echo(words, err=True)

        yield report


@main.group()
def train() -> None:
    """Train learned generators, small or from your own checkpoints."""


@train.command("gan")
@click.argument("first", metavar="A", type=path(exists=True, file=False))
@click.argument("second", metavar="B", type=path(exists=True, file=False))
@click.option(
    "--out", type=path(file=False), required=True, help="Folder of the training; the same command resumes it."
)
@click.option("--paired", is_flag=True, help="Equal names in A and B are the same frame (pix2pix).")
@click.option("--method", type=click.Choice(["pix2pix", "cyclegan", "cut"]), help="cut unless paired.")
@click.option("--network", default="resnet_6blocks", show_default=True, help="Or resnet_9blocks, unet_128, unet_256.")
@click.option("--width", type=int, default=64, show_default=True, help="Channels of its first layer.")
@click.option("--norm", default="instance", show_default=True, help="Or batch (tiles of large frames agree), none.")
@click.option("--blur", is_flag=True, help="Anti-aliased sampling, as CUT has it.")
@click.option("--steps", type=click.IntRange(1), default=20_000, show_default=True)
@click.option("--side", type=int, default=128, show_default=True, help="Of the square crops, pixels.")
@click.option("--batch", type=int, default=4, show_default=True, help="Crops a step.")
@click.option("--rate", type=float, default=2e-4, show_default=True, help="Learning rate.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def train_gan(first: Path, second: Path, out: Path, device: str, **options: Any) -> None:
    """Train a translation that turns pictures below A into such as those below B.

    OUT/generator.safetensors is what shifts take: {name: lighting/gan_night, options: {weights: ...}}.
    """
    from reports import learning
    from stress.devices import resolve
    from synth.gan.training import train_gan

    done = train_gan(first, second, out, device=resolve(device), **options)
    for file in done.files:
        click.echo(str(file))
    click.echo(str(learning.write(out)))


@train.command("diffusion")
@click.argument("dataset")
@click.option(
    "--out", type=path(file=False), required=True, help="Folder of the training; the same command resumes it."
)
@click.option("--condition", "others", multiple=True, metavar="NAME=DATASET", help="The same classes in other weather.")
@click.option("--split", metavar="NAME", help="Use one split of the data.")
@click.option("--classes", metavar="LIST", help="To be taught; those with enough objects unless given.")
@click.option("--schedule", default="squaredcos_cap_v2", show_default=True, help="Of the noise; or linear.")
@click.option("--prediction", default="v_prediction", show_default=True, help="Or epsilon, sample.")
@click.option("--steps", type=click.IntRange(1), default=20_000, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Patches a step.")
@click.option("--rate", type=float, default=1e-3, show_default=True, help="Learning rate.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def train_diffusion(
    dataset: str, out: Path, others: tuple[str, ...], classes: str | None, device: str, **options: Any
) -> None:
    """Train a small model that fills holes of frames like those of DATASET, from scratch.

    OUT/model is a folder that synth.diffusion.small.load_small reads.
    """
    from reports import learning
    from stress.devices import resolve
    from synth.diffusion import training

    named = {"clear": dataset}
    for other in others:
        name, equals, place = other.partition("=")
        if not (name and equals and place):
            raise click.UsageError(f"--condition: expected NAME=DATASET, got {other!r}")
        named[name] = place
    taught = None if classes is None else [name.strip() for name in classes.split(",") if name.strip()]
    done = training.train_diffusion(named, out, classes=taught, device=resolve(device), **options)
    for file in done.files:
        click.echo(str(file))
    click.echo(str(learning.write(out)))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Say what is installed, which extras, weights and system libraries are missing, and how to get them."""
    import dataclasses

    from stress.doctor import examine, healthy

    findings = examine()
    if as_json:
        import json

        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        _print_findings(findings)
    if not healthy(findings):
        ctx.exit(1)


def _print_findings(findings: list[Any]) -> None:
    colours = {"ok": "green", "missing": "yellow", "broken": "red", "info": "blue"}
    group = ""
    for finding in findings:
        if finding.group != group:
            group = finding.group
            click.echo(click.style(f"\n{group}", bold=True))
        mark = click.style(f"{finding.status:8}", fg=colours[finding.status])
        click.echo(f"  {mark}{finding.name:24} {finding.detail}")
        if finding.remedy:
            click.echo(f"  {'':8}{'':24} -> {finding.remedy}")


if __name__ == "__main__":
    main(prog_name="roadproof")
