"""Pictures of a run, as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlcli.config.suggest import closest
from dlcli.errors import DataError, UsageError
from dlcli.experiment import Setup
from dlcli.plots.gallery import NAMES, Picture, cheap_names, pictures
from dlcli.plots.style import Format
from dlcli.runs.files import write_whole
from dlcli.runs.folder import RunFolder, find_run
from dlcli.runs.run import Run, open_run
from dlcli.runs.trained_run import CheckpointName, SplitName, TrainedRun, load_trained_run


@dataclass(frozen=True)
class DrawResult:
    """What was drawn; `asdict` of it is what `dlcli plot --json` prints.

    Attributes:
        run: The run's folder.
        files: By picture, one for each format.
    """

    run: str
    files: dict[str, list[str]]


def draw(
    run: str | Run | None = None,
    names: Sequence[str] = (),
    *,
    formats: Sequence[Format] = ("png",),
    folder: Path | None = None,
    split: SplitName = "test",
    checkpoint: CheckpointName = "best",
    device: str = "auto",
    data_root: str | None = None,
) -> DrawResult:
    """Draw pictures of a run into files.

    Args:
        run: A run's folder or name; None is the newest. A picture's name that is no run's counts among `names`.
        names: Which pictures; none are all that make sense for the run.
        formats: Kinds of files.
        folder: Where to; None is the run's own `plots`.
        split: Which examples.
        checkpoint: Which parameters.
        device: Where to compute.
        data_root: Where the data lies, if not where it lay for training.

    Raises:
        UsageError: If there is no such run or picture.
        DataError: If the run, its checkpoint or its data cannot be used, or the folder not be written to.
    """
    run, names = _read_names(run, names)
    trained = load_trained_run(run, split, checkpoint, device=device, data_root=data_root)
    chosen = _choose(trained, names)
    return DrawResult(run.path, _write(chosen, formats, _make_folder(run.folder, folder)))


def list_pictures(
    run: str | Run | None = None,
    *,
    split: SplitName = "test",
    checkpoint: CheckpointName = "best",
    device: str = "auto",
    data_root: str | None = None,
) -> dict[str, str]:
    """Return the titles of the pictures that make sense for a run, by name; arguments and errors as for `draw`."""
    trained = load_trained_run(open_run(run), split, checkpoint, device=device, data_root=data_root)
    return {picture.name: picture.title for picture in pictures(trained)}


def draw_after_training(run: Run, setup: Setup, note: Callable[[str], None]) -> None:
    """Draw the cheap pictures of a run that has ended; nothing in here fails.

    They are of val: training never touches test.

    Args:
        run: The run.
        setup: Its data and model; the model gets the parameters of the best checkpoint.
        note: Told in a line what came of it.
    """
    try:
        trained = load_trained_run(run, "val", setup=setup)
        where = _make_folder(run.folder, None)
        files = _write(pictures(trained, cheap_names()), ("png",), where)
        note(f"{len(files)} pictures of val drawn in {where}")
    except Exception as error:  # the run is good whatever happens to its pictures
        note(f"no pictures were drawn: {error}; `dlcli plot {run.path}` tries again")


def _read_names(run: str | Run | None, names: Sequence[str]) -> tuple[Run, list[str]]:
    """Return the run that is meant, and the names of pictures."""
    found = list(dict.fromkeys(names))
    if isinstance(run, str) and run in NAMES and not _is_run(run):
        found.insert(0, run)
        run = None
    for name in found:
        if name not in NAMES:
            guess = closest(name, NAMES)
            hint = f"did you mean `{guess}`? " if guess else ""
            raise UsageError(f"there is no picture {name!r}", hint=f"{hint}There are {', '.join(NAMES)}")
    return open_run(run), found


def _is_run(run: str) -> bool:
    try:
        find_run(run)
    except UsageError:
        return False
    return True


def _choose(trained: TrainedRun, names: Sequence[str]) -> list[Picture]:
    chosen = pictures(trained, names or NAMES)
    missing = [name for name in names if name not in {picture.name for picture in chosen}]
    if missing:
        hint = f"it has {', '.join(picture.name for picture in pictures(trained))}"
        raise UsageError(f"{missing[0]} makes no sense for {trained.title}", hint=hint)
    return chosen


def _make_folder(run: RunFolder, folder: Path | None) -> Path:
    """Return the folder to draw into, which is there.

    Raises:
        DataError: If it cannot be made, or a run's own folder for pictures leads out of it.
    """
    path = folder or run.path / "plots"
    if folder is None and path.is_symlink():
        raise DataError(f"{path} is a link; a run's pictures lie in its own folder", hint="name a folder with -o")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make {path}: {error.strerror or error}", hint="name another folder with -o") from error
    return path


def _write(chosen: Sequence[Picture], formats: Sequence[Format], folder: Path) -> dict[str, list[str]]:
    """Draw pictures into a folder; return the files by picture.

    Raises:
        DataError: If a file cannot be written.
    """
    files: dict[str, list[str]] = {}
    for picture in chosen:
        for format_ in dict.fromkeys(formats):
            path = folder / f"{picture.name}.{format_}"
            try:
                write_whole(path, picture.render(format_))
            except DataError as error:
                raise DataError(error.message, hint="make room, or name another folder with -o") from error
            files.setdefault(picture.name, []).append(str(path))
    return files
