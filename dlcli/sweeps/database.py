"""Connections to databases that hold studies: addresses without their passwords, drivers, and errors."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dlcli.errors import DataError, UsageError
from dlcli.text import hide_password

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine, TextClause
    from sqlalchemy.engine import ExceptionContext

CONNECT_SECONDS = 10
IDLE_SECONDS = 60  # after which a suspended or dead machine loses its locks in the database
_PROBES = 4  # number of unanswered probes after which the database closes a connection
_CREATION_LOCK = 0x646C636C69  # "dlcli" in ASCII
_STUDY_LOCKS = 0x646C636C  # first of two numbers: PostgreSQL separates these locks from locks with one number
_EXAMPLES = "postgresql://USER@HOST:5432/DATABASE or mysql://USER@HOST:3306/DATABASE"
_DRIVERS = {  # (module, name in SQLAlchemy), best first
    "postgresql": [("psycopg", "psycopg"), ("psycopg2", "psycopg2")],
    "mysql": [("MySQLdb", "mysqldb"), ("pymysql", "pymysql")],
    "sqlite": [("sqlite3", "pysqlite")],
}
_INSTALL = {"postgresql": "pip install 'dlcli[postgres]'", "mysql": "pip install mysqlclient"}
_CONFLICT = re.compile("deadlock|lock wait", re.IGNORECASE)


def parse_url(url: str, *, workers: int) -> URL:
    """Return the address of a database, with the driver that is installed for it.

    Args:
        url: Address, such as `postgresql://USER@HOST/DATABASE`.
        workers: Number of processes that use the database.

    Raises:
        UsageError: If it is not an address of a supported database, its driver is not installed, or it is SQLite and
            there are several workers.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    shown = hide_password(url)
    if url.split("?")[0].count("@") > 1:
        raise UsageError(f"{shown} has more than one @", hint="write an @ in a password as %40")
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise UsageError(f"{shown or 'an empty text'} is not the URL of a database", hint=f"use {_EXAMPLES}") from None
    backend, _, driver = parsed.drivername.partition("+")
    if backend not in _DRIVERS:
        message = f"{shown} is not the URL of a supported database: it begins with {backend!r}"
        raise UsageError(message, hint=f"use {_EXAMPLES}, or sqlite:///FILE for one worker")
    if backend == "sqlite" and workers > 1:
        message = f"SQLite ({shown}) is too slow for {workers} workers: they would wait for each other"
        raise UsageError(message, hint="leave the storage out: the default, a file in the sweep's folder, is fast")
    return parsed if driver else parsed.set(drivername=f"{backend}+{_find_driver(backend)}")


def _find_driver(backend: str) -> str:
    for module, driver in _DRIVERS[backend]:
        if importlib.util.find_spec(module):
            return driver
    modules = " or ".join(module for module, _ in _DRIVERS[backend])
    raise UsageError(f"{backend} needs the package {modules}", hint=_INSTALL[backend])


def engine_options(url: URL) -> dict[str, Any]:
    """Return SQLAlchemy options that limit the time to connect and replace lost connections; none for SQLite."""
    if url.get_backend_name() == "sqlite":
        return {}
    seconds = url.query.get("connect_timeout", CONNECT_SECONDS)
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": int(str(seconds))}}


def report_errors(engine: Engine) -> None:
    """Make an engine raise DataError if the database cannot be reached or written to.

    Conflicts of two workers stay as they are, because Optuna handles them.
    """
    from sqlalchemy import event, exc

    def convert(context: ExceptionContext) -> None:
        error = context.original_exception
        kind = context.sqlalchemy_exception  # None if the error is not from the database, such as a signal
        is_conflict = isinstance(kind, exc.IntegrityError) or _CONFLICT.search(str(error))
        if isinstance(kind, exc.DBAPIError) and not is_conflict and not context.is_pre_ping:
            raise database_error(engine.url, error) from None

    def limit_idle_times(connection: Any, _: object) -> None:
        before, connection.autocommit = connection.autocommit, True
        connection.cursor().execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
        for name, value in {
            "idle": IDLE_SECONDS // 2,
            "interval": IDLE_SECONDS // 2 // _PROBES,
            "count": _PROBES,
        }.items():
            connection.cursor().execute(f"SET tcp_keepalives_{name} = {value}")  # lets the server detect a dead machine
        connection.autocommit = before

    event.listen(engine, "handle_error", convert)
    if engine.dialect.name == "postgresql":
        event.listen(engine, "connect", limit_idle_times)


def database_error(url: URL, error: BaseException) -> DataError:
    """Return an error with the place and the reason of a failed access, without the password."""
    place = f"{url.host or 'localhost'}{f':{url.port}' if url.port else ''}"
    if url.get_backend_name() == "sqlite":
        place = str(url.database)
    reason = str(error).strip().split("\n")[0]
    if url.password:
        reason = reason.replace(str(url.password), "***")
    message = f"cannot use the {url.get_backend_name()} database {url.database!r} at {place}: {reason}"
    return DataError(message, hint="check that the server runs, and the host, port, user and database in the URL")


def take_lock(connection: Connection, number: int) -> bool:
    """Take a lock with a number until the connection ends; return False if another connection holds it."""
    return bool(connection.execute(_lock_call(connection, "pg_try_advisory_lock", "GET_LOCK", number, ", 0")).scalar())


def free_lock(connection: Connection, number: int) -> None:
    """Free a lock."""
    connection.execute(_lock_call(connection, "pg_advisory_unlock", "RELEASE_LOCK", number))


def _lock_call(connection: Connection, postgresql: str, mysql: str, number: int, wait: str = "") -> TextClause:
    from sqlalchemy import text

    if connection.dialect.name == "postgresql":
        return text(f"SELECT {postgresql}({_STUDY_LOCKS}, {number})")
    return text(f"SELECT {mysql}('dlcli:{connection.engine.url.database}:{number}'{wait})")


@contextmanager
def one_creator(url: URL) -> Iterator[None]:
    """Let only one process at a time create the tables of Optuna, because two at once fail.

    Raises:
        UsageError: If the driver that the URL names is not installed.
        DataError: If the database cannot be reached.
    """
    from sqlalchemy import NullPool, create_engine, text

    try:
        engine = create_engine(url, **engine_options(url), poolclass=NullPool)
    except ImportError:
        driver = url.get_driver_name()
        hint = _INSTALL.get(url.drivername, f"pip install {driver}")
        raise UsageError(f"{url.drivername} needs the package {driver}", hint=hint) from None
    report_errors(engine)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_lock({_CREATION_LOCK})"))
        elif engine.dialect.name == "mysql":
            connection.execute(text(f"SELECT GET_LOCK('dlcli:{_CREATION_LOCK}', {IDLE_SECONDS})"))
        connection.commit()
        yield  # closing the connection releases the lock
