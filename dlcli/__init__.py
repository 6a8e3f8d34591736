"""Train neural networks for regression and classification from a YAML file.

In a notebook::

    import dlcli

    result = dlcli.train(dlcli.load_config("digits", ["training.epochs=5"]))
    dlcli.evaluate(result.run).metrics["accuracy"]

Importing dlcli is cheap; torch is imported when the first of these is used.
"""

# Nothing may be imported here: under `python -m dlcli` it would come from the working folder, see __main__.
TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from dlcli.api import diagnose, draw, evaluate, explain, gradcheck, plan, predict, resume, train, verify
    from dlcli.config.load import load_config

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "diagnose",
    "draw",
    "evaluate",
    "explain",
    "gradcheck",
    "load_config",
    "plan",
    "predict",
    "resume",
    "train",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'dlcli' has no attribute {name!r}")
    from dlcli import openmp

    with openmp.waiting_set():
        from dlcli import api

        return getattr(api, name)
