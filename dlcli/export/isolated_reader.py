"""Script that predicts with an exported model in a process that cannot import dlcli.

    python -I -S isolated_reader.py FOLDER SCRATCH PATH

FOLDER contains the exported model. SCRATCH contains raw.npy with raw values, and predictions.npz is written to it. PATH
is the import path as JSON. This file does not import dlcli; it imports only packages that the format needs.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SIZES = (1, 7)  # sizes of the first batches; the last batch has the remaining examples


def main(folder: Path, scratch: Path, import_path: list[str]) -> None:
    """Predict with the model in `folder`, run the README example, and write both predictions to `scratch`."""
    sys.path[:] = import_path
    sys.modules["dlcli"] = None  # type: ignore[assignment]  # every import of dlcli fails
    import numpy as np

    signature = json.loads((folder / "signature.json").read_text("utf-8"))
    raw = np.load(scratch / "raw.npy")
    predict = {"onnx": _read_onnx, "torch": _read_torch, "safetensors": _read_numpy}[signature["format"]]
    predict_batch = predict(folder / signature["file"], signature)
    ends = [0, *(end for end in np.cumsum(_SIZES).tolist() if end < len(raw)), len(raw)]
    batches = [predict_batch(raw[start:end]) for start, end in itertools.pairwise(ends)]
    results: dict[str, Any] = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    example = _run_example((folder / "README.md").read_text("utf-8"))
    np.savez(scratch / "predictions.npz", **{**results, "example": example})


def _read_onnx(file: Path, signature: dict[str, Any]) -> Callable[[Any], dict[str, Any]]:
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    names, columns = [value["name"] for value in signature["inputs"]], signature["columns"]

    def predict(raw: Any) -> dict[str, Any]:
        inputs = {names[0]: raw}
        if columns:
            values = _as_users_give(raw, columns)
            numbers = [values[i] for i, column in enumerate(columns) if "codes" not in column]
            texts = [values[i] for i, column in enumerate(columns) if "codes" in column]
            given = values if len(names) == len(columns) else [np.array(part).T for part in (numbers, texts) if part]
            inputs = dict(zip(names, given, strict=True))
        results = session.run(None, inputs)
        return {"predictions": results[0], **({"label": np.array(results[1], dtype=str)} if results[1:] else {})}

    return predict


def _as_users_give(raw: Any, columns: list[dict[str, Any]]) -> list[Any]:
    """Return raw values as numbers and texts, one array per column: "" for the code NaN, and a new text for -1."""
    import numpy as np

    values = []
    for column, numbers in zip(columns, raw.T, strict=True):
        codes = column.get("codes")
        if codes is not None:
            new = "new"
            while new in codes:
                new += "?"
            texts = [*codes, "", new]  # the code -1 selects the last text
            places = np.where(np.isnan(numbers), len(codes), numbers).astype(int)
            numbers = np.array([texts[place] for place in places], dtype=object)
        values.append(numbers)
    return values


def _read_torch(file: Path, _signature: dict[str, Any]) -> Callable[[Any], dict[str, Any]]:
    import torch

    model = torch.export.load(file).module()
    return lambda raw: {"predictions": model(torch.from_numpy(raw)).numpy()}


def _read_numpy(file: Path, signature: dict[str, Any]) -> Callable[[Any], dict[str, Any]]:
    predict = runpy.run_path(str(file.parent / "predict.py"))["predict"]
    columns = signature["columns"]
    names = [column["name"] for column in columns]

    def predict_batch(raw: Any) -> dict[str, Any]:
        return {"predictions": predict(dict(zip(names, _as_users_give(raw, columns), strict=True)) if columns else raw)}

    return predict_batch


def _run_example(readme: str) -> Any:
    """Run the example of a README, without its output, and return its predictions."""
    match = re.search(r"^```python\n(.*?)^```$", readme, flags=re.DOTALL | re.MULTILINE)
    assert match is not None, "the README has an example"
    values: dict[str, Any] = {}
    exec(compile(match[1], "README.md", "exec"), values)  # noqa: S102  # dlcli has just written it
    return values["probabilities" if "probabilities" in values else "output"]


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute(), json.loads(sys.argv[3]))
