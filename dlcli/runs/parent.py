"""Parents of runs: trained models that training starts from, kept as a copy in the run folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dlcli.config.load import LoadedConfig
from dlcli.config.schema import Config, InitFromRun
from dlcli.config.tree import KeyPath, Place
from dlcli.data.preprocessing import Preprocessing
from dlcli.errors import ConfigError, DataError, UsageError
from dlcli.experiment import Parent
from dlcli.runs.checkpoint import Checkpoint, load_checkpoint
from dlcli.runs.files import read_file, write_atomic
from dlcli.runs.find import find_run
from dlcli.runs.folder import RunFolder, name_run
from dlcli.runs.run import Run
from dlcli.runs.run_checkpoint import find_run_checkpoint

FOUND = Place("found in the run")  # origin of the setting `model.init.sha256`
_RUN: KeyPath = ("model", "init", "run")
_RESTORE = "restore the file, or train again"


@dataclass(frozen=True)
class ParentFile:
    """Checkpoint of another run that training starts from.

    Attributes:
        path: Checkpoint file in that run.
        sha256: SHA-256 recorded in the file.
        parent: Parameters and preprocessing of the checkpoint.
    """

    path: Path
    sha256: str
    parent: Parent


def find_parent(loaded: LoadedConfig) -> tuple[LoadedConfig, ParentFile | None]:
    """Find the checkpoint of the run that `model.init` names.

    Returns:
        The config with the folder of the run and the SHA-256 of its checkpoint, and the checkpoint. If `model.init`
        names no run, the unchanged config and None.

    Raises:
        ConfigError: If there is no such run; the error names the place of the setting.
        DataError: If the checkpoint is missing or damaged, or its SHA-256 differs from `model.init.sha256`.
    """
    init = loaded.config.model.init
    if not isinstance(init, InitFromRun):
        return loaded, None
    assert init.run is not None
    try:
        run = Run(find_run(init.run))
    except (UsageError, DataError) as error:
        place = loaded.places[_RUN] if _RUN in loaded.places else loaded.places[_RUN[:2]]
        raise ConfigError(place.file, [place.problem("model.init.run", error.message, error.hint)]) from error
    path, checkpoint = find_run_checkpoint(run.folder, init.checkpoint, lambda: run.config)
    if init.sha256 not in (None, checkpoint.sha256):
        message = f"{path} is not the checkpoint of model.init.sha256: it has the SHA-256 {checkpoint.sha256}"
        raise DataError(message, hint="restore the file, or start from it as it is with `model.init.sha256=null`")
    folder = run.folder.path.resolve()
    config = loaded.config.with_parent(str(folder), checkpoint.sha256)
    places = {**loaded.places, ("model", "init", "sha256"): FOUND}
    found = ParentFile(path, checkpoint.sha256, _parent(config, checkpoint))
    return replace(loaded, config=config, places=places), found


def copy_parent(folder: RunFolder, found: ParentFile) -> None:
    """Copy the checkpoint of the parent into a new run folder.

    Raises:
        DataError: If the file cannot be copied, or has changed since it was found.
    """
    copy = folder.checkpoint("parent")
    write_atomic(copy, read_file(found.path))
    if load_checkpoint(copy).sha256 != found.sha256:
        raise DataError(f"{found.path} has changed in this moment", hint="wait until its run has ended, and try again")


def load_parent(folder: RunFolder, config: Config) -> Parent | None:
    """Load the copy of the parent of a run; None if the run has no parent.

    Raises:
        DataError: If the copy is missing, damaged or not the checkpoint that the run started from.
    """
    init = config.model.init
    if not isinstance(init, InitFromRun):
        return None
    path = folder.checkpoint("parent")
    try:
        checkpoint = load_checkpoint(path)
    except DataError as error:
        raise type(error)(error.message, hint=_RESTORE) from error  # the original hint suggests another checkpoint
    if checkpoint.sha256 != init.sha256:
        message = f"{path} is not the checkpoint that the run started from: its SHA-256 differs from the recorded one"
        raise DataError(message, hint=_RESTORE)
    return _parent(config, checkpoint)


def _parent(config: Config, checkpoint: Checkpoint) -> Parent:
    init = config.model.init
    assert isinstance(init, InitFromRun)
    name = name_run(str(init.run), Path(str(init.run)).parent.name)
    preprocessing = Preprocessing(name, checkpoint.info, checkpoint.input_scaling, checkpoint.target_scaling)
    return Parent(checkpoint.parameters, preprocessing)
