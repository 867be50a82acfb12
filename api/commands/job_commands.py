"""`genconvnet train`, `sample`, `reconstruct`, `inpaint` and `classify`: a job each, from pictures to files."""

import io
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from api.commands.following import rounded_range
from api.commands.models import find_model, warn_of_same_name
from api.commands.parameters import Priority, Seed, Set, TimeLimit, parameters, require_finite
from api.commands.presets import complete_preset
from api.commands.results import DEFAULT_OUT, Detach, Out, follow_to_end, write_results
from api.commands.session import Session, service_command
from api.commands.validation_messages import naming_options, naming_seam
from core.schemas.classification import MIN_MODELS
from core.schemas.jobs import JobKind
from core.schemas.materials import ROLES, Role
from core.schemas.sampling import DEFAULT_START_STRENGTH

if TYPE_CHECKING:
    from api.client import Blended, Dataset, Job, JobOptions

Pictures = Annotated[
    list[Path] | None,
    typer.Argument(exists=True, metavar="PICTURES...", help="Pictures, zips, or folders of pictures."),
]
DatasetId = Annotated[str | None, typer.Option("--dataset", metavar="ID", help="Uploaded pictures, instead.")]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Id or name of a model.")]
Maps = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="ROLE=FILE",
        help="A map of a material, instead of pictures; repeat it for each of its aligned maps. Roles: "
        f"{', '.join(ROLES)}.",
    ),
]
Steps = Annotated[int | None, typer.Option(help="Langevin steps for each picture.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for kind, function, example in (
        (JobKind.TRAIN, train, "genconvnet train brick.jpg --preset photo --out brick"),
        (JobKind.SAMPLE, sample, "genconvnet sample model_… --count 2 --width 1024 --height 512 --tileable"),
        (JobKind.RECONSTRUCT, reconstruct, "genconvnet reconstruct model_… face.png --mode attractor"),
        (JobKind.INPAINT, inpaint, "genconvnet inpaint model_… damaged.png --count 4"),
        (JobKind.CLASSIFY, classify, "genconvnet classify photo.png --model bricks --model grass"),
    ):
        service_command(app, kind.value, example=example, queues=(kind.queue,))(function)


def train(
    session: Session,
    pictures: Pictures = None,
    maps: Maps = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="A picture as large as the one that is learned, which is learned only where this is white.",
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option(autocompletion=complete_preset, help="Named parameters; `genconvnet presets list`.")
    ] = "quick",
    image_size: Annotated[int | None, typer.Option(help="Side in pixels at which pictures are learned.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Updates of the weights, for each layer added.")] = None,
    seed: Seed = None,
    assignments: Set = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model, and of the pictures if they are uploaded.")
    ] = None,
    dataset: DatasetId = None,
    priority: Priority = 0,
    time_limit: TimeLimit = None,
    out: Out = DEFAULT_OUT,
    detach: Detach = False,
) -> None:
    """Learn a model from pictures. Ctrl-C cancels it.

    The results are pictures that the model has drawn, its first filters, and how it learned. The model stays with the
    service: draw from it with `sample`, save it with `models export`.
    """
    params = parameters(assignments, image_size=image_size, iterations=iterations, seed=seed)
    options = _options(priority, time_limit)
    if mask is not None:
        _require_learning_of_parts(session, preset, params)
    warn_of_same_name(session, name)
    with _dataset(session, pictures, dataset, name, maps, mask) as given, naming_options(train):
        job = session.client.train(given, preset, options, name=name, **params)
    _say_expected_time(session, job)
    write_results(session, follow_to_end(session, job, detach), out)


def sample(
    session: Session,
    model: ModelName,
    count: Annotated[int | None, typer.Option(help="Number of pictures; 4 if absent.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels; the model's own size if absent.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels; the model's own size if absent.")] = None,
    tileable: Annotated[bool | None, typer.Option("--tileable", help="Continue at the opposite side.")] = None,
    start: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A picture, to draw variations of it.")
    ] = None,
    start_strength: Annotated[
        float | None,
        typer.Option(help=f"How far variations leave the picture; {DEFAULT_START_STRENGTH:g} if absent."),
    ] = None,
    end: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A picture, to pass to it from that of --start.")
    ] = None,
    guide: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A picture that says what is light and dark where.")
    ] = None,
    guide_strength: Annotated[
        float | None, typer.Option(help="How strongly the guide is followed; 0.05 if absent, 0 not at all.")
    ] = None,
    blend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL=MASK[:WEIGHT]",
            help="Draw another model where a mask, a picture, is white; or MODEL=WEIGHT, everywhere with this weight. "
            "May be repeated.",
        ),
    ] = None,
    steps: Steps = None,
    seed: Seed = None,
    assignments: Set = None,
    priority: Priority = 0,
    time_limit: TimeLimit = None,
    out: Out = DEFAULT_OUT,
    detach: Detach = False,
) -> None:
    """Draw new pictures from a model. Ctrl-C cancels it."""
    sizes = {"count": count, "width": width, "height": height, "tileable": tileable}
    strengths = {"start_strength": start_strength, "guide_strength": guide_strength}
    params = parameters(assignments, **sizes, **strengths, steps=steps, seed=seed)
    options, chosen = _options(priority, time_limit), find_model(session, model)
    others = [_blended(session, one) for one in blend or ()]
    with ExitStack() as uploads:

        def uploaded(path: Path | None) -> "Dataset | None":
            return None if path is None else uploads.enter_context(_dataset(session, [path], None))

        given = {"start": uploaded(start), "guide": uploaded(guide), "end": uploaded(end)}
        blended = [replace(one, mask=uploaded(mask)) for one, mask in others]
        with naming_options(sample):
            job = session.client.sample(chosen, options, blend=blended, **given, **params)
    write_results(session, follow_to_end(session, job, detach), out)


