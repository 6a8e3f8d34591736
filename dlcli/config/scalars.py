"""Values of unquoted YAML scalars.

They follow the core schema of YAML 1.2.2 (section 10.3), not PyYAML's YAML 1.1: `1e-3` is a float, `no` and `on` are
strings, `012` is twelve.
"""

from __future__ import annotations

import re
import sys

from dlcli.config.tree import Value

MAX_DIGITS = 400  # more than the largest float needs (309); int() itself rejects more than 4,300

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def read_scalar(text: str) -> Value:
    """Return the value of a plain (unquoted) scalar under the YAML 1.2 core schema.

    Raises:
        ValueError: If the scalar is a number that is not finite, has too many digits, or is too large or too small.
    """
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _NOT_FINITE.fullmatch(text):
        raise ValueError("is not a finite number")
    for pattern, base in ((_INT, 10), (_OCTAL, 8), (_HEX, 16)):
        if pattern.fullmatch(text):
            return _read_whole_number(text, base)
    return _read_float(text) if _FLOAT.fullmatch(text) else text


def _read_whole_number(text: str, base: int) -> int:
    _check_length(text)
    value = int(text, base)
    if abs(value) > sys.float_info.max:  # a setting may convert it to a float
        raise ValueError("is too large")
    return value


def _read_float(text: str) -> float:
    _check_length(text)
    value = float(text)
    if value == 0 and re.search("[1-9]", re.split("[eE]", text)[0]):
        raise ValueError("is too small: it would be rounded to 0")
    return value


def _check_length(text: str) -> None:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"is a number with more than {MAX_DIGITS} characters")
