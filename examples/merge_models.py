"""Merge two models at several places on the arc between them, to measure which is the best.

    .venv/bin/python examples/merge_models.py runs/base runs/tuned runs/merges --t 0.25 0.5 0.75

Each merge is a checkpoint in a directory of its own, which vLLM and transformers load; a second run writes only what is
new.
"""

import argparse
from pathlib import Path

import storm_core as storm


def main() -> None:
    """Write the merges and print how far apart the models are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base_model", help="the model at t = 0: a checkpoint directory or a URI")
    parser.add_argument("other_model", help="the model at t = 1")
    parser.add_argument("output", type=Path, help="directory for the merges")
    parser.add_argument("--t", type=float, nargs="+", default=[0.5], help="places on the arc, from 0 to 1")
    given = parser.parse_args()
    merges = [storm.merge(given.base_model, given.other_model, given.output / f"t-{t:g}", t=t) for t in given.t]
    for merged in merges:
        print(f"{merged.path}  digest {merged.digest[:12]}")
    metrics = merges[0].metrics
    print(f"{metrics['tensors_identical']:.0f} of {metrics['tensors']:.0f} tensors are the same in both models")
    print(f"between the others lie up to {metrics['max_angle_degrees']:.2f} degrees")


if __name__ == "__main__":
    main()
