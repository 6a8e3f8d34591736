"""Studies of sweeps: in a journal in the sweep's folder, or in a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dlcli.errors import DataError, UsageError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from sqlalchemy import Engine

    from dlcli.sweeps.claims import Claims

JOURNAL = "journal.log"


@contextmanager
def open_study(
    folder: Path,
    url: str | None = None,
    *,
    name: str,
    direction: Literal["minimize", "maximize"],
    workers: int = 1,
    begun: int = 0,
    sampler: BaseSampler | None = None,
    pruner: BasePruner | None = None,
) -> Iterator[Study]:
    """Open the study of a sweep until the end of the context, and create it if it does not exist.

    Each process must open the study itself; a forked process must not use the study of its parent.

    Args:
        folder: Existing folder of the sweep, which holds the journal.
        url: Address of a database to use in place of the journal.
        name: Name of the study, unique in its database.
        direction: Whether lower or higher values are better.
        workers: Number of processes that use the study.
        begun: Number of trials that have begun; a study with fewer trials is damaged.
        sampler: Sampler of the study; None uses Optuna's default.
        pruner: Pruner of the study; None uses Optuna's default.

    Raises:
        UsageError: If a package is not installed, or the URL cannot be used; see `parse_url`.
        DataError: If the journal is damaged or cannot be written, or the database cannot be used.
    """
    require_optuna()
    from optuna import create_study

    with quiet_optuna():
        storage = _open_storage(folder, url, workers)
        _check_complete(storage, name, begun, folder if url is None else None)
        study = create_study(
            storage=storage, study_name=name, direction=direction, sampler=sampler, pruner=pruner, load_if_exists=True
        )
    with _closed_at_end(study):
        yield study


def _check_complete(storage: BaseStorage, name: str, begun: int, folder: Path | None) -> None:
    """Check that a study has all trials that have begun; `folder` holds its journal, and is None for a database.

    Raises:
        DataError: If the study has fewer trials.
    """
    if not begun:
        return
    studies = {study.study_name: study._study_id for study in storage.get_all_studies()}
    found = storage.get_n_trials(studies[name]) if name in studies else 0
    if found < begun:
        place = "the database" if folder is None else folder / JOURNAL
        message = f"{place} is damaged: it has {found:,} trials of the sweep, and {begun:,} have begun"
        raise DataError(message, hint="restore it, or begin another sweep with --new")


@contextmanager
def read_study(
    folder: Path,
    url: str | None = None,
    *,
    name: str,
    direction: Literal["minimize", "maximize"],
    begun: int = 0,
) -> Iterator[Study]:
    """Open the study of a sweep for reading, without writing a file; the study is empty if it does not exist.

    See `open_study`.
    """
    require_optuna()
    from optuna import create_study, load_study

    with quiet_optuna():
        storage = _open_storage(folder, url, workers=1)
        _check_complete(storage, name, begun, folder if url is None else None)
        try:
            study = load_study(storage=storage, study_name=name)
        except KeyError:
            study = create_study(direction=direction)  # in memory
    with _closed_at_end(study):
        yield study


@contextmanager
def _closed_at_end(study: Study) -> Iterator[None]:
    """Close the connections of a study at the end of the context."""
    try:
        yield
    finally:
        if engine := engine_of(study):
            engine.dispose()


def open_claims(study: Study, folder: Path) -> Claims:
    """Return the claims of one worker on the trials of a study.

    Args:
        study: Study from `open_study`.
        folder: Existing folder for the locks of trials.
    """
    from dlcli.sweeps.folder_claims import FolderClaims

    engine = engine_of(study)
    if engine is None or engine.dialect.name == "sqlite":  # SQLite has one worker only
        return FolderClaims(folder)
    from dlcli.sweeps.heartbeat import DatabaseClaims

    return DatabaseClaims(engine, study._study_id, folder)


def require_optuna() -> None:
    """Check that Optuna is installed.

    Raises:
        UsageError: If Optuna is not installed.
    """
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError as error:
        message = f"sweeps need the package {error.name}"
        raise UsageError(message, hint="pip install 'dlcli[sweep]'") from error


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Suppress all messages of Optuna except errors."""
    from optuna import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _open_storage(folder: Path, url: str | None, workers: int) -> BaseStorage:
    if url is not None:
        return _open_database(url, workers)
    from dlcli.sweeps.journal import Journal, JournalFile

    return Journal(JournalFile(folder / JOURNAL))


def _open_database(address: str, workers: int) -> BaseStorage:
    from optuna.exceptions import StorageInternalError
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    from dlcli.sweeps.database import database_error, engine_options, one_creator, parse_url, report_errors

    url = parse_url(address, workers=workers)
    with one_creator(url):
        template = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
        try:
            storage = RDBStorage(template, engine_kwargs=engine_options(url))
        except (SQLAlchemyError, StorageInternalError) as error:
            raise database_error(url, error) from None
        except RuntimeError as error:  # another version of Optuna made the tables
            raise DataError(f"cannot use the database {url.database!r}: {error}", hint="use a new database") from None
    storage.engine.dispose()  # so that all connections are made with the settings of `report_errors`
    report_errors(storage.engine)
    return storage


def engine_of(study: Study) -> Engine | None:
    """Return the engine of a study in a database; None for a journal."""
    return getattr(getattr(study._storage, "_backend", None), "engine", None)
