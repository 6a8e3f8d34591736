"""PostgreSQL server for tests, with a password; it belongs to the user `postgres` if the tests run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path

USER, PASSWORD = "sweeper", "hunter2-{%s}"
QUOTED_PASSWORD = "hunter2-%7B%25s%7D"


def reason_to_skip() -> str | None:
    """Return why no server can be started here; None if one can."""
    if _binaries() is None:
        return "needs the server of PostgreSQL"
    if os.name != "posix":
        return "starts PostgreSQL on POSIX systems only"
    if os.geteuid() == 0 and "postgres" not in (entry.pw_name for entry in pwd.getpwall()):
        return "needs a user `postgres`: PostgreSQL does not run as root"
    return None


def _binaries() -> Path | None:
    folders = [Path(found).parent] if (found := shutil.which("pg_ctl")) else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


class Postgres:
    """Running server; each test has its database."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dlcli-postgres-"))
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self.folder, self._user)
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "password").chmod(0o644)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        options = ["-U", USER, "-A", "scram-sha-256", f"--pwfile={self.folder}/password", "--no-sync", "--locale=C"]
        self._run("initdb", "-D", f"{self.folder}/data", "-E", "UTF8", *options)
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        binaries = _binaries()
        assert binaries is not None
        command = [str(binaries / program), *arguments]
        with (self.folder / "log").open("ab") as log:  # not a pipe, which the server would keep open
            done = subprocess.run(
                command, cwd=self.folder, user=self._user, group=self._user, stdout=log, stderr=subprocess.STDOUT
            )
        assert done.returncode == 0, (self.folder / "log").read_text()

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder} -c fsync=off"
        self._run(
            "pg_ctl", "-D", f"{self.folder}/data", "-w", "-o", options, "-l", f"{self.folder}/server.log", "start"
        )

    def stop(self) -> None:
        """End the server and all connections at once."""
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-m", "immediate", "stop")

    def url(self, database: str, password: str = QUOTED_PASSWORD) -> str:
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Create an empty database; return its URL."""
        import psycopg

        name = f"sweep_{uuid.uuid4().hex[:12]}"
        place = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD, "dbname": "postgres"}
        with psycopg.connect(**place, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)
