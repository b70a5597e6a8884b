import json
from pathlib import Path

import pytest

from storm_core.artifacts import open_directory, seal
from storm_core.errors import InputError
from storm_core.sources.evaluation_sets import evaluation_sources
from storm_core.sources.references import Source

SUITE = {
    "dtype": "float32",
    "seeds": {"sample": 0, "random": 0, "numpy": 0, "torch": 0, "fewshot": 0},
    "benchmarks": [
        {
            "name": "calls",
            "title": "Calls",
            "kind": "function_calling",
            "path": "bfcl",
            "categories": ["multiple"],
            "guidelines": False,
            "batch_size": 1,
            "max_new_tokens": 8,
        }
    ],
}


def test_suite_that_lies_in_the_data_is_read(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(json.dumps(SUITE))
    (source,) = evaluation_sources((), ("./own.yaml",), open_directory(tmp_path))
    assert source == Source(name="own:calls", adapter="bfcl", path="bfcl#multiple", is_evaluation=True)


def test_suite_that_the_manifest_does_not_list_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "chat.jsonl").write_text("{}\n")
    seal(tmp_path, "data", producer={}, inputs={}, metrics={})
    (tmp_path / "own.yaml").write_text(json.dumps(SUITE))
    with pytest.raises(InputError, match=r"no own\.yaml in the data artifact"):
        evaluation_sources((), ("own.yaml",), open_directory(tmp_path))
    assert evaluation_sources((), ("smoke",), open_directory(tmp_path))
