"""Quantize a model to FP8, and say what that saves and costs, with all linear modules in FP8 and with some left out.

.venv/bin/python examples/quantize_model.py runs/smollm2 runs/fp8 --keep 're:.*down_proj'
"""

import argparse
from pathlib import Path

import storm_core as storm


def main() -> None:
    """Write the quantized model, or two of them, and print size and error of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a checkpoint directory or a URI")
    parser.add_argument("output", type=Path, help="directory for the quantized models")
    parser.add_argument("--keep", help="linear modules that a second model keeps in their precision: a name, or re:...")
    given = parser.parse_args()
    models = {"all in FP8": storm.quantize(given.model, given.output / "all")}
    if given.keep:
        ignore = ("lm_head", given.keep)
        models[f"all but {given.keep}"] = storm.quantize(given.model, given.output / "some", ignore=ignore)
    for name, model in models.items():
        metrics = model.metrics
        size = metrics["written_bytes"] / metrics["source_bytes"]
        print(f"{name}: {size:.1%} of the bytes, weights off by {metrics['relative_error']:.2%}, in {model.path}")


if __name__ == "__main__":
    main()
