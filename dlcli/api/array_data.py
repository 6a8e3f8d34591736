"""Python arrays as the data of a run, which are stored in an NPZ file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from numbers import Real
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np

from dlcli.config.load import ConfigSource, LoadedConfig, Overrides, load_config
from dlcli.config.paths import escape_path
from dlcli.config.render import render_value
from dlcli.config.tree import Place
from dlcli.data.tables.npz_file import CLASS_NAMES, FEATURE_NAMES
from dlcli.errors import DataError, UsageError, one_line
from dlcli.runs.folder import DATA

ArrayData: TypeAlias = tuple[Any, Any] | Mapping[str, Any]

_NAMES = ("inputs", "targets", FEATURE_NAMES, CLASS_NAMES)
_GIVEN = Place("given as data")  # origin of the settings of the data
_HINT = "write it like `data=(X, y)`, or `data={'inputs': X, 'targets': y, 'class_names': [...]}`"


@contextmanager
def array_file(data: ArrayData | None) -> Iterator[Path | None]:
    """Yield a temporary NPZ file with the arrays; errors about this file call it `data`.

    Args:
        data: Inputs and targets; None yields None.

    Raises:
        DataError: If the data is not inputs and targets, or cannot be stored as numbers, bytes or texts.
    """
    if data is None:
        yield None
        return
    arrays = _as_arrays(data)
    with TemporaryDirectory(prefix="dlcli-") as folder:
        path = Path(folder).resolve() / DATA
        try:
            np.savez(path, allow_pickle=False, **arrays)
        except OSError as error:
            raise DataError(f"cannot write the arrays to {path}: {error.strerror or error}") from error
        try:
            yield path
        except DataError as error:
            message = error.message.replace(one_line(str(path)), "data")
            raise DataError(message, hint=error.hint) from error


def load_with_arrays(source: ConfigSource, overrides: Overrides, file: Path | None) -> LoadedConfig:
    """Load a config; a file of arrays replaces the data of the config.

    Raises:
        UsageError: If there is a file, but the source is a loaded config.
    """
    if file is None:
        return load_config(source, overrides)
    if isinstance(source, LoadedConfig):
        hint = "pass the file, the name of the preset or the dict instead of the loaded config"
        raise UsageError("data cannot be given with a loaded config", hint=hint)
    settings = {"data.name": "npz", "data.path": escape_path(str(file))}
    if isinstance(overrides, Mapping):
        loaded = load_config(source, {**overrides, **settings})
    else:
        loaded = load_config(source, [*overrides, *(f"{key}={render_value(value)}" for key, value in settings.items())])
    return replace(loaded, places={**loaded.places, ("data", "name"): _GIVEN, ("data", "path"): _GIVEN})


def _as_arrays(data: ArrayData) -> dict[str, Any]:
    """Return the arrays by their names in an NPZ file."""
    if isinstance(data, Mapping):
        given = dict(data)
    elif isinstance(data, tuple | list) and len(data) == 2:
        given = dict(zip(_NAMES, data, strict=False))
    else:
        raise DataError(f"data must be inputs and targets. Got {type(data).__name__} instead", hint=_HINT)
    if unknown := [name for name in given if name not in _NAMES]:
        raise DataError(f"data has {unknown[0]!r}, which is none of {', '.join(_NAMES)}", hint=_HINT)
    if missing := [name for name in _NAMES[:2] if given.get(name) is None]:
        raise DataError(f"data has no {missing[0]}", hint=_HINT)
    columns = getattr(given["inputs"], "columns", None)  # only a data frame has columns
    if columns is not None and given.get(FEATURE_NAMES) is None:
        given[FEATURE_NAMES] = [str(name) for name in columns]
    arrays = {name: _as_array(name, value) for name, value in given.items() if value is not None}
    return {**arrays, "inputs": _as_pictures(arrays["inputs"])}


def _as_array(name: str, value: Any) -> np.ndarray:
    """Return an array of numbers or texts.

    Raises:
        DataError: If the value is no array, or holds other objects.
    """
    if hasattr(value, "detach"):  # a torch tensor, which may be on another device or require a gradient
        value = value.detach().cpu()
        # NumPy has no bfloat16.
        value = value.float() if value.is_floating_point() and value.element_size() < 4 else value
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"data: {name} is no array: {error}", hint=_HINT) from error
    if array.dtype == object:  # for example from pandas
        array = _without_objects(array)
    if array.dtype.kind not in "biufU":
        message = f"data: {name} holds {_describe(array)} instead of numbers{'' if name == 'inputs' else ' or texts'}"
        raise DataError(message, hint="convert it, or save a table with categories as CSV and use `data.name=csv`")
    return array


def _without_objects(array: np.ndarray) -> np.ndarray:
    """Return an array of Python strings or numbers as an array of their type; other arrays are returned unchanged."""
    if all(isinstance(item, str) for item in array.flat):
        return array.astype(str)
    if all(isinstance(item, Real | np.bool_) for item in array.flat):  # a data frame with columns of several types
        return array.astype(np.float64)
    return array


def _describe(array: np.ndarray) -> str:
    return "Python objects" if array.dtype == object else str(array.dtype)


def _as_pictures(inputs: np.ndarray) -> np.ndarray:
    """Return pictures as bytes with their channels before height and width; other inputs unchanged.

    Raises:
        DataError: If the pixels are neither whole numbers from 0 to 255 nor such numbers divided by 255.
    """
    if inputs.ndim not in (3, 4):
        return inputs
    if inputs.dtype != np.uint8:
        scale = 255 if inputs.dtype.kind == "f" and inputs.size and inputs.max() <= 1 else 1
        pixels = np.rint(inputs * scale)
        if not ((pixels >= 0) & (pixels <= 255)).all() or np.abs(pixels / scale - inputs).max(initial=0) > 1e-6:
            message = f"data: inputs of shape {inputs.shape} are pictures, and have values other than bytes"
            hint = "pass (255 * X).round().astype('uint8') for X from 0 to 1, or features: X.reshape(len(X), -1)"
            raise DataError(message, hint=hint)
        inputs = pixels.astype(np.uint8)
    channels_last = inputs.ndim == 4 and inputs.shape[3] in (1, 3)
    return np.moveaxis(inputs, 3, 1) if channels_last else inputs
