"""Time of studies whose models are trained together, next to the same studies with the models trained one by one.

    python benchmarks/studies.py [STUDY ...] [--data NAME] [--seeds N] [--rounds N] [--set KEY=VALUE ...]

Each training of a whole study runs in a new process, and its imports and figure are excluded. Both ways must give the
same results. STUDY is a study of the catalogue that compares no times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

STUDIES = ["mse-vs-cross-entropy", "depth", "learning-rate", "initialisation"]
RUN = """
import hashlib, json, sys, time
from dataclasses import replace
from dlcli.lecture.studies.catalogue import find_study
from dlcli.lecture.studies.plan import make_plan
from dlcli.lecture.studies.train import PairedTraining
from dlcli.lecture.studies.trainer import StudyListeners
from dlcli.training.isolation import isolated
name, data, seeds, way, *settings = sys.argv[1:]
settings.append(f"training.together={'auto' if way == 'together' else 'never'}")
plan = make_plan(find_study(name), tuple(settings), data or None, int(seeds))
with isolated():
    start = time.perf_counter()
    results = PairedTraining(plan, StudyListeners()).run()
    seconds = time.perf_counter() - start
trainings = [replace(training, seconds=()) for variant in results.variants for training in variant.trainings]
digest = hashlib.sha256(repr(trainings).encode()).hexdigest()
print(json.dumps({"seconds": seconds, "models": len(trainings), "digest": digest}))
"""


def main() -> None:
    """Run all studies both ways alternately and print a row per study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", metavar="STUDY", default=STUDIES)
    parser.add_argument("--data", default="", help="data source; by default the first of each study")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of all variants")
    options = parser.parse_args()
    print("| study | models | one by one s | least-most | together s | least-most | × |\n|---|---|---|---|---|---|---|")
    for study in options.studies:
        seconds: dict[str, list[float]] = {"one by one": [], "together": []}
        digests, models = set(), 0
        for _ in range(options.rounds):
            for way, values in seconds.items():
                measured = run(study, options.data, str(options.seeds), way, *options.set)
                values.append(measured["seconds"])
                digests.add(measured["digest"])
                models = measured["models"]
        assert len(digests) == 1, f"{study}: the results differ"
        columns = [f"{statistics.median(v):.2f} | {min(v):.2f}-{max(v):.2f}" for v in seconds.values()]
        ratio = statistics.median(seconds["one by one"]) / statistics.median(seconds["together"])
        print(f"| {study} | {models} | {' | '.join(columns)} | {ratio:.2f} |", flush=True)


def run(*arguments: str) -> dict[str, float]:
    """Return the measurements of one study in a new process."""
    done = subprocess.run([sys.executable, "-c", RUN, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    main()