def reconstruct(
    session: Session,
    model: ModelName,
    pictures: Pictures = None,
    mode: Annotated[str | None, typer.Option(help="one_pass (if absent), or attractor.")] = None,
    steps: Annotated[int | None, typer.Option(help="Most steps to the attractor.")] = None,
    frames: Annotated[
        int | None, typer.Option(help="Pictures of each walk to the attractor to keep; none if absent.")
    ] = None,
    assignments: Set = None,
    dataset: DatasetId = None,
    priority: Priority = 0,
    time_limit: TimeLimit = None,
    out: Out = DEFAULT_OUT,
    detach: Detach = False,
) -> None:
    """Encode and decode pictures with a model, and measure the error of each. Ctrl-C cancels it."""
    params = parameters(assignments, mode=mode, steps=steps, frames=frames)
    options, chosen = _options(priority, time_limit), find_model(session, model)
    with _dataset(session, pictures, dataset) as given, naming_options(reconstruct):
        job = session.client.reconstruct(chosen, given, options, **params)
    write_results(session, follow_to_end(session, job, detach), out)


def inpaint(
    session: Session,
    model: ModelName,
    pictures: Pictures = None,
    count: Annotated[int | None, typer.Option(help="Versions of each picture; 1 if absent.")] = None,
    seam: Annotated[
        bool | None, typer.Option("--seam", help="Make opaque pictures tileable: paint a band along their edges.")
    ] = None,
    steps: Steps = None,
    seed: Seed = None,
    assignments: Set = None,
    dataset: DatasetId = None,
    priority: Priority = 0,
    time_limit: TimeLimit = None,
    out: Out = DEFAULT_OUT,
    detach: Detach = False,
) -> None:
    """Paint the transparent parts of pictures (alpha below 128), or with --seam their edges. Ctrl-C cancels it."""
    params = parameters(assignments, count=count, seam=seam, steps=steps, seed=seed)
    options, chosen = _options(priority, time_limit), find_model(session, model)
    with _dataset(session, pictures, dataset) as given, naming_seam(params), naming_options(inpaint):
        job = session.client.inpaint(chosen, given, options, **params)
    write_results(session, follow_to_end(session, job, detach), out)


def classify(
    session: Session,
    pictures: Pictures = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Id or name of a model; repeat it for each category.")
    ] = None,
    refine: Annotated[
        bool | None, typer.Option("--refine", help="Improve the estimates of log Z that are kept with the models.")
    ] = None,
    seed: Seed = None,
    assignments: Set = None,
    dataset: DatasetId = None,
    priority: Priority = 0,
    time_limit: TimeLimit = None,
    out: Out = DEFAULT_OUT,
    detach: Detach = False,
) -> None:
    """Decide which of several models each picture most likely comes from. Ctrl-C cancels it."""
    if len(models or ()) < MIN_MODELS:
        raise typer.BadParameter("name two models or more: repeat --model for each", param_hint="--model")
    params = parameters(assignments, refine=refine, seed=seed)
    options, chosen = _options(priority, time_limit), [find_model(session, one) for one in models or ()]
    with _dataset(session, pictures, dataset) as given, naming_options(classify):
        job = session.client.classify(chosen, given, options, **params)
    write_results(session, follow_to_end(session, job, detach), out)


@contextmanager
def _dataset(
    session: Session,
    pictures: list[Path] | None,
    dataset_id: str | None,
    name: str | None = None,
    maps: list[str] | None = None,
    mask: Path | None = None,
) -> Iterator["Dataset"]:
    """Yield the dataset with this id, or upload the pictures or maps as one, which is deleted if the job is refused."""
    from api.client import Conflict, Invalid, LimitReached, NotFound

    if sum(map(bool, (pictures, dataset_id, maps))) != 1:
        raise typer.BadParameter("give either pictures, or --dataset, or for train --map", param_hint="PICTURES")
    if mask is not None and not pictures:
        given = "--map" if maps else "--dataset"
        raise typer.BadParameter(
            f"goes with one picture, of which it says what is learned; not with {given}", param_hint="--mask"
        )
    if dataset_id:
        yield session.client.datasets.show(dataset_id)
        return
    try:
        chosen = _masked(pictures, mask) if mask and pictures else _material(maps) if maps else pictures or []
        dataset = session.client.upload(chosen, name=name)
    except ValueError as error:  # an empty folder
        raise typer.BadParameter(str(error), param_hint="PICTURES") from error
    for skipped in dataset.skipped:
        session.say(f"skipped {skipped.file}: {skipped.reason}")
    for image in dataset.images:
        for note in image.notes:
            session.say(f"{image.filename}: {note}")
    try:
        yield dataset
    except (Invalid, NotFound, Conflict, LimitReached):
        session.client.datasets.delete(dataset)
        raise


