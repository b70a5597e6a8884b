"""What `benchmarks/training.py` makes of its contenders' figures."""

import pytest
from training import Contender, Figures, table

PADDED, PACKED = (Contender(trainer="storm", scan="Spectrum-50", is_packed=packed) for packed in (False, True))
MADE: Figures = {"tokens": 8192, "flops": {"Spectrum-50": [4e14, 5e14]}}


def run(seconds: float, device: str) -> Figures:
    return {"seconds": seconds, "processor_seconds": 1.0, "steps": 2, "peak_bytes": 7e9, "device": device}


def row(lines: list[str], contender: Contender) -> list[str]:
    (line,) = [line for line in lines if line.startswith(f"| {contender.name} |")]
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_median_of_the_runs_and_the_share_of_the_devices_peak_are_shown() -> None:
    runs = {PADDED: [run(seconds, "NVIDIA H200") for seconds in (1.0, 9.0, 2.0)]}
    lines = list(table(runs, MADE))
    assert row(lines, PADDED) == ["1.00", "0.50", "4096", "7000", "20.2%", "25.3%"]


@pytest.mark.parametrize("device", ["CPU", "NVIDIA A10G"])
def test_without_a_known_peak_no_share_of_it_is_measured(device: str) -> None:
    lines = list(table({PADDED: [run(1.0, device)]}, MADE))
    assert row(lines, PADDED)[4:] == ["not measured", "not measured"]


def test_contender_that_did_not_run_or_ran_out_of_memory_has_no_figures() -> None:
    lines = list(table({PADDED: [{"failed": "out of memory"}], PACKED: []}, MADE))
    assert row(lines, PADDED) == ["out of memory", *["not measured"] * 5]
    assert row(lines, PACKED) == ["not measured"] * 6
