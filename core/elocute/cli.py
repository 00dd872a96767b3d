"""The command `elocute`. Heavy imports stay inside the jobs: `elocute --help` and a cached `fit` must start at once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from elocute import __version__, jobs
from elocute.console import Console, reporting, table
from elocute.errors import BadInput, EnvironmentProblem
from elocute.limits import POSES_FITS, PRECISIONS, USUAL_FRAMING, a_path, from_home, parse_fps, parse_frames
from elocute.settings import CurvesSettings, FitSettings, HeadSettings, Shot

app = typer.Typer(
    name="elocute",
    help="A portrait and a voice go in; a talking head comes out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # `reporting` turns every exception into a sentence
)


def _path(text: str) -> Path:
    """A path as typed. An empty one, such as a shell's unset variable, would be the current folder."""
    if not text.strip():
        raise typer.BadParameter("an empty path")
    try:
        return Path(from_home(text))  # a shell leaves --output=~/a.mp4 as it is
    except EnvironmentProblem as error:
        raise typer.BadParameter(error.message) from None


# Typer would refuse an unreadable file in a box of its own; whoever reads the file says it in a sentence with a code.
PathArgument = partial(typer.Argument, parser=_path)
PathOption = partial(typer.Option, parser=_path, metavar="PATH")
PortraitArgument = Annotated[str, typer.Argument(metavar="PORTRAIT", help="A photo, or seed:7 for a random identity.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
DeviceOption = Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="cuda:1 is a second card.")]
ModelSetOption = Annotated[str, typer.Option(metavar="SET", help="embedded or nerffacespeech.")]
MemoryOption = Annotated[int, typer.Option(help="Working memory of a chunk of rays, in MB.")]
PosesFitOption = Annotated[
    str, typer.Option(metavar="|".join(POSES_FITS), help="If lengths differ; loop goes back and forth.")
]
FpsOption = Annotated[str, typer.Option(metavar="RATE", help="Frames per second: 25, 23.976, 24000/1001.")]
SizeOption = Annotated[int, typer.Option(help="Width and height of the pictures in pixels.")]
FramingOption = Annotated[float, typer.Option(help="Side of the picture in face heights, 1.6 to 4.")]
SeedOption = Annotated[int, typer.Option(help="Of blinks, gaze and head motion: the same seed, the same frames.")]
ReferenceOption = Annotated[
    bool, typer.Option("--reference", help="nerffacespeech: do what the published programs do, errors included.")
]
StepsOption = Annotated[
    str | None, typer.Option("--fit-steps", metavar="N,M", help="nerffacespeech: steps of pivot and tuning.")
]
FitMemoryOption = Annotated[
    int | None, typer.Option("--fit-memory", help="nerffacespeech: MB that a tuning step may keep for its gradients.")
]
PrecisionOption = Annotated[
    str, typer.Option(metavar="|".join(PRECISIONS), help="nerffacespeech: of its larger blocks; auto: mixed on CUDA.")
]
CompileOption = Annotated[
    bool, typer.Option("--compile", help="nerffacespeech: have torch.compile write a shot's kernels, where it can.")
]
BlinkOption = Annotated[bool, typer.Option("--blink/--no-blink", help="Whether the eyes blink; keyed blinks stay.")]


def _check_paths(**named: Path | None) -> None:
    """Refuse as a job's settings do by themselves, a web address for one, what only the command line names."""
    for name, path in named.items():
        if path is not None:
            a_path(name, path)


def _never() -> bool:
    return False  # Ctrl-C arrives as KeyboardInterrupt; only the worker has to ask


@app.callback(invoke_without_command=True)
def elocute(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"elocute {__version__}")
        raise typer.Exit


