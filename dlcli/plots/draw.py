"""Drawing of the pictures of a run into files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlcli.config.suggest import closest
from dlcli.errors import DataError, UsageError
from dlcli.experiment import Experiment
from dlcli.plots.gallery import Picture, cheap_names, pictures
from dlcli.plots.names import PICTURES
from dlcli.plots.style import DPI, Format
from dlcli.runs.files import write_atomic
from dlcli.runs.find import find_run
from dlcli.runs.folder import RunFolder, runs_root
from dlcli.runs.run import Run, RunLike, open_run
from dlcli.runs.trained_run import CheckpointName, SplitName, TrainedRun, load_trained_run


@dataclass(frozen=True)
class DrawResult:
    """Files of the drawn pictures; `dlcli plot --json` prints them with `asdict`.

    Attributes:
        run: Run folder.
        files: Files by picture name, one per format.
    """

    run: str
    files: dict[str, list[str]]


def draw(
    run: RunLike | None = None,
    names: Sequence[str] = (),
    *,
    formats: Sequence[Format] = ("png",),
    folder: Path | None = None,
    dpi: int = DPI,
    split: SplitName = "test",
    checkpoint: CheckpointName = "best",
    device: str = "auto",
    data_root: str | None = None,
) -> DrawResult:
    """Draw pictures of a run and save them as files.

    Args:
        run: Run folder or name; None selects the newest run. The name of a picture is treated as part of `names`,
            unless a run has that name.
        names: Names of the pictures; empty draws all that apply to the run.
        formats: File formats, `png` or `svg`.
        folder: Output folder; None uses `plots` in the run folder. In a folder outside the run, the file names begin
            with the name of the run, so that the pictures of several runs can share it.
        dpi: Resolution of PNG files, and of the pixels in SVG files, in dots per inch.
        split: Split that the pictures show.
        checkpoint: Checkpoint to load the model from.
        device: Device to compute on.
        data_root: Folder with the data set, if it has moved since training.

    Raises:
        UsageError: If the run or a picture does not exist.
        DataError: If the run, its checkpoint or its data cannot be used, or the folder is not writable.
    """
    run, names = _read_names(run, names)
    trained = load_trained_run(run, split, checkpoint, device=device, data_root=data_root)
    selected = _select(trained, names)
    target = _make_folder(run.folder, folder)
    return DrawResult(run.path, _write(selected, formats, target, dpi=dpi, prefix=_prefix(run.folder.path, target)))


def list_pictures(
    run: RunLike | None = None,
    *,
    split: SplitName = "test",
    checkpoint: CheckpointName = "best",
    device: str = "auto",
    data_root: str | None = None,
) -> dict[str, str]:
    """Return the titles of the pictures that apply to a run, by name. Arguments and errors are those of `draw`."""
    trained = load_trained_run(open_run(run), split, checkpoint, device=device, data_root=data_root)
    return {picture.name: picture.title for picture in pictures(trained)}


def draw_after_training(run: Run, experiment: Experiment, note: Callable[[str], None]) -> None:
    """Draw the cheap pictures of a finished run; errors are reported and never raised.

    The pictures show the monitored split, because training never uses the test split.

    Args:
        run: The run.
        experiment: Data and model of the run; the model is overwritten with the best checkpoint.
        note: Called with a one-line message about the result.
    """
    try:
        name = experiment.splits.monitored_name
        trained = load_trained_run(run, name, experiment=experiment)
        target = _make_folder(run.folder, None)
        files = _write(pictures(trained, cheap_names()), ("png",), target)
        note(f"saved {len(files)} pictures of the {'validation' if name == 'val' else 'training'} split in {target}")
    except Exception as error:  # a failed picture must not fail the run
        note(f"could not draw pictures: {error}; try again with `dlcli plot {run.path}`")


def _read_names(run: RunLike | None, names: Sequence[str]) -> tuple[Run, list[str]]:
    """Return the selected run and the names of the pictures."""
    picture_names = list(dict.fromkeys(names))
    if isinstance(run, str) and run in PICTURES and not _is_run(run):
        picture_names.insert(0, run)
        run = None
    for name in picture_names:
        if name not in PICTURES:
            guess = closest(name, PICTURES)
            hint = f"did you mean `{guess}`? " if guess else ""
            raise UsageError(f"unknown picture {name!r}", hint=f"{hint}available: {', '.join(PICTURES)}")
    return open_run(run), picture_names


def _is_run(run: str) -> bool:
    try:
        find_run(run)
    except UsageError:
        return False
    return True


def _select(trained: TrainedRun, names: Sequence[str]) -> list[Picture]:
    selected = pictures(trained, names or PICTURES)
    missing = [name for name in names if name not in {picture.name for picture in selected}]
    if missing:
        hint = f"available: {', '.join(picture.name for picture in pictures(trained))}"
        raise UsageError(f"picture {missing[0]} does not apply to {trained.title}", hint=hint)
    return selected


def _make_folder(run: RunFolder, folder: Path | None) -> Path:
    """Create the output folder and return it.

    Raises:
        DataError: If the folder cannot be created, or `plots` in the run folder is a symbolic link.
    """
    path = folder or run.path / "plots"
    if folder is None and path.is_symlink():
        raise DataError(
            f"{path} is a symbolic link; pictures of a run must stay in its folder", hint="choose a folder with -o DIR"
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot create {path}: {error.strerror or error}", hint="choose another folder with -o DIR"
        ) from error
    return path


def _prefix(run: Path, folder: Path) -> str:
    """Return the start of the file names: the path of the run as one word, or nothing in a folder inside the run.

    The path is relative to the runs folder or the working folder. For a run in neither, it is the last two folders.
    """
    run, folder = run.resolve(), folder.resolve()
    if folder.is_relative_to(run):
        return ""
    bases = [base.resolve() for base in (runs_root(), Path()) if run.is_relative_to(base.resolve())]
    parts = run.relative_to(bases[0]).parts if bases else run.parts[-2:]
    return "-".join([*(part.strip(os.sep) for part in parts), ""])


def _write(
    selected: Sequence[Picture], formats: Sequence[Format], folder: Path, *, dpi: int = DPI, prefix: str = ""
) -> dict[str, list[str]]:
    """Draw pictures into a folder and return the files by picture name.

    Raises:
        DataError: If a file cannot be written.
    """
    files: dict[str, list[str]] = {}
    for picture in selected:
        for format_ in dict.fromkeys(formats):
            path = folder / f"{prefix}{picture.name}.{format_}"
            try:
                write_atomic(path, picture.render(format_, dpi))
            except DataError as error:
                raise DataError(
                    error.message, hint="free some disk space, or choose another folder with -o DIR"
                ) from error
            files.setdefault(picture.name, []).append(str(path))
    return files