def _say_expected_time(session: Session, job: "Job") -> None:
    """Say about how long a training job will take, as the studio does, if it is known."""
    from pydantic import ValidationError

    from api.client import ClientError
    from core.recipe.expected_time import learning_range
    from core.schemas.learning import LearningParams

    if session.as_json:
        return
    try:
        preset = next((one for one in session.client.presets.list() if one.name == job.preset), None)
    except ClientError:  # the job is accepted, and is followed all the same
        return
    if preset is None:
        return
    try:
        params = LearningParams.model_validate(job.params)
    except ValidationError:  # of a service of another version
        return
    if found := learning_range(preset.name, params, preset.expected_seconds):
        depending = "" if preset.expected_seconds else ", depending on the machine"
        session.say(f"learning takes about {rounded_range(*found)}{depending}")


def _require_learning_of_parts(session: Session, name: str, params: Mapping[str, Any]) -> None:
    """Check that what is transparent is left out of learning. Raises typer.BadParameter.

    An unknown preset and invalid parameters are left to the service, which says what is wrong with them.
    """
    from core.schemas.learning import LearningParams

    preset = next((one.params for one in session.client.presets.list() if one.name == name), {})
    if preset and not LearningParams.model_construct(**{**preset, **params}).learns_parts:
        raise typer.BadParameter(
            "models of objects (top object) and contrastive learning see pictures whole: they would learn what the "
            f"mask leaves out as white (preset {name})",
            param_hint="--mask",
        )


def _masked(pictures: list[Path], mask: Path) -> IO[bytes]:
    """Return the only picture as a PNG, transparent where the mask is black. Raises typer.BadParameter."""
    from PIL import Image, UnidentifiedImageError

    from core.pictures.masks import with_mask

    def opened(path: Path) -> Image.Image:
        try:
            return Image.open(path if path.is_file() else io.BytesIO(path.read_bytes()))  # Pillow reads no pipes
        except UnidentifiedImageError as error:
            raise typer.BadParameter(f"{path} is no picture that can be read here", param_hint="--mask") from error

    if len(pictures) != 1 or pictures[0].is_dir():
        raise typer.BadParameter("goes with one picture, a file", param_hint="--mask")
    content = io.BytesIO()
    try:
        with opened(pictures[0]) as picture, opened(mask) as black_and_white:
            with_mask(picture, black_and_white).save(content, "PNG")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise typer.BadParameter(f"{pictures[0]} with {mask}: {error}", param_hint="--mask") from error
    content.name = pictures[0].with_suffix(".png").name
    content.seek(0)
    return content


def _material(assignments: list[str]) -> "dict[Role, Path]":
    """Return the file of each map. Raises typer.BadParameter."""
    files: dict[Role, Path] = {}
    for assignment in assignments:
        text, equals, name = assignment.partition("=")
        role = next((one for one in ROLES if one == text), None)
        if role is None or not equals:
            raise typer.BadParameter(
                f"{assignment!r} is not ROLE=FILE, with a role of {', '.join(ROLES)}", param_hint="--map"
            )
        if role in files:
            raise typer.BadParameter(f"{role} is given twice: a material has one map of each role", param_hint="--map")
        if not _is_readable(Path(name)):
            raise typer.BadParameter(f"{name!r} is no file", param_hint="--map")
        files[role] = Path(name)
    return files


def _blended(session: Session, text: str) -> "tuple[Blended, Path | None]":
    """Return what `--blend` asks for, and its mask. Raises typer.BadParameter, or NotFound for the model."""
    from api.client import Blended

    name, equals, rest = text.partition("=")
    mask, _, number = rest.rpartition(":")
    weight = _number(number)
    path = rest if weight is None else mask
    if not equals or not name or not rest:
        raise typer.BadParameter(f"{text!r} is not MODEL=MASK[:WEIGHT], nor MODEL=WEIGHT", param_hint="--blend")
    if path and not _is_readable(Path(path)):
        said = "is no file" if Path(path).exists() else "does not exist"
        message = f"the mask {path!r} of {text!r} {said} (MODEL=MASK[:WEIGHT] or MODEL=WEIGHT)"
        raise typer.BadParameter(message, param_hint="--blend")
    return Blended(find_model(session, name), weight=weight), Path(path) if path else None


def _is_readable(path: Path) -> bool:
    """Return True for a file or a pipe."""
    return path.exists() and not path.is_dir()


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _options(priority: int, time_limit: float | None) -> "JobOptions":
    from api.client import JobOptions

    require_finite(time_limit, "--time-limit")
    return JobOptions(priority, time_limit)