@app.command()
def speak(
    portrait: PortraitArgument,
    voice: Annotated[Path | None, PathArgument(metavar="VOICE", help="Any sound or video file.")] = None,
    output: Annotated[Path | None, PathOption("-o", "--output", help="The video: .mp4, .mov or .mkv.")] = None,
    fps: FpsOption = "25",
    size: SizeOption = 512,
    poses: Annotated[Path | None, PathOption(help="Head poses, a JSON file.")] = None,
    curves: Annotated[Path | None, PathOption(help="Edited expression curves instead of the voice's own.")] = None,
    poses_from: Annotated[Path | None, PathOption(help="A video or a folder of frames whose head to follow.")] = None,
    drive: Annotated[Path | None, PathOption(help="A video whose head and face to follow; its sound stays.")] = None,
    poses_fit: PosesFitOption = "hold",
    poses_smooth: Annotated[float | None, typer.Option(help="Seconds that smooth a followed head; else 0.06.")] = None,
    poses_move: Annotated[float | None, typer.Option(help="Share of its way and size, 0 turns only; else 1.")] = None,
    drive_mouth: Annotated[float | None, typer.Option(help="Share of the video in the mouth, 0 to 1.")] = None,
    drive_eyes: Annotated[float, typer.Option(help="Share of the video in lids and gaze, 0 to 1.")] = 1.0,
    drive_brows: Annotated[float, typer.Option(help="Share of the video in brows, cheeks, nose, 0 to 1.")] = 1.0,
    framing: FramingOption = USUAL_FRAMING,
    background: Annotated[str, typer.Option(metavar="WHAT", help="keep, transparent or #rrggbb.")] = "keep",
    frames_dir: Annotated[Path | None, PathOption(help="Numbered PNG frames go here.")] = None,
    frames: Annotated[str | None, typer.Option(metavar="A-B", help="Only these frames, counted from 1.")] = None,
    expression_scale: Annotated[float, typer.Option(help="1 is as strong as it was said.")] = 1.0,
    blink: BlinkOption = True,
    still: Annotated[bool, typer.Option("--still", help="No head motion at all.")] = False,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    model_set: ModelSetOption = "embedded",
    memory: MemoryOption = 512,
    reference: ReferenceOption = False,
    fit_steps: StepsOption = None,
    fit_memory: FitMemoryOption = None,
    precision: PrecisionOption = "auto",
    compiled: CompileOption = False,
    sheet: Annotated[Path | None, PathOption(help="Also write a contact sheet of the video: .png or .jpg.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a portrait speak: PORTRAIT and VOICE in, a video (or numbered frames) out."""
    with reporting(as_json) as console:
        shot = Shot(
            portrait=portrait, voice=voice, curves=curves, poses=poses, fps=parse_fps(fps), size=size,
            poses_from=poses_from, drive=drive, poses_fit=poses_fit, poses_smooth=poses_smooth, poses_move=poses_move,
            drive_mouth=drive_mouth, drive_eyes=drive_eyes, drive_brows=drive_brows,
            background=background, expression_scale=expression_scale, blink=blink, still=still,
            frames=parse_frames(frames) if frames is not None else None, seed=seed, device=device, model_set=model_set,
            output=output, frames_dir=frames_dir, memory_mb=memory, reference=reference, fit_steps=_steps(fit_steps),
            fit_memory_mb=fit_memory, framing=framing, precision=precision, compile=compiled,
        )  # fmt: skip
        _speak(shot, console, sheet)


@app.command()
def render(
    shot: Annotated[Path, PathArgument(metavar="SHOT.json", help="A job as written by the Blender panel.")],
    sheet: Annotated[Path | None, PathOption(help="Also write a contact sheet of the video: .png or .jpg.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Render a shot described in a JSON file; its relative paths start at the file's folder."""
    with reporting(as_json) as console:
        _check_paths(shot=shot)
        _speak(Shot.read(shot), console, sheet)


def _speak(shot: Shot, console: Console, sheet: Path | None) -> None:
    _check_paths(sheet=sheet)
    if sheet is not None:
        from elocute.evaluate.sheet import check_sheet
        from elocute.files import check_not_input, through_link
        from elocute.finishing.frames import check_no_frame

        target = through_link(sheet)
        check_sheet(target)
        folders = (shot.poses_from, shot.drive)  # or videos, in which nothing lies
        check_not_input(target, shot.portrait, *shot.inputs, *(path / target.name for path in folders if path))
        check_no_frame(target, shot.frames_dir)
    result = jobs.speak(shot, console, _never)
    if sheet is not None:
        from elocute.evaluate.sheet import sheet_of_frames, sheet_of_video

        if shot.output is not None:
            sheet_of_video(shot.output, target)
        elif shot.frames_dir is not None:
            first = shot.frames[0] if shot.frames else 1
            sheet_of_frames(shot.frames_dir, range(first, first + result["frames"]), target)
    result["sheet"] = str(sheet) if sheet else None
    places = [str(place) for place in (result["output"], result["frames_dir"], sheet) if place]
    text = f"{', '.join(places)}: {_frames(result)} at {result['fps']} fps in {result['seconds']:.1f} s"
    reused = f" ({result['reused']} were there already)" if result["reused"] else ""
    console.result(result, text + reused)


@app.command()
def fit(
    portrait: PortraitArgument,
    device: DeviceOption = "auto",
    model_set: ModelSetOption = "embedded",
    memory: MemoryOption = 512,
    refit: Annotated[bool, typer.Option("--refit", help="Fit anew although a cached avatar exists.")] = False,
    reference: ReferenceOption = False,
    fit_steps: StepsOption = None,
    fit_memory: FitMemoryOption = None,
    size: SizeOption = 512,
    framing: FramingOption = USUAL_FRAMING,
    as_json: JsonOption = False,
) -> None:
    """Prepare a portrait once and keep it; prints how well it went."""
    with reporting(as_json) as console:
        steps = _steps(fit_steps)
        settings = FitSettings(portrait, device, model_set, memory, refit, reference, steps, fit_memory, size, framing)
        report = jobs.fit(settings, console, _never)
        console.result(report, table(report))


@app.command()
def head(
    portrait: PortraitArgument,
    output: Annotated[Path, PathOption("-o", "--output", help="The folder of head.json, head.bin, texture.png.")],
    device: DeviceOption = "auto",
    model_set: ModelSetOption = "embedded",
    memory: MemoryOption = 512,
    framing: FramingOption = USUAL_FRAMING,
    as_json: JsonOption = False,
) -> None:
    """Write the fitted head as a mesh with the portrait on it and 52 shape keys, to animate elsewhere."""
    with reporting(as_json) as console:
        result = jobs.head(HeadSettings(portrait, output, device, model_set, memory, framing), console, _never)
        text = f"{result['vertices']} vertices, {result['triangles']} triangles, {result['shape_keys']} shape keys"
        console.result(result, "\n".join([f"{result['output']}: {text}", *result["notes"]]))


@app.command()
def curves(
    voice: Annotated[Path, PathArgument(metavar="VOICE", help="Any sound or video file.")],
    output: Annotated[Path, PathOption("-o", "--output", help="The curves, a JSON file.")],
    fps: FpsOption = "25",
    blink: BlinkOption = True,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    model_set: ModelSetOption = "embedded",
    as_json: JsonOption = False,
) -> None:
    """Turn a voice into 52 named ARKit curves that can be edited and given to `speak --curves`."""
    with reporting(as_json) as console:
        settings = CurvesSettings(voice, output, parse_fps(fps), blink, seed, device, model_set)
        result = jobs.curves(settings, console, _never)
        console.result(result, f"{result['output']}: {_frames(result)} of {result['curves']} curves")


models_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.add_typer(models_app, name="models")


@models_app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    fetch: Annotated[bool, typer.Option("--fetch", help="Download what is missing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the model files: role, file, source, licence, SHA-256, and whether they are here."""
    if context.invoked_subcommand:
        if fetch:
            raise typer.BadParameter("--fetch gets the embedded models, import takes over official ones: run one")
        context.obj = as_json
        return
    with reporting(as_json) as console:
        result = jobs.models(fetch, console)
        text = "\n\n".join(table(row) for row in [*result["models"], *result["official"]])
        console.result(result, text)


@models_app.command("import")
def import_models(
    context: typer.Context,
    files: Annotated[list[Path], PathArgument(metavar="FILE", help="Official weights, as they were downloaded.")],
    as_json: JsonOption = False,
) -> None:
    """Take over official weights for the model set nerffacespeech; nothing in the files is run."""
    with reporting(as_json or bool(context.obj)) as console:
        for file in files:
            _check_paths(file=file)
        result = jobs.import_models(files, console)
        lines = [f"{row['role']}: from {', '.join(row['files'])}" for row in result["imported"]]
        missing = ", ".join(result["missing"])
        lines.append(f"still missing: {missing} (docs/weights.md)" if missing else "nerffacespeech has all it needs")
        console.result(result, "\n".join(lines))


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Say what works on this machine, what is missing, and how to get it. Exit code 3 when something is missing."""
    from elocute.doctor import tell

    tell(as_json)


@app.command()
def worker() -> None:
    """Serve jobs as JSON lines on stdin and stdout, for Blender and other programs."""
    from elocute.worker import serve

    raise typer.Exit(serve())


@app.command()
def evaluate(
    video: Annotated[Path, PathArgument(metavar="VIDEO", help="A finished talking-head video.")],
    portrait: Annotated[Path | None, PathOption(help="The photo it was made from.")] = None,
    voice: Annotated[Path | None, PathOption(help="The voice; the video's own sound when not given.")] = None,
    poses: Annotated[Path | None, PathOption(help="The head poses it should show, a JSON file.")] = None,
    labels: Annotated[Path | None, PathOption(help="Viseme labels of the voice, a JSON file.")] = None,
    json_file: Annotated[Path | None, PathOption("--json-file", help="Write the measurements here.")] = None,
    html: Annotated[Path | None, PathOption(help="Write a page with plots and a contact sheet.")] = None,
    sheet: Annotated[Path | None, PathOption(help="Write the contact sheet alone: .png or .jpg.")] = None,
    max_frames: Annotated[int, typer.Option(min=1, help="Measure at most this many frames.")] = 2000,
    as_json: JsonOption = False,
) -> None:
    """Measure a finished video: identity, sharpness, pose, lips against the voice, jitter, blinks."""
    with reporting(as_json) as console:
        _check_paths(
            video=video, portrait=portrait, voice=voice, poses=poses, labels=labels, json_file=json_file, html=html,
            sheet=sheet,
        )  # fmt: skip
        from elocute.evaluate import run

        job = run.Evaluation(video, portrait, voice, poses, labels, json_file, html, sheet, max_frames)
        result = run.evaluate(job, console)
        console.result(result, table(result, unknown=True))


def _frames(result: dict[str, Any]) -> str:
    return f"{result['frames']} frame{'' if result['frames'] == 1 else 's'}"


def _steps(text: str | None) -> tuple[int, int] | None:
    """"1000,2000" as two numbers. Raises BadInput("fit_steps")."""
    if text is None:
        return None
    try:
        pivot, tuning = (int(part) for part in text.split(","))
    except ValueError:
        raise BadInput("fit_steps", f"--fit-steps wants two numbers, such as 1000,2000, not {text!r}.") from None
    return pivot, tuning
