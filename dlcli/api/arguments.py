"""Checks of the arguments of public functions, with errors that name the argument and a correction."""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from inspect import Parameter, signature
from operator import index
from pathlib import Path
from reprlib import repr as short
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from dlcli.config.suggest import closest, find_setting
from dlcli.errors import UsageError
from dlcli.text import join

P = ParamSpec("P")
R = TypeVar("R")

_EXAMPLES = {
    "config": "dlcli.load_config('digits').config",
    "data": "'digits'",
    "data_root": "'data'",
    "device": "'cpu'",
    "dpi": "150",
    "event": "['0', '8']",
    "first": "'digits'",
    "folder": "'pictures'",
    "group": "'digits'",
    "indices": "[0, 7]",
    "listeners": "Listeners()",
    "log": "['tensorboard']",
    "metric": "'val/loss'",
    "name": "'learning-rate'",
    "names": "['loss', 'confusion']",
    "notify": "print",
    "output": "'FILE'",
    "overrides": "['optimizer.lr=0.5']",
    "rounds": "5",
    "run": "'digits'",
    "run_dir": "'runs/mine'",
    "runs": "['digits', 'moons']",
    "second": "'moons'",
    "seeds": "5",
    "settings": "['optimizer.lr=0.5']",
    "source": "'digits'",
    "vary": "['model.activation=relu,tanh']",
}
_WORDS = {bool: "True or False", int: "a whole number", float: "a number", str: "text", Path: "a path"}


def checked(function: Callable[P, R], *, is_method: bool = False) -> Callable[P, R]:
    """Return the function with its arguments checked and converted by their annotations.

    A string is also accepted as a path or as a list of one string, a NumPy integer as an integer, and a NumPy array as
    a list.

    Args:
        function: Function with annotated parameters.
        is_method: Whether the function is a method, whose first parameter is `self`.

    Raises:
        UsageError: If an argument is unknown, missing, given twice or not of the annotated type.
    """
    shape = signature(function)

    @wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            bound = shape.bind(*arguments, **options)
        except TypeError:
            raise _misfit(function, arguments, options, is_method=is_method) from None
        kinds = _kinds(function)
        for name, value in bound.arguments.items():
            bound.arguments[name] = _convert(name, value, kinds[name])
        return function(*bound.args, **bound.kwargs)

    return call


def _misfit(
    function: Callable[..., Any], arguments: Sequence[object], options: Mapping[str, object], *, is_method: bool
) -> UsageError:
    """Return the error for arguments that do not fit the parameters of a function."""
    parameters, name = signature(function).parameters, function.__name__
    first, *others = parameters
    before = f"run.{name}(" if is_method else f"{name}({_example(first)}, "
    named = [other for other in others if parameters[other].kind is Parameter.KEYWORD_ONLY]
    allowed = f"the arguments are {join(others if is_method else parameters)}"
    for option, value in options.items():
        if option in parameters:
            continue
        message = f"{name}() has no argument {option!r}"
        if "overrides" in parameters and (setting := find_setting(option)):
            return UsageError(message, hint=f"pass settings as a dict: {before}{{{setting!r}: {value!r}}})")
        guess = closest(option, others)
        return UsageError(message, hint=f"did you mean `{before}{guess}={value!r})`?" if guess else allowed)
    places = [other for other in parameters if other not in named]
    if len(arguments) > len(places):
        extra = arguments[len(places)]
        meant = next((other for other in named if extra in _choices(_kinds(function)[other])), None)
        hint = f"write `{before}{meant}={extra!r})`" if meant else f"write each with its name; {allowed}"
        return UsageError(f"{name}() has too many arguments without a name: {short(extra)}", hint=hint)
    if twice := [other for other in places[: len(arguments)] if other in options]:
        return UsageError(f"{name}() has the argument {twice[0]!r} twice", hint=f"delete `{twice[0]}=`")
    needed = [other for other in places if parameters[other].default is Parameter.empty]
    missing = next(other for other in needed[len(arguments) :] if other not in options)
    hint = f"write it like `{name}({', '.join(map(_example, needed))})`"
    return UsageError(f"{name}() needs the argument {missing!r}", hint=hint)


def _example(name: str) -> str:
    return _EXAMPLES.get(name, name)


@cache
def _kinds(function: Callable[..., Any]) -> Mapping[str, tuple[Any, ...]]:
    """Return the types that each parameter accepts; () if the function itself checks the parameter."""
    hints = get_type_hints(function)
    kinds = {}
    for name in signature(function).parameters:
        hint = hints.get(name, object)  # self has no hint
        options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        kinds[name] = options if all(map(_is_checked, options)) else ()
    return kinds


def _is_checked(kind: Any) -> bool:
    if get_origin(kind) is Sequence:
        return all(map(_is_checked, get_args(kind)))
    is_class = isinstance(kind, type) and get_origin(kind) is None and not getattr(kind, "_is_protocol", False)
    return is_class or get_origin(kind) in (Literal, os.PathLike, Callable)


def _convert(name: str, value: Any, kinds: Sequence[Any]) -> Any:
    """Return an argument converted to the first type that accepts it; () accepts every value unchanged.

    Raises:
        UsageError: If no type accepts it.
    """
    for kind in kinds:
        try:
            return _as(kind, value)
        except (TypeError, ValueError):
            continue
    if not kinds:
        return value
    expected = join(dict.fromkeys(_in_words(kind) for kind in kinds if kind is not type(None)), "or")
    choices = _choices(kinds)
    guess = closest(str(value), choices)
    example = repr(choices[0]) if choices else _EXAMPLES.get(name, "True" if bool in kinds else "VALUE")
    hint = f"did you mean `{name}={guess!r}`?" if guess else f"write it like `{name}={example}`"
    raise UsageError(f"{name} must be {expected}. Got {short(value)} instead", hint=hint)


def _choices(kinds: Sequence[Any]) -> list[str]:
    return [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]


def _as(kind: Any, value: Any) -> Any:
    """Return a value converted to a type.

    Raises:
        TypeError: If the value is of another type.
        ValueError: If the value is none of the choices.
    """
    origin = get_origin(kind)
    if origin is Literal:
        return get_args(kind)[get_args(kind).index(value)]
    if origin is Sequence:
        (inner,) = get_args(kind)
        if isinstance(value, str) and inner is not int:
            value = (value,)
        elif isinstance(value, (str, bytes, Mapping)):
            raise TypeError
        return [_as(inner, item) for item in value]
    if kind is int and not isinstance(value, bool):
        return index(value)
    if kind is Path and isinstance(value, (str, Path)):
        return Path(value)
    if kind is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, origin or kind):  # a function is an instance of Callable
        return value
    raise TypeError


def _in_words(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return join(map(str, get_args(kind)), "or")
    if origin is Sequence:
        (inner,) = get_args(kind)
        return {int: "a list of whole numbers", str: "a list of texts"}.get(inner, f"a list of {_in_words(inner)}")
    if origin is Callable:
        return "a function"
    return "a path" if origin is os.PathLike else _WORDS.get(kind) or f"a {kind.__name__}"
