from __future__ import annotations

import pytest

from dlcli.config.document import read_document
from dlcli.config.scalars import read_scalar
from dlcli.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        (".5", 0.5),
        ("-1.", -1.0),
        ("+.5", 0.5),
        ("1.e5", 1e5),
        ("-0", 0),
        (".", "."),
        ("e5", "e5"),
        ("0b1", "0b1"),
        ("0o8", "0o8"),
        ("0x", "0x"),
        ("+0x1F", "+0x1F"),
        ("yes", "yes"),
        ("y", "y"),
        ("+12", 12),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("no", "no"),
        ("on", "on"),
        ("NO", "NO"),
        ("True", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("nUll", "nUll"),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert repr(read_scalar(text)) == repr(value)


def test_places_of_keys_are_recorded_and_quoted_values_are_strings() -> None:
    document = read_document("a:\n  b: '1'\n  c: [1, x]\nd: {e: 2}\n", "f.yaml")
    assert document.tree == {"a": {"b": "1", "c": (1, "x")}, "d": {"e": 2}}
    places = {path: (place.line, place.column) for path, place in document.places.items()}
    assert places[("a",)] == (1, 1)
    assert places[("a", "c")] == (3, 3)
    assert places[("a", "c", 1)] == (3, 10)
    assert places[("d", "e")] == (4, 5)


def test_an_empty_text_is_an_empty_mapping() -> None:
    assert read_document("# nothing\n", "f.yaml").tree == {}


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("seed: 1\nseed: 2\n", "f:2:1", "set twice, first on line 1"),
        ("a: *b\n", "f:1:4", "alias"),
        ("a: &b 1\n", "f:1:4", "anchor"),
        ("a: !!python/object:os.system 1\n", "f:1:4", "tag"),
        ("%YAML 1.1\n---\na: no\n", "f:1:1", "directive"),
        ("a: 1\n---\nb: 2\n", "f:2:1", "second document"),
        ("a: .nan\n", "f:1:4", "finite"),
        ("a: " + "9" * 5000 + "\n", "f:1:4", "more than 400 characters"),
        ("1: a\n", "f:1:1", "not a string"),
        ("a: [1\n", "f:2:1", "not valid YAML"),
        ("a:\n\t- b\n", "f:2:1", "not valid YAML"),
        ('a: "\\UFFFFFFFF"\n', "f:1:", "not valid YAML"),
        ("a: \x07\n", "f:1:4", "#x0007"),
        ("- a\n", "f:1:1", "mapping"),
        ("a: " + "[" * 100_000, "f:1:", "levels deep"),
        ("<<: {a: 1}\n", "f:1:1", "merge"),
        ("a: [" + "1," * 30_000 + "]", "f:1:", "more than 2000 keys and values"),
        ("".join(f"k{i}: 1\n" for i in range(7000)), "f:", "more than 2000 keys and values"),
    ],
)
def test_unsupported_yaml_is_rejected_with_its_place(text: str, place: str, words: str) -> None:
    try:
        problems = tuple(read_document(text, "f").problems)
    except ConfigError as error:  # nothing after a syntax error can be read
        problems = error.problems
    assert any(problem.place.startswith(place) and words in problem.message for problem in problems)
