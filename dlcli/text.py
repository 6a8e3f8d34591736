"""Lists in sentences, durations, hidden passwords, and line breaks that keep words, names and commands whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

PAGE = 80  # width of running text in columns
_LEAST_ROOM = 24  # columns beside a heading; with fewer, the text begins below the heading
_HEADING = re.compile(r" *\S+(?: \S+)* {2,}(?=\S)| +")  # heading of a line such as `model     64-10, sigmoid`
_WORD = re.compile(r" *(?:`[^`]*`|\S)+")  # word with the spaces before it; a text in backticks is one word
_PLAIN_WORD = re.compile(r" *\S+")
_ARGUMENT = re.compile(r" *(?:'[^']*'|\S)+")  # argument of a command, as written by shlex.join
_COMMAND = "dlcli "
_SECRET = re.compile(r"([?&][^=&]*(?:pass|pwd|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)


def columns_of(stream: TextIO) -> int | None:
    """Return the width of the terminal that a stream writes to, in columns; None if it is not a terminal."""
    if not stream.isatty():
        return None
    chosen = os.environ.get("COLUMNS", "")
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    try:
        return os.get_terminal_size(stream.fileno()).columns or PAGE
    except (OSError, ValueError):
        return PAGE


def page_width(stream: TextIO) -> int:
    """Return the width of running text on a stream: 80 columns, or the width of a narrower terminal."""
    return min(PAGE, columns_of(stream) or PAGE)


def fold(line: str, stream: TextIO) -> str:
    """Return a line, broken if it is wider than the terminal of a stream; later lines begin below the text.

    A text of several lines is returned unchanged, because it is laid out already.
    """
    columns = columns_of(stream)
    if columns is None or "\n" in line.strip("\n") or width_of(line.strip("\n")) <= columns:
        return line
    text = line.strip("\n")
    heading = match.group() if (match := _HEADING.match(text)) else ""
    indent = None if heading.strip() else f"{heading}  "
    folded = wrap(text.removeprefix(heading), columns, start=heading, indent=indent)
    return line.replace(text, folded)


def wrap(text: str, columns: int, *, start: str = "", indent: str | None = None) -> str:
    """Return text in lines of at most `columns`, with all words whole; only a wider word makes a longer line.

    A command is kept whole too, if it is the whole text or in backticks. If it is wider than a line, its lines end with
    a backslash, so that a copy of them still runs.

    Args:
        text: Text of one paragraph.
        columns: Width of a line.
        start: Heading in front of the text. The text begins below it if there is no room for its words.
        indent: Beginning of the later lines; by default they are aligned with the text.
    """
    words = [text] if text.startswith(_COMMAND) else _WORD.findall(text)
    widest = max((width_of(part.strip()) for word in words for part in _split(word, columns)), default=0)
    if start.strip() and width_of(start) + min(max(widest, _LEAST_ROOM), width_of(text)) > columns:
        below = "  " if 2 + widest <= columns else ""
        return "\n".join([start.rstrip(), *_lines(words, columns, below, below)])
    return "\n".join(_lines(words, columns, start, " " * width_of(start) if indent is None else indent))


def _lines(words: Sequence[str], columns: int, start: str, indent: str) -> Iterator[str]:
    line, is_empty = start, True
    for word in words:
        parts, end = _split(word, columns - width_of(indent)), " \\" if _is_command(word) else ""
        for i, part in enumerate(parts):
            reserved = len(end) if i < len(parts) - 1 else 0
            if not is_empty and width_of(line + part) + reserved > columns:
                yield line + (end if i else "")
                line, is_empty = indent, True
            line += part.lstrip() if is_empty else part
            is_empty = False
    yield line


def _split(word: str, columns: int) -> list[str]:
    """Return the parts of a text in backticks, or of a command, that is wider than `columns`."""
    if width_of(word.strip()) <= columns:
        return [word]
    return (_ARGUMENT if _is_command(word) else _PLAIN_WORD).findall(word)


def _is_command(word: str) -> bool:
    return word.lstrip(" `").startswith(_COMMAND)


def join(parts: Iterable[str], word: str = "and") -> str:
    """Join parts into a list in words: `a, b and c`."""
    listed = list(parts)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} {word} {listed[-1]}"


def format_seconds(seconds: float) -> str:
    """Return a duration, such as `12 ms`, `0.52 s`, `7.4 s`, `2:05 min` or `1:02:05 h`."""
    if seconds < 0.0995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 0.995 else f"{seconds:.1f} s"
    return f"{format_clock(seconds)} {'min' if seconds < 3599.5 else 'h'}"


def format_clock(seconds: float) -> str:
    """Return a duration as `m:ss`, or `h:mm:ss` from one hour."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def width_of(text: str) -> int:
    """Return the columns that a text occupies on a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # imported late, because it takes 1 MB of memory

    return sum(0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def hide_password(url: str) -> str:
    """Return a URL with `***` in place of each password."""
    shown = _SECRET.sub(r"\1***", url)
    start = shown.find("://") + 3 if "://" in shown else 0
    account, at, place = shown[start:].rpartition("@")
    user, colon, _ = account.partition(":")
    if not at:  # text after the colon may be part of a password unless it is a port number
        place = re.sub(r"^([^/?:\[]*):(?!\d+([/?]|$)).*", r"\1:***", place)
    return f"{shown[:start]}{user}{':***' if colon else ''}{at}{place}"


def hide_passwords(command: Sequence[str]) -> list[str]:
    """Return a command line with `***` in place of the passwords in its URLs."""
    return [hide_password(argument) if "://" in argument else argument for argument in command]
