"""ONNX files: the inputs are texts and numbers as in the data file, the outputs probabilities and class names.

torch converts encoding, scaling, model and head. Because torch has no tensors of text, LabelEncoder, an operator of the
machine learning domain of ONNX, encodes texts before this part and looks up class names after it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from dlcli.data.encoding import UNKNOWN, ColumnInfo
from dlcli.errors import UsageError
from dlcli.export.module import RawModel
from dlcli.export.signature import NUMBERS, TEXTS, Signature, is_text
from dlcli.runs.files import to_json

if TYPE_CHECKING:
    import onnx

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_ML = "ai.onnx.ml"
_ML_VERSION = 3
_OPSET = 20  # the first version with Gelu; ONNX Runtime 1.17 and newer support it
_MOST_BYTES = 2**31 - 2**24  # of parameters; the rest of protobuf's limit of 2 GiB is for everything else
# Operators of activations that ONNX Runtime implements for float32 only.
_FLOAT32_ONLY = {"Gelu", "LeakyRelu", "Softplus"}


def check_packages() -> None:
    """Check that the packages for writing and checking ONNX files are installed.

    Raises:
        UsageError: If a package is missing.
    """
    if missing := [name for name in _PACKAGES if importlib.util.find_spec(name) is None]:
        hint = f"install them with `pip install {' '.join(_PACKAGES)}`, or use --format torch or safetensors"
        raise UsageError(f"--format onnx needs packages that are not installed: {', '.join(missing)}", hint=hint)


def to_onnx(model: RawModel, signature: Signature) -> bytes:
    """Return the content of an ONNX file.

    Raises:
        UsageError: If the model is too large for the format, or a column has no name.
    """
    from onnx import helper

    if sum(tensor.nbytes for tensor in model.state_dict().values()) > _MOST_BYTES:
        raise UsageError("the model is too large for an ONNX file of at most 2 GiB", hint="use --format torch")
    if any(not value["name"] for value in signature.inputs):
        hint = "name the column in the data and train again, or use --format torch or safetensors"
        raise UsageError("a column of the model has no name, which an input of an ONNX file needs", hint=hint)
    names = _Names(signature)
    converted = _convert(model, signature)
    middle = converted.graph
    _rename(middle, names)
    if model.dtype == torch.float64:
        _compute_in_float32(middle, names)
    join = _join_matrices if signature.has_matrices else _join_columns
    before = join(signature.columns, names) if signature.columns else ()
    after = _name_classes(signature, names) if signature.predictor.info.class_names else ()
    graph = helper.make_graph(
        [*before, *middle.node, *after],
        "model",
        [_value_info(value) for value in signature.inputs],
        [_value_info(value) for value in signature.outputs],
        [*middle.initializer],
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_ML, _ML_VERSION)]
    content = signature.to_dict()
    result = helper.make_model(
        graph,
        opset_imports=opsets,
        ir_version=converted.ir_version,
        producer_name="dlcli",
        producer_version=content["versions"]["dlcli"],
    )
    helper.set_model_props(result, {name: _as_text(value) for name, value in content.items()})
    return result.SerializeToString(deterministic=True)  # type: ignore[no-any-return]


class _Names:
    """Names of the values inside the graph, different from the names of inputs and outputs.

    Attributes:
        raw: Input of the part that torch converts.
        predictions: Output of this part.
    """

    def __init__(self, signature: Signature) -> None:
        self._prefix = "dlcli/"
        given = [value["name"] for value in (*signature.inputs, *signature.outputs)]
        while any(name.startswith(self._prefix) for name in given):
            self._prefix = f"_{self._prefix}"
        self.raw = self.inner("raw") if signature.columns else given[0]
        self.predictions = signature.outputs[0]["name"]

    def inner(self, name: str) -> str:
        """Return the name with the prefix of values inside the graph."""
        return self._prefix + name


def _convert(model: RawModel, signature: Signature) -> onnx.ModelProto:
    """Return encoding, scaling, model and head as ONNX, with the input `raw` and the output `predictions`."""
    program = torch.onnx.export(
        model.trace(torch.from_numpy(signature.example)),
        dynamo=True,
        opset_version=_OPSET,
        verbose=False,
        input_names=["raw"],
        output_names=["predictions"],
    )
    assert program is not None
    return program.model_proto


def _rename(graph: onnx.GraphProto, names: _Names) -> None:
    """Rename the values of a converted graph, and remove descriptions, which contain paths of this machine."""
    ends = {"raw": names.raw, "predictions": names.predictions, "": ""}  # "" is an omitted input
    for number, node in enumerate(graph.node):
        for values in (node.input, node.output):
            values[:] = [ends.get(value, names.inner(value)) for value in values]
        node.name = names.inner(str(number))
        del node.metadata_props[:]
        node.doc_string = ""
    for tensor in graph.initializer:
        tensor.name = names.inner(tensor.name)
        del tensor.metadata_props[:]


def _compute_in_float32(graph: onnx.GraphProto, names: _Names) -> None:
    """Put casts around operators that ONNX Runtime does not implement for float64."""
    from onnx import TensorProto, helper

    nodes = []
    for node in graph.node:
        if node.op_type not in _FLOAT32_ONLY:
            nodes.append(node)
            continue
        (source,), (target,) = node.input, node.output
        node.input[0], node.output[0] = names.inner(f"{target}/in"), names.inner(f"{target}/out")
        before = helper.make_node("Cast", [source], [node.input[0]], to=TensorProto.FLOAT)
        after = helper.make_node("Cast", [node.output[0]], [target], to=TensorProto.DOUBLE)
        nodes += [before, node, after]
    del graph.node[:]
    graph.node.extend(nodes)


def _join_columns(columns: Sequence[ColumnInfo], names: _Names) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that build the raw values (see `RawModel.forward`) from one input per column."""
    from onnx import helper

    axis, parts = names.inner("axis"), []
    yield helper.make_node("Constant", [], [axis], value_ints=[1])
    for number, column in enumerate(columns):
        values = column.name
        if is_text(column):
            values = names.inner(f"codes{number}")
            yield from _encode_texts(column, column.name, values)
        parts.append(names.inner(f"column{number}"))
        yield helper.make_node("Unsqueeze", [values, axis], [parts[-1]])
    yield helper.make_node("Concat", parts, [names.raw], axis=1)


