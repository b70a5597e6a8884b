"""Which weight matrices of a model to train: the scan, and the list that axolotl and Spectrum read.

.venv/bin/python examples/scan_model.py runs/smollm2 --yaml unfrozen_parameters.yaml
"""

import argparse
from pathlib import Path

import storm_core as storm


def main() -> None:
    """Print what is trained of each type and the matrices of the clearest signal; write the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a checkpoint directory or a URI")
    parser.add_argument("--unfrozen-percent", type=float, default=25.0, help="share of each type to train")
    parser.add_argument("--yaml", type=Path, help="file for the list of parameters to train")
    given = parser.parse_args()
    scan = storm.scan(given.model, unfrozen_percent=given.unfrozen_percent)
    print(scan)
    scanned = [matrix for matrix in scan.matrices if matrix.layer is not None]
    print("The clearest signal:")
    for matrix in sorted(scanned, key=lambda matrix: matrix.snr, reverse=True)[:5]:
        print(f"  {matrix.module}  {matrix.snr:.4g}")
    if given.yaml:
        given.yaml.write_text(scan.unfrozen_parameters, encoding="utf-8")


if __name__ == "__main__":
    main()
