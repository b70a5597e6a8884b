"""Ask a model how good your own examples are for training, and keep the better ones.

    .venv/bin/python examples/score_examples.py runs/smollm2 chat.jsonl --keep 0.5 --output kept.jsonl

The file holds one conversation a line, in any shape that `prepare` reads: messages, ShareGPT, instruction and output.
How far the judge can be trusted is what `storm audit` finds out.
"""

import argparse
import json
from pathlib import Path

import storm_core as storm


def main() -> None:
    """Print the verdicts, and write the share of the lines that has the highest expected educational value."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the judge, an instruct model: a checkpoint directory or a URI")
    parser.add_argument("examples", type=Path, help="JSON Lines")
    parser.add_argument("--keep", type=float, default=0.5, help="share of the examples to keep, from 0 to 1")
    parser.add_argument("--output", type=Path, help="file for the lines to keep, best first")
    given = parser.parse_args()
    rows = [json.loads(line) for line in given.examples.read_text(encoding="utf-8").splitlines() if line.strip()]
    verdicts = storm.score(given.model, rows)
    print(verdicts)
    values = [judged.educational_value.expected_value for judged in verdicts]
    best = sorted(range(len(rows)), key=lambda place: values[place], reverse=True)[: round(given.keep * len(rows))]
    print(f"{len(best)} of {len(rows)} are kept")
    if given.output:
        lines = [json.dumps(rows[place], ensure_ascii=False) for place in best]
        given.output.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
