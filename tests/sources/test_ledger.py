from pathlib import Path

import pyarrow.parquet as pq
import pytest

from storm_core.sources.ledger import Ledger


def test_text_that_no_file_can_hold_is_spelt_out_in_both_files(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.drop("chat", "a\udcff.jsonl:1", "malformed", "unknown tool '\ud83d'")
        ledger.overlap(
            "id", "chat", "b\udcff.jsonl:1", "held_out_tool", matched="x", matched_place="y", evidence="\ud83d"
        )
    (rejected,) = pq.read_table(tmp_path / "rejected.parquet").to_pylist()
    assert (rejected["place"], rejected["reason"]) == (r"a\udcff.jsonl:1", r"malformed: unknown tool '\ud83d'")
    (overlap,) = pq.read_table(tmp_path / "overlaps.parquet").to_pylist()
    assert (overlap["place"], overlap["evidence"]) == (r"b\udcff.jsonl:1", r"\ud83d")


def test_shards_that_hold_another_number_than_the_account_says_are_an_error(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        for _ in range(3):
            ledger.count_read("chat")
        ledger.drop("chat", "a:1", "malformed")
        for written in ({}, {"chat": 1}, {"chat": 3}):
            with pytest.raises(ValueError, match=rf"chat: the shards hold {written.get('chat', 0)} examples"):
                ledger.write(written, {}, {})
        ledger.write({"chat": 2}, {}, {})
    assert (tmp_path / "ledger.json").is_file()
