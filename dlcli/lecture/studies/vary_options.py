"""Options `--vary KEY=V1,V2` of a study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dlcli.errors import UsageError

EXAMPLE = "--vary model.activation=sigmoid,relu,tanh"
# Settings that cannot be varied, with the reason and the fix.
_FIXED = {
    "seed": ("every variant is trained with the same seeds", "use `--seeds N` to set their number"),
    "name": ("the name has no effect on training", f"vary another setting, e.g. `{EXAMPLE}`"),
    "task": ("the metrics of two tasks cannot be compared", "run one study per task"),
    "data.name": ("the metrics on two data sets cannot be compared", "run one study per data set, with -c CONFIG"),
    "data.root": ("the metrics on two data sets cannot be compared", "run one study per data set, with -c CONFIG"),
    "data.path": ("the metrics on two data sets cannot be compared", "run one study per data set, with -c CONFIG"),
    "training.epochs": (
        "the curves show the metric after each epoch already",
        "set the largest number for all variants, e.g. training.epochs=20",
    ),
}


def read_options(vary: Sequence[str]) -> dict[str, list[str]]:
    """Return the texts of the values of each varied setting."""
    values: dict[str, list[str]] = {}
    for text in vary:
        key, equals, listed = text.partition("=")
        texts = list(_split(listed))
        if not equals or not key or not all(texts):
            raise UsageError(f"cannot read --vary {text}", hint=f"write it like `{EXAMPLE}`")
        if key in _FIXED:
            reason, hint = _FIXED[key]
            raise UsageError(f"--vary cannot vary {key}: {reason}", hint=hint)
        if key in values:
            raise UsageError(f"--vary {key} is given twice", hint=f"write all its values in one: {key}=A,B,C")
        repeated = next((value for value in texts if texts.count(value) > 1), None)
        if repeated is not None:
            raise UsageError(f"--vary {key} contains {repeated} twice", hint="write each value once")
        if len(texts) < 2:
            raise UsageError(
                f"--vary {key} needs at least two values to compare. Got {listed}",
                hint=f"write it like `--vary {key}={listed},OTHER`",
            )
        values[key] = texts
    return values


def _split(text: str) -> Iterator[str]:
    """Yield the parts of a text between commas, except commas in brackets, braces and quotes."""
    depth, quote, start = 0, "", 0
    for i, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        elif letter == "," and depth == 0:
            yield text[start:i].strip()
            start = i + 1
    yield text[start:].strip()


def as_number(text: str) -> float | None:
    """Return the text as a number; None if it is not a number."""
    try:
        return float(text)
    except ValueError:
        return None
