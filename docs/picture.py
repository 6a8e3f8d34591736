"""Generator of docs/training.svg, a screenshot of a real run in a pseudo-terminal.

python docs/picture.py
"""

from __future__ import annotations

import itertools
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

COLUMNS, LINES = 80, 100
COMMAND = "dlcli train -c digits training.epochs=15 --eval"


def run_in_terminal(command: str) -> pyte.Screen:
    """Run a command in a pseudo-terminal and return the final screen."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    controller, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(LINES)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            command.split(), stdin=terminal, stdout=terminal, stderr=terminal, env=environment, cwd=folder
        )
        os.close(terminal)
        try:
            while chunk := os.read(controller, 65536):
                stream.feed(chunk)
        except OSError:  # Linux raises this when the other end of the terminal closes
            pass
        process.wait()
    return screen


def to_text(screen: pyte.Screen) -> Text:
    """Return the coloured text of a screen without trailing empty lines."""
    text = Text()
    for y in range(screen.cursor.y):
        cells = [screen.buffer[y][x] for x in range(COLUMNS)]
        # Words and spaces are separate, so that each word keeps its position with any font.
        for (colour, bold, _), run in itertools.groupby(cells, key=lambda cell: (cell.fg, cell.bold, cell.data == " ")):
            colour = None if colour == "default" else f"#{colour}" if re.fullmatch("[0-9a-f]{6}", colour) else colour
            text.append("".join(cell.data for cell in run), Style(color=colour, bold=bold))
        text.append("\n")
    return text


def main() -> None:
    """Write training.svg next to this file."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    console.print(Text.assemble(("$ ", "green"), COMMAND))
    console.print(to_text(run_in_terminal(COMMAND)), end="")
    svg = console.export_svg(title="dlcli")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # the picture must not load fonts
    svg = svg.replace("Fira Code, monospace", "monospace").replace("Fira Code", "monospace")
    Path(__file__).with_name("training.svg").write_text(svg)


if __name__ == "__main__":
    main()