def _join_matrices(columns: Sequence[ColumnInfo], names: _Names) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that build the raw values (see `RawModel.forward`) from matrices of numbers and of texts."""
    from onnx import helper

    numbers, texts = ([i for i, column in enumerate(columns) if is_text(column) == kind] for kind in (False, True))
    parts = [NUMBERS] if numbers else []
    for place, number in enumerate(texts):
        index, column = names.inner(f"index{number}"), names.inner(f"column{number}")
        yield helper.make_node("Constant", [], [index], value_ints=[place])
        yield helper.make_node("Gather", [TEXTS, index], [column], axis=1)
        parts.append(names.inner(f"codes{number}"))
        yield from _encode_texts(columns[number], column, parts[-1])
    joined, order = names.inner("joined"), names.inner("order")
    places = {number: place for place, number in enumerate([*numbers, *texts])}
    yield helper.make_node("Concat", parts, [joined], axis=1)
    yield helper.make_node("Constant", [], [order], value_ints=[places[number] for number in range(len(columns))])
    yield helper.make_node("Gather", [joined, order], [names.raw], axis=1)


def _encode_texts(column: ColumnInfo, texts: str, codes: str) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that turn texts into codes: NaN for "", and `UNKNOWN` for a text that is not a category."""
    from onnx import TensorProto, helper

    floats = f"{codes}/float32"  # exact up to 2**24; ONNX Runtime has no LabelEncoder from text to float64
    yield helper.make_node(
        "LabelEncoder",
        [texts],
        [floats],
        domain=_ML,
        keys_strings=[*column.categories, ""],
        values_floats=[*map(float, range(len(column.categories))), float("nan")],
        default_float=UNKNOWN,
    )
    yield helper.make_node("Cast", [floats], [codes], to=TensorProto.DOUBLE)


def _name_classes(signature: Signature, names: _Names) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that look up the name of the most probable class."""
    from onnx import helper

    probabilities, label = (value["name"] for value in signature.outputs)
    classes = signature.predictor.info.class_names
    yield helper.make_node("ArgMax", [probabilities], [names.inner("argmax")], axis=1, keepdims=0)
    yield helper.make_node(
        "LabelEncoder",
        [names.inner("argmax")],
        [label],
        domain=_ML,
        keys_int64s=[*range(len(classes))],
        values_strings=[*classes],
    )


def _value_info(value: dict[str, Any]) -> onnx.ValueInfoProto:
    from onnx import TensorProto, helper

    types = {"float64": TensorProto.DOUBLE, "text": TensorProto.STRING, "uint8": TensorProto.UINT8}
    return helper.make_tensor_value_info(value["name"], types[value["dtype"]], value["shape"])


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value)
