"""Simulated disk failures: patched `os` functions that crash, lose power or run out of space."""

from __future__ import annotations

import errno
import os
import signal
import stat
from pathlib import Path
from typing import Any


class Disk:
    """Counter of file operations below `runs` and `sweeps` in the working folder, which kills the process at one.

    A power cut also discards all file content and file names that have not been synced with fsync.
    """

    def __init__(self, *, crash_at: int, half: bool, power_cut: bool, full_at: int, count: bool) -> None:
        self.roots = [Path(name).resolve() for name in ("runs", "sweeps")]
        self.crash_at, self.half, self.power_cut, self.full_at, self.count = crash_at, half, power_cut, full_at, count
        self.operations = self.writes = 0
        self.paths: dict[int, Path] = {}  # by descriptor
        self.safe: dict[Path, bytes | None] = {}  # content after a power cut, for files that changed since the sync
        self.unsynced: set[Path] = set()  # files whose content a power cut discards
        self.real: dict[str, Any] = {}

    def mount(self) -> None:
        for name in ("open", "write", "ftruncate", "fsync", "replace", "unlink", "mkdir"):
            self.real[name] = getattr(os, name)
            setattr(os, name, getattr(self, name))

    def is_ours(self, path: Any) -> bool:
        return not isinstance(path, int) and any(Path(path).absolute().is_relative_to(root) for root in self.roots)

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
        """Store the synced content of a file before it changes."""
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
        # A pipe to another process can have the number of a file that was closed.
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        if not is_file or descriptor not in self.paths or not self.is_ours(self.paths[descriptor]):
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

    def ftruncate(self, descriptor: int, length: int) -> None:
        if descriptor in self.paths:
            self.tick()
            self.remember(self.paths[descriptor])
            self.unsynced.add(self.paths[descriptor])
        self.real["ftruncate"](descriptor, length)

    def fsync(self, descriptor: int) -> None:
        path = self.paths.get(descriptor)
        if path is None:
            return self.real["fsync"](descriptor)
        self.tick()
        self.unsynced.discard(path)
        if path.is_dir():  # file names are now synced; a file with unsynced content becomes empty
            for file in [file for file in self.safe if file.parent == path]:
                if file in self.unsynced:
                    self.safe[file] = b""
                else:
                    del self.safe[file]
        elif self.safe.get(path) is not None:  # the file name was synced before
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
