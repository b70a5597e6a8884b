import json
from dataclasses import replace

import pytest
import torch

from storm_core.artifacts import seal
from storm_core.cli import main
from storm_core.errors import InputError
from storm_core.execution import execute
from storm_core.judging import judge as judges
from storm_core.judging.config import SCORE, ScoreConfig
from storm_core.records import Message, read_examples, write_examples
from storm_core.selection.config import SELECT, SelectConfig
from storm_core.verdicts.files import read_verdicts


@pytest.fixture
def prepared(tmp_path, examples):
    """Two shards of examples with a ledger, as prepare leaves them."""
    directory = tmp_path / "examples"
    directory.mkdir()
    write_examples(directory / "shard-00000.parquet", examples[:5])
    write_examples(directory / "shard-00001.parquet", examples[5:])
    ledger = {
        "chat": {"read": 10, "kept": 8, "dropped": {"duplicate": 2}},
        "tools": {"read": 1, "kept": 1, "dropped": {"duplicate": 0}},
    }
    (directory / "ledger.json").write_text(json.dumps({"sources": ledger}))
    seal(directory, "examples", producer={}, inputs={}, metrics={})
    return directory


def score(tiny_llama, prepared, output, **options):
    return execute(
        SCORE,
        ScoreConfig(**{"dtype": "float32", "min_educational_value": 1.0, **options}),
        inputs={"model": [str(tiny_llama)], "examples": [str(prepared)]},
        outputs={"verdicts": output},
        value_files={},
    )


def select(prepared, verdicts, output, **options):
    return execute(
        SELECT,
        SelectConfig(**{"min_educational_value": 1.0, "difficulties": ("easy", "medium", "hard"), **options}),
        inputs={"examples": [str(prepared)], "verdicts": [str(path) for path in verdicts]},
        outputs={"selection": output},
        value_files={},
    )


@pytest.fixture
def scored(tmp_path, tiny_llama, prepared):
    for shard in (0, 1):
        score(tiny_llama, prepared, tmp_path / f"verdicts-{shard}", shard=shard)
    return [tmp_path / "verdicts-0", tmp_path / "verdicts-1"]


def test_score_writes_one_row_an_example_and_rubric(scored, examples):
    verdicts = [verdict for path in scored for verdict in read_verdicts(path / "verdicts.parquet")]
    assert [verdict.id for verdict in verdicts] == [example.id for example in examples for _ in range(2)]
    manifest = json.loads((scored[0] / "manifest.json").read_text())
    assert manifest["kind"] == "verdicts"
    assert manifest["metrics"]["examples"] == 5
    assert verdicts[0].judge_digest == manifest["inputs"]["model"][0]
    assert sum(manifest["metrics"][f"educational_value_label_{label}"] for label in "12345") == 5


def test_score_writes_the_same_bytes_again(tmp_path, tiny_llama, prepared, scored):
    # Elsewhere, so that no verdict is there already.
    again = score(tiny_llama, prepared, tmp_path / "elsewhere" / "again", shard=0)
    assert again.manifests["verdicts"].digest == json.loads((scored[0] / "manifest.json").read_text())["digest"]


def test_rubrics_of_a_user_decide_what_is_asked_and_counted(tmp_path, tiny_llama, prepared):
    rubrics = tmp_path / "rubrics"
    rubrics.mkdir()
    (rubrics / "educational_value.yaml").write_text(
        'name: educational_value\nquestion: "Is it easy or hard?"\nlabels: [easy, hard]\nvalues: [-1, 7.5]\n'
    )
    (rubrics / "difficulty.yaml").write_text('name: difficulty\nquestion: "How?"\nlabels: ["1", "2"]\nvalues: [1, 2]\n')
    arguments = ["score", "--model", str(tiny_llama), "--examples", str(prepared), "--dtype", "float32"]
    arguments += ["--rubrics", str(rubrics), "--min-educational-value", "-1", "--verdicts", str(tmp_path / "own")]
    assert main(arguments) == 0
    verdicts = list(read_verdicts(tmp_path / "own" / "verdicts.parquet"))
    assert {verdict.labels for verdict in verdicts} == {("easy", "hard"), ("1", "2")}
    for verdict in verdicts[::2]:
        easy, hard = verdict.probabilities
        assert verdict.expected_value == pytest.approx(7.5 * hard - easy)
    manifest = json.loads((tmp_path / "own" / "manifest.json").read_text())
    assert len(manifest["inputs"]["rubrics"]) == 1
    assert {f"educational_value_label_{label}" for label in ("easy", "hard")} < manifest["metrics"].keys()


