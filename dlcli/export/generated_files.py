"""Generated texts beside an exported model: README with an example, and the NumPy program."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from torch import nn

from dlcli.errors import one_line
from dlcli.export.module import RawModel
from dlcli.export.signature import MODEL_FILES, NUMBERS, SIGNATURE, TEXTS, Signature
from dlcli.model import Heaviside
from dlcli.task.classification import LEAST_OUTPUT

README, READER = "README.md", "predict.py"
_PACKAGES = {
    "onnx": "onnxruntime and NumPy",
    "torch": f"torch (it was written by {version('torch')})",
    "safetensors": "NumPy and safetensors",
}
# Activations as expressions of z that do not overflow.
_SIGMOID = "np.exp(-np.logaddexp(0, -z))"
NUMPY_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.Sigmoid: _SIGMOID,
    Heaviside: "(z > 0).astype(np.float64)",
    nn.Identity: "z",
    nn.ReLU: "np.maximum(z, 0)",
    nn.LeakyReLU: f"np.where(z > 0, z, z * {nn.LeakyReLU().negative_slope})",
    nn.Tanh: "np.tanh(z)",
    nn.GELU: "z * (1 + np.vectorize(math.erf)(z / 2**0.5)) / 2",
    nn.SiLU: f"z * {_SIGMOID}",
    nn.Softplus: "np.logaddexp(0, z)",
}


def write_reader(model: RawModel, head: str) -> str:
    """Return a Python program that predicts with NumPy from the safetensors file.

    Args:
        model: The model.
        head: `softmax` or `l1` for probabilities, `values` for regression.
    """
    layers = [*model.model]
    *hidden, last = (number for number, layer in enumerate(layers) if isinstance(layer, nn.Linear))
    norm = next((layer for layer in layers if isinstance(layer, nn.BatchNorm1d)), None)
    activation = next((text for layer in layers if (text := NUMPY_ACTIVATIONS.get(type(layer)))), "")
    return _render(
        "predict.py.j2",
        has_columns=model.encoder is not None,
        hidden=hidden,
        last=last,
        epsilon=None if norm is None else norm.eps,
        activation=activation,
        dtype=str(model.dtype).removeprefix("torch."),
        head=head,
        least=LEAST_OUTPUT,
        model_file=MODEL_FILES["safetensors"],
        signature_file=SIGNATURE,
    )


def write_readme(signature: Signature, result: np.ndarray) -> str:
    """Return the content of README.md.

    Args:
        signature: Signature of the model.
        result: Prediction for `signature.example`.
    """
    info, content = signature.predictor.info, signature.to_dict()
    numbers = " ".join(f"{value:.4g}" for value in result.tolist())
    label = f"{one_line(info.class_names[int(result.argmax())])} " if info.class_names else ""
    digests = {f"SHA-256 of {name}": digest for name, digest in content["data"]["sha256"].items()}
    names = {
        **content,
        "classes": info.class_names,
        "in_features": info.in_features,
        "image_shape": info.image_shape,
        "has_columns_as_inputs": signature.has_columns_as_inputs,
        "has_matrices": signature.has_matrices,
        "matrices": _matrices(signature) if signature.has_matrices else {},
        "values": [*signature.example_columns()] if signature.columns else [],
        "prediction": "probabilities" if info.class_names else "output",
        "packages": _PACKAGES[signature.format],
        "model_file": MODEL_FILES[signature.format],
        "signature_file": SIGNATURE,
        "result": f"{label}[{numbers}]",
        "origin": {**content["run"], "data": content["data"]["name"], **digests},
    }
    return _render("README.md.j2", **names, example=_render("example.py.j2", **names).rstrip())


def _matrices(signature: Signature) -> dict[str, list[str | float]]:
    """Return the values of the example in the matrices of numbers and of texts; empty matrices are left out."""
    matrices: dict[str, list[str | float]] = {NUMBERS: [], TEXTS: []}
    for _, value in signature.example_columns():
        matrices[TEXTS if isinstance(value, str) else NUMBERS].append(value)
    return {name: row for name, row in matrices.items() if row}


def _render(template: str, **names: Any) -> str:
    return _environment().get_template(template).render(**names)


@cache
def _environment() -> Environment:
    environment = Environment(  # noqa: S701  # no HTML
        loader=PackageLoader("dlcli.export"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"code": _code, "line": lambda value: one_line(str(value)), "listing": _listing}
    environment.filters |= {"column_listing": _column_listing, "python": repr}
    return environment


def _code(text: str) -> str:
    """Return text as code in Markdown; the text may contain backticks."""
    text = one_line(text)
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def _listing(values: Sequence[Mapping[str, Any]]) -> str:
    """Return names, data types and shapes as lines."""
    return _lines(
        [(value["name"], f"{value['dtype']:<7}", f"({', '.join(map(str, value['shape']))})") for value in values]
    )


def _column_listing(columns: Sequence[Mapping[str, Any]]) -> str:
    """Return names, data types and kinds of columns as lines."""
    rows = []
    for column in columns:
        texts = f" of {len(column['codes'])} texts" if "codes" in column else ""
        rows.append((column["name"], "text   " if texts else "float64", column["kind"] + texts))
    return _lines(rows)


def _lines(rows: Sequence[tuple[str, ...]]) -> str:
    names = [one_line(name) for name, *_ in rows]
    width = max(map(len, names))
    return "\n".join("  ".join([f"{name:<{width}}", *rest]) for name, (_, *rest) in zip(names, rows, strict=True))
