"""Fault-tolerant stdout and stderr, and ASCII spelling of symbols."""

from __future__ import annotations

import errno
import io
import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dlcli.cli import output
from dlcli.cli.streams import _Output, to_ascii
from dlcli.config.presets import presets

PRELUDE = (
    "import os, sys\nfrom dlcli.cli.streams import open_streams, output_errors, take_stdout_error\nopen_streams()\n"
)


def run_code(code: str, redirection: str = "") -> subprocess.CompletedProcess[str]:
    """Run Python code with a shell redirection of its outputs."""
    command = ["bash", "-c", f'"$0" -c "$1" {redirection}', sys.executable, PRELUDE + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_nothing_is_written_after_the_first_error() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        stream = _Output(full)
        assert stream.write(b"abc") == 3
        assert stream.failure is not None
        assert stream.failure.errno == errno.ENOSPC
        first = stream.failure
        assert stream.write(b"abc") == 3
        assert stream.failure is first


def test_partial_writes_are_continued() -> None:
    class Slow(io.RawIOBase):
        taken = b""

        def write(self, content: object) -> int:
            self.taken += bytes(content)[:2]  # type: ignore[call-overload]
            return min(2, len(content))  # type: ignore[arg-type]

    raw = Slow()
    assert _Output(raw).write(b"abcdefg") == 7
    assert raw.taken == b"abcdefg"


def test_writing_waits_for_a_slow_reader() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    content = b"x" * 300_000  # more than the capacity of a pipe
    received: list[bytes] = []

    def read() -> None:
        while sum(map(len, received)) < len(content):
            received.append(os.read(reader, 10_000))

    thread = threading.Thread(target=read)
    thread.start()
    with open(writer, "wb", buffering=0) as raw:
        stream = _Output(raw)
        stream.write(content)
    thread.join()
    os.close(reader)
    assert (stream.failure, b"".join(received)) == (None, content)


def test_output_errors_are_kept_for_each_stream() -> None:
    code = "print('lost'); print('seen', output_errors(), take_stdout_error(), take_stdout_error(), file=sys.stderr)"
    errors = "{'stdout': 'No space left on device'}"
    assert run_code(code, ">/dev/full").stderr == f"seen {errors} No space left on device None\n"
    assert run_code(code, ">&-").stderr == "seen {'stdout': 'closed'} None None\n"
    assert run_code("print(output_errors())", "2>&-").stdout == "{}\n", "nothing was written to stderr"
    assert run_code("sys.exit(7)", ">&- 2>&-").returncode == 7


def test_the_flush_at_interpreter_exit_does_not_fail() -> None:
    done = run_code("sys.stdout.write('x' * 100)", ">/dev/full")
    assert (done.returncode, done.stderr) == (0, "")


def test_no_file_gets_the_descriptor_of_a_closed_output() -> None:
    code = (
        "file = open('file', 'w'); assert file.fileno() > 2; print('x'); os.write(1, b'') if 0 else None; file.close()"
    )
    assert run_code(code, "<&- >&- 2>&-").returncode == 0
    assert Path("file").read_text() == ""
    assert run_code("sys.exit(len(sys.stdin.read()))", "<&-").returncode == 0


def test_terminal_buffering_and_encoding_are_unchanged() -> None:
    code = "import sys\nfor stream in (sys.stdout, sys.stderr): sys.stdout.write(f'{stream.encoding} "
    code += "{stream.line_buffering} {stream.write_through} {stream.isatty()} {stream.fileno()} {stream.name}')"
    for options, encoding in (("-u", "utf-8"), ("", "utf-8"), ("", "iso8859-1")):
        environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUNBUFFERED": ""}
        outputs = []
        for prelude in ("", PRELUDE):
            command = [sys.executable, *options.split(), "-c", prelude + code]
            controller, terminal = pty.openpty()
            piped = subprocess.run(command, capture_output=True, text=True, env=environment)
            subprocess.run(command, stdout=terminal, stderr=subprocess.PIPE, env=environment, check=True)
            outputs.append((piped.stdout, os.read(controller, 1000)))
            os.close(controller)
            os.close(terminal)
        assert outputs[0] == outputs[1]
        assert encoding in outputs[0][0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("σ(z) = 1 / (1 + e⁻ᶻ)", "sigma(z) = 1 / (1 + e^-z)"),
        ("θ ← θ − α ∇L", "theta <- theta - alpha gradL"),
        ("x² × 3 → …", "x^2 x 3 -> ..."),
        ("Φ Σ λ ŷ σ̄ ₁₂ ± ‖a‖", "Phi sum lambda y_hat sigma_bar _12 +- ||a||"),
        ("┌──┬│╰╴", "+--+|+-"),
        ("█ ▁▇ – ’", "# _* - '"),
        ("é 語 🙂 \udce9", "\\xe9 \\u8a9e \\U0001f642 \\udce9"),
    ],
)
def test_characters_that_an_encoding_lacks_are_spelled_out(text: str, shown: str) -> None:
    assert to_ascii(text) == shown


def test_every_character_in_the_source_can_be_spelled_out() -> None:
    files = [*Path(output.__file__).parents[1].rglob("*.py"), *presets().values()]
    letters = {letter for file in files for letter in file.read_text(encoding="utf-8") if not letter.isascii()}
    assert len(letters) > 50
    assert [letter for letter in sorted(letters) if "\\" in to_ascii(letter)] == []


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii", "latin-1"])
def test_json_is_lossless_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"σ": "−1 × é 🙂 \udce9 \x1b \x9b \u202e \n"}
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    output.print_json(value)
    text = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert json.loads(text) == value
    assert ("σ" in text) == (encoding == "utf-8")
    assert all(letter.isprintable() for letter in text[:-1])
