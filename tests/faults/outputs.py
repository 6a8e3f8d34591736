"""Broken standard streams: full, closed, without a reader, or with a limited encoding."""

from __future__ import annotations

import os
import sys
from typing import TextIO

OUTPUTS = (
    *("stdout full", "stderr full", "both full", "stdout closed", "stderr closed", "both closed"),
    *("stdout broken", "both broken", "cp1252", "ascii"),
)


def break_outputs(kind: str) -> None:
    """Replace stdout and stderr as if the process had been started with a fault of `OUTPUTS`."""
    which, _, fault = kind.partition(" ")
    if not fault:
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(encoding=which, errors="strict" if stream is sys.stdout else "backslashreplace")  # type: ignore[union-attr]
        return
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if which in (name, "both"):
            _break(name, descriptor, fault)


def _break(name: str, descriptor: int, fault: str) -> None:
    if fault == "closed":
        os.close(descriptor)
        _replace(name, None)
        return
    if fault == "broken":
        reader, writer = os.pipe()
        os.close(reader)
    else:
        writer = os.open("/dev/full", os.O_WRONLY)
    os.dup2(writer, descriptor)
    os.close(writer)


def _replace(name: str, stream: TextIO | None) -> None:
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)