def test_examples_are_selected_by_the_labels_and_values_of_a_users_rubrics(tmp_path, tiny_llama, prepared, examples):
    rubrics = tmp_path / "rubrics"
    rubrics.mkdir()
    (rubrics / "educational_value.yaml").write_text(
        'name: educational_value\nquestion: "Good?"\nlabels: ["yes", "no"]\nvalues: [-3, -4]\n'
    )
    verdicts = [tmp_path / "own-0", tmp_path / "own-1"]
    for shard, output in enumerate(verdicts):
        arguments = ["score", "--model", str(tiny_llama), "--examples", str(prepared), "--dtype", "float32"]
        arguments += ["--rubrics", str(rubrics), "--min-educational-value", "-4", "--shard", str(shard)]
        assert main([*arguments, "--verdicts", str(output)]) == 0
    judged = {v.id: v.label for path in verdicts for v in read_verdicts(path / "verdicts.parquet") if "yes" in v.labels}
    outcome = select(prepared, verdicts, tmp_path / "all", min_educational_value=-4.0)
    assert outcome.metrics["train"] + outcome.metrics["validation"] == len(examples)
    good = sum(label == "yes" for label in judged.values())
    assert select(prepared, verdicts, tmp_path / "good", min_educational_value=-3.0).metrics == {
        **outcome.metrics,
        "kept": good,
        "kept_fraction": good / 11,
        "dropped_low_educational_value": len(examples) - good,
        "train": good - 1,
        "validation": 1,
    }


def test_rubric_that_cannot_work_is_an_error_in_one_line(tmp_path, tiny_llama, prepared, capsys):
    (tmp_path / "rubrics").mkdir()
    (tmp_path / "rubrics" / "difficulty.yaml").write_text("name: difficulty\n")
    arguments = ["score", "--model", str(tiny_llama), "--examples", str(prepared), "--verdicts", str(tmp_path / "out")]
    assert main([*arguments, "--rubrics", str(tmp_path / "rubrics")]) == 1
    assert "storm score: error: difficulty.yaml must hold exactly the fields" in capsys.readouterr().err


def test_shard_that_is_no_parquet_file_is_refused(tmp_path, tiny_llama, prepared):
    content = (prepared / "shard-00000.parquet").read_bytes()
    for garbage in (b"", b"PAR1", content[: len(content) // 2]):
        (prepared / "shard-00000.parquet").write_bytes(garbage)
        seal(prepared, "examples", producer={}, inputs={}, metrics={})
        with pytest.raises(InputError, match=r"shard-00000\.parquet is not a Parquet file of examples"):
            score(tiny_llama, prepared, tmp_path / "none")


def test_score_of_a_shard_that_is_not_there_is_refused(tmp_path, tiny_llama, prepared):
    with pytest.raises(InputError, match=r"no shard-00002\.parquet"):
        score(tiny_llama, prepared, tmp_path / "none", shard=2)
    assert not (tmp_path / "none").exists()


def test_select_keeps_every_row_somewhere(tmp_path, prepared, scored, examples):
    outcome = select(prepared, scored, tmp_path / "selection", validation_fraction=0.2)
    train = list(read_examples(tmp_path / "selection" / "train.parquet"))
    validation = list(read_examples(tmp_path / "selection" / "validation.parquet"))
    assert len(validation) == 2
    assert sorted(example.id for example in [*train, *validation]) == sorted(example.id for example in examples)
    assert {example.id: example for example in [*train, *validation]} == {example.id: example for example in examples}
    funnel = json.loads((tmp_path / "selection" / "funnel.json").read_text())
    assert funnel["total"] == {
        "read": 11,
        "dropped": {"duplicate": 2, "no_answer": 0, "low_educational_value": 0, "too_easy": 0},
        "train": 7,
        "validation": 2,
    }
    assert outcome.metrics["kept_fraction"] == pytest.approx(9 / 11)


def test_select_takes_shards_of_verdicts_in_any_order(tmp_path, prepared, scored):
    one = select(prepared, scored, tmp_path / "one")
    other = select(prepared, scored[::-1], tmp_path / "other")
    assert one.manifests["selection"].digest == other.manifests["selection"].digest


def test_empty_selection_is_refused_with_counts_and_thresholds(tmp_path, prepared, scored):
    with pytest.raises(
        InputError, match=r"of 11 read; dropped: duplicate 2, .*min_educational_value 5.* by expected_value"
    ):
        select(
            prepared,
            scored,
            tmp_path / "selection",
            min_educational_value=5.0,
            educational_value_by="expected_value",
        )
    assert not (tmp_path / "selection").exists()


def test_select_without_every_shard_is_refused(tmp_path, prepared, scored):
    with pytest.raises(InputError, match="4 examples have no educational value verdict"):
        select(prepared, scored[:1], tmp_path / "selection")


def test_select_with_verdicts_of_two_judges_is_refused(tmp_path, prepared, scored, other_tiny_llama):
    score(other_tiny_llama, prepared, tmp_path / "other", shard=1)
    with pytest.raises(InputError, match="another judge than those before"):
        select(prepared, [scored[0], tmp_path / "other"], tmp_path / "selection")


@pytest.mark.parametrize("options", [{"max_length": 64}, {"dtype": "bfloat16"}])
def test_select_with_shards_that_were_scored_in_different_ways_is_refused(
    tmp_path, tiny_llama, prepared, scored, options
):
    score(tiny_llama, prepared, tmp_path / "otherwise", shard=1, **options)
    (name,) = options
    with pytest.raises(InputError, match=f"the verdicts were made with {name} .* and .*; score all shards alike"):
        select(prepared, [scored[0], tmp_path / "otherwise"], tmp_path / "selection")


def test_settings_are_compared_by_what_they_came_to(tmp_path, tiny_llama, prepared, scored, monkeypatch):
    for name, automatic in (("same", torch.float32), ("other", torch.bfloat16)):
        with monkeypatch.context() as patch:
            patch.setattr(judges, "resolve_dtype", {"auto": automatic, "float32": torch.float32}.__getitem__)
            score(tiny_llama, prepared, tmp_path / name, shard=1, dtype="auto")
    select(prepared, [scored[0], tmp_path / "same"], tmp_path / "selection")
    with pytest.raises(InputError, match=r"made with dtype torch.bfloat16 and torch.float32; score all shards alike"):
        select(prepared, [scored[0], tmp_path / "other"], tmp_path / "mixed")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda example: replace(example, id="0" * 64), "the id '0000.*' is not that of the messages"),
        (lambda example: replace(example, messages=(Message(role="alien", content="Hi"),)), "has role 'alien'"),
        (lambda example: replace(example, messages=()), "no messages"),
    ],
)
def test_shard_whose_rows_are_no_examples_is_refused_by_row(tmp_path, tiny_llama, examples, change, message):
    directory = tmp_path / "made"
    directory.mkdir()
    write_examples(directory / "shard-00000.parquet", [examples[0], change(examples[1])])
    seal(directory, "examples", producer={}, inputs={}, metrics={})
    with pytest.raises(InputError, match=rf"shard-00000\.parquet, row 1: .*{message}"):
        score(tiny_llama, directory, tmp_path / "verdicts")


