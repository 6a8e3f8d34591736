"""A disk that fails when it is told to, under the calls of `os` that dlcli writes with."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any


class Disk:
    """Counts operations that change files below the working folder's `runs`, and ends the process at one of them.

    A power cut takes with it what no fsync has made last: content that was written, and names that were given, since.
    """

    def __init__(self, *, crash_at: int, half: bool, power_cut: bool, full_at: int, count: bool) -> None:
        self.root = Path("runs").resolve()
        self.crash_at, self.half, self.power_cut, self.full_at, self.count = crash_at, half, power_cut, full_at, count
        self.operations = self.writes = 0
        self.paths: dict[int, Path] = {}  # by descriptor
        self.safe: dict[Path, bytes | None] = {}  # content that a power cut leaves, of files that changed since
        self.unsynced: set[Path] = set()  # files whose content a power cut takes
        self.real: dict[str, Any] = {}

    def mount(self) -> None:
        for name in ("open", "write", "fsync", "replace", "unlink", "mkdir"):
            self.real[name] = getattr(os, name)
            setattr(os, name, getattr(self, name))

    def is_ours(self, path: Any) -> bool:
        return not isinstance(path, int) and Path(path).absolute().is_relative_to(self.root)

    def tick(self) -> None:
        self.operations += 1
        if self.count:
            Path("operations").write_text(f"{self.operations} {self.writes}")
        if self.operations == self.crash_at:
            self.die()

    def die(self) -> None:
        for path, content in self.safe.items() if self.power_cut else ():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
        os.kill(os.getpid(), signal.SIGKILL)

    def remember(self, path: Path) -> None:
        """Keep what the disk holds for certain, before it changes."""
        if self.power_cut and path not in self.safe:
            self.safe[path] = path.read_bytes() if path.is_file() else None

    def open(self, path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if not self.is_ours(path):
            return self.real["open"](path, flags, *rest, **more)
        path = Path(path).absolute()
        if flags & os.O_CREAT:
            self.tick()
            self.remember(path)
        descriptor = self.real["open"](path, flags, *rest, **more)
        self.paths[descriptor] = path
        return descriptor

    def write(self, descriptor: int, content: Any) -> int:
        if descriptor not in self.paths or not self.is_ours(self.paths[descriptor]):
            return self.real["write"](descriptor, content)
        self.writes += 1
        self.remember(self.paths[descriptor])
        self.unsynced.add(self.paths[descriptor])
        if self.full_at and self.writes >= self.full_at:
            self.real["write"](descriptor, bytes(content)[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.half and self.operations + 1 == self.crash_at:
            self.real["write"](descriptor, bytes(content)[: len(content) // 2])
        self.tick()
        return self.real["write"](descriptor, content)

    def fsync(self, descriptor: int) -> None:
        path = self.paths.get(descriptor)
        if path is None:
            return self.real["fsync"](descriptor)
        self.tick()
        self.unsynced.discard(path)
        if path.is_dir():  # its names last now; a file whose content does not is empty
            for one in [one for one in self.safe if one.parent == path]:
                if one in self.unsynced:
                    self.safe[one] = b""
                else:
                    del self.safe[one]
        elif self.safe.get(path) is not None:  # a file that has its name already
            del self.safe[path]
        return self.real["fsync"](descriptor)

    def replace(self, source: Any, target: Any) -> None:
        if self.is_ours(target):
            self.tick()
            self.remember(Path(target).absolute())
            self.remember(Path(source).absolute())
            if Path(source).absolute() in self.unsynced:
                self.unsynced.add(Path(target).absolute())
        return self.real["replace"](source, target)

    def unlink(self, path: Any, **more: Any) -> None:
        if self.is_ours(path):
            self.tick()
            self.remember(Path(path).absolute())
        return self.real["unlink"](path, **more)

    def mkdir(self, path: Any, *rest: Any, **more: Any) -> None:
        if self.is_ours(path):
            self.tick()
        return self.real["mkdir"](path, *rest, **more)
