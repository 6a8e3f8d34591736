"""Fault-tolerant stdout and stderr: failed writes are dropped and the first error is kept."""

from __future__ import annotations

import codecs
import errno
import io
import os
import re
import select
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_ERRORS = "dlcli.readable"  # name of the codecs error handler
_GONE = {errno.EPIPE: "closed pipe", errno.EBADF: "closed"}  # nobody reads the output: not reported
_LETTERS = "Σ ∂ ∇ ∞ µ ŷ \u0302 \u0304 − – — ‑ × ⊙ · ± ‖ ′ ‘ ’ “ ” … → ← ≤ ≥ ≈ ● • ★ ✓ ▁ ▂ ▃ ▄ ▅ ▆ ▇ █"
_SPELLED = "sum d grad inf u y_hat _hat _bar - - - - x .* * +- || ' ' ' ' ' ... -> <- <= >= ~ * * * ok _ . , - = + * #"
_WORDS = {**dict(zip(_LETTERS.split(), _SPELLED.split(), strict=True)), "√": "sqrt ", "\u00a0": " "}
_DIRECTIONS = (("HORIZONTAL", "LEFT", "RIGHT"), ("VERTICAL", "UP", "DOWN"))  # words in Unicode names


class _Output(io.RawIOBase):
    """Raw stream that writes to a descriptor until a write fails and drops all later output.

    Attributes:
        failure: First error; None if every write has succeeded.
        is_reported: Whether the error has been reported to the user.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self.name = getattr(raw, "name", "")
        self.failure: OSError | None = None
        self.is_reported = False

    def write(self, content: ReadableBuffer, /) -> int:
        """Write all of `content`, or keep the error and drop the rest."""
        rest = memoryview(content).cast("B")
        size = len(rest)
        try:
            while rest and self.failure is None:
                written = self._raw.write(rest)
                if written is None:  # the descriptor is non-blocking and its reader is slow
                    select.select([], [self._raw], [])
                else:
                    rest = rest[written:]
        except OSError as error:
            self.failure = error
        return size

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return self._raw.isatty()


_outputs: dict[str, _Output] = {}


def open_streams() -> None:
    """Make stdin, stdout and stderr usable even if they were closed when the process started.

    A replaced stream, such as a notebook's, is left unchanged.
    """
    codecs.register_error(_ERRORS, _replace_with_ascii)
    _open_descriptors()
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__"):
            _outputs[name] = _Output(io.FileIO(descriptor, "w", closefd=False) if stream is None else _raw(stream))
            setattr(sys, name, _text_stream(_outputs[name], stream))


def stdout_is_gone() -> bool:
    """Return whether nobody reads stdout any more, or it cannot be written."""
    return "stdout" in _outputs and _outputs["stdout"].failure is not None


def output_errors() -> dict[str, str]:
    """Return the names of the streams that could not be written completely, with the reasons."""
    for name in _outputs:
        getattr(sys, name).flush()
    return {name: _reason(output.failure) for name, output in _outputs.items() if output.failure is not None}


def take_stdout_error() -> str | None:
    """Return the reason why stdout could not be written, only once; None if it was written or nobody reads it."""
    errors = output_errors()
    output = _outputs.get("stdout")
    if output is None or output.is_reported or errors.get("stdout") in (None, *_GONE.values()):
        return None
    output.is_reported = True
    return errors["stdout"]


def _open_descriptors() -> None:
    """Open descriptors 0, 1 and 2 if they are closed, so that no file of a run gets one of these numbers."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDONLY)  # gets the lowest free number; writes fail as for a closed one
            assert opened == descriptor, "a lower number was free"
            os.set_inheritable(opened, True)


def _raw(stream: TextIO) -> io.RawIOBase:
    buffer: Any = stream.buffer
    raw: io.RawIOBase = getattr(buffer, "raw", buffer)  # `python -u` has no buffer
    return raw


def _text_stream(output: _Output, original: TextIO | None) -> io.TextIOWrapper:
    """Return a text stream with the encoding and the buffering of `original`."""
    return io.TextIOWrapper(
        io.BufferedWriter(output),
        encoding=original.encoding if original is not None else "utf-8",
        errors=_ERRORS,
        line_buffering=bool(original is not None and original.line_buffering),
        write_through=bool(getattr(original, "write_through", False)),
    )


def _reason(error: OSError) -> str:
    return _GONE.get(error.errno or 0) or error.strerror or str(error)


def _replace_with_ascii(error: UnicodeError) -> tuple[str, int]:
    """Return ASCII for characters that an encoding lacks; an error handler for `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return to_ascii(error.object[error.start : error.end]), error.end


def to_ascii(text: str) -> str:
    r"""Return readable ASCII: `sigma` for σ, `x^2` for x², `->` for →, and escapes such as `\xe9` for the rest."""
    import unicodedata  # takes 1 MB of memory, which most processes do not need

    result, shift_before = "", ""
    for character in text:
        kind, _, base = unicodedata.decomposition(character).partition(" ")
        shift = {"<super>": "^", "<sub>": "_"}.get(kind, "")
        if shift:
            character = chr(int(base, 16))
        result += (shift if shift != shift_before else "") + _spell(character, unicodedata.name(character, ""))
        shift_before = shift
    return result


def _spell(character: str, name: str) -> str:
    if character.isascii():
        return character
    if character in _WORDS:
        return _WORDS[character]
    if greek := re.fullmatch("GREEK (SMALL|CAPITAL) LETTER ([A-Z]+)", name):
        letter = greek[2].replace("LAMDA", "LAMBDA")  # Unicode spells it LAMDA
        return letter.lower() if greek[1] == "SMALL" else letter.capitalize()
    if name.startswith("BOX DRAWINGS"):
        is_horizontal, is_vertical = (any(word in name.split() for word in words) for words in _DIRECTIONS)
        return "+" if is_horizontal == is_vertical else "-" if is_horizontal else "|"
    return character.encode("ascii", "backslashreplace").decode()