def test_verdicts_without_settings_are_refused(tmp_path, prepared, scored):
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "verdicts.parquet").write_bytes((scored[1] / "verdicts.parquet").read_bytes())
    seal(copy, "verdicts", producer={}, inputs={}, metrics={})
    with pytest.raises(InputError, match=r"settings\.json"):
        select(prepared, [scored[0], copy], tmp_path / "selection")


def test_rows_are_written_in_the_same_order_however_small_the_partitions(tmp_path, prepared, scored, monkeypatch):
    select(prepared, scored, tmp_path / "one")
    monkeypatch.setattr("storm_core.examples.order._PARTITION_ROWS", 2)
    monkeypatch.setattr("storm_core.selection.stage.BATCH_ROWS", 3)
    select(prepared, scored, tmp_path / "other")
    for name in ("train.parquet", "validation.parquet"):
        assert list(read_examples(tmp_path / "one" / name)) == list(read_examples(tmp_path / "other" / name))
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == [
        "funnel.json",
        "manifest.json",
        "train.parquet",
        "validation.parquet",
    ]


def test_ledger_that_counts_other_examples_than_the_shards_hold_is_refused(tmp_path, prepared, scored, examples):
    write_examples(prepared / "shard-00001.parquet", examples[5:-1])
    seal(prepared, "examples", producer={}, inputs={}, metrics={})
    with pytest.raises(InputError, match="chat kept 8 rows, but the shards hold 7 of it"):
        select(prepared, scored, tmp_path / "selection")


def test_each_source_keeps_no_more_than_its_cap(tmp_path, prepared, scored):
    metrics = select(prepared, scored, tmp_path / "selection", max_per_source=3, validation_fraction=0.0).metrics
    assert (metrics["kept"], metrics["dropped_over_source_cap"], metrics["validation"]) == (4, 5, 0)
    assert not list(read_examples(tmp_path / "selection" / "validation.parquet"))


def test_same_example_in_two_shards_is_refused(tmp_path, prepared, scored, examples):
    write_examples(prepared / "shard-00001.parquet", [*examples[5:], examples[0]])
    seal(prepared, "examples", producer={}, inputs={}, metrics={})
    with pytest.raises(InputError, match="twice"):
        select(prepared, scored, tmp_path / "selection")


def test_both_stages_run_from_the_command_line(tmp_path, tiny_llama, prepared, capsys):
    references = []
    for shard in ("0", "1"):
        output, value = tmp_path / f"cli-{shard}", tmp_path / f"reference-{shard}"
        arguments = ["score", "--model", str(tiny_llama), "--examples", str(prepared), "--shard", shard]
        arguments += ["--min-educational-value", "1", "--dtype", "float32", "--verdicts", str(output)]
        assert main([*arguments, "--verdicts-reference", str(value)]) == 0
        references.append(value.read_text())
    arguments = ["select", "--examples", str(prepared), "--verdicts", json.dumps(references)]
    arguments += ["--min-educational-value", "1", "--selection", str(tmp_path / "selection")]
    assert main([*arguments, "--difficulties", '["easy", "medium", "hard"]']) == 0
    assert main([*arguments, "--difficulties", '["tricky"]']) == 1
    assert (
        "difficulties must be among the labels of the verdicts, easy, medium, hard; got tricky"
        in capsys.readouterr().err
    )
