"""What the judge is asked again, in which batches; and the rewordings that it is asked by."""

from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from storm_core.checkpoints.loading import load_tokenizer
from storm_core.errors import InputError
from storm_core.judge_audit.config import AuditConfig
from storm_core.judge_audit.probes import ask_probes, make_probes
from storm_core.judge_audit.rewordings import load_rewordings, parse_rewordings
from storm_core.judging.judge import Judge
from storm_core.judging.wording.rubrics import load_rubrics

GOOD = 'name: difficulty\nparaphrases: ["How hard?", "How easy?"]\nlisting: "Is it {labels}?"\n'


class Recorded:
    """A judge's engine that notes the batches it reads and the questions it is asked."""

    def __init__(self, engine):
        self.engine, self.pads, self.window, self.room = engine, engine.pads, engine.window, engine.room
        self.batches, self.asked = [], []

    def read(self, contexts):
        self.batches.append([context.ids for context in contexts])
        self.reading = self.engine.read(contexts)
        return self

    def ask(self, question):
        self.asked.append((len(self.batches) - 1, question.rubric.question))
        return self.reading.ask(question)


@pytest.fixture
def probed(tiny_llama, tiny_judge, examples):
    """The engine of a judge after all probes, and their answers; difficulty is asked about four examples only."""
    rubrics = load_rubrics()
    rewordings = load_rewordings(rubrics)
    engine = Recorded(tiny_judge.engine)
    judge = Judge(
        tokenizer=load_tokenizer(tiny_llama),
        rubrics=rubrics,
        digest="j" * 64,
        open_engine=lambda _: engine,
        reworded=[rubric for one in rewordings.values() for rubric in one.rubrics],
    )
    by_id = {example.id: example for example in examples}
    wanted = {"educational_value": sorted(by_id), "difficulty": sorted(by_id)[:4]}
    answers: dict[Any, Any] = {}
    config = AuditConfig(batch_size=4, dtype="float32")
    done = list(ask_probes(judge, make_probes(judge, rewordings), by_id, wanted, config, answers))
    return engine, answers, wanted, done


def test_every_probe_has_an_answer_about_every_example_of_its_rubric(probed):
    _, answers, wanted, done = probed
    names = {"repeated", "shuffled", "paraphrase_1", "paraphrase_2", "forward", "reverse"}
    assert set(answers) == {(rubric, name) for rubric in wanted for name in names}
    for (rubric, _), found in answers.items():
        assert sorted(found) == wanted[rubric]
        assert {verdict.rubric for verdict in found.values()} == {rubric}
    assert sorted(done) == sorted([*wanted["educational_value"], *wanted["educational_value"]])


def test_context_is_read_once_for_all_wordings_and_once_shuffled(probed):
    engine, _, wanted, _ = probed
    read = [ids for batch in engine.batches for ids in batch]
    assert len(read) == 2 * len(wanted["educational_value"])
    assert len(set(read)) == len(wanted["educational_value"])


def test_shuffled_probe_asks_the_recipe_s_wording_alone_in_smaller_batches(probed):
    engine, _, _, _ = probed
    ordered = [batch for batch, question in engine.asked if "How much can a reader learn" in question]
    shuffled = [place for place in range(len(engine.batches)) if place > max(ordered)]
    assert shuffled
    assert all(len(engine.batches[place]) <= 2 for place in shuffled[1:])
    before, after = (
        list(chain.from_iterable(part)) for part in (engine.batches[: shuffled[0]], engine.batches[shuffled[0] :])
    )
    assert before != after
    rubrics = load_rubrics()
    own = {rubrics.educational_value.question, rubrics.difficulty.question}
    assert {question for batch, question in engine.asked if batch in shuffled} == own


def test_recipe_s_rewordings_list_the_labels_both_ways():
    rubrics = load_rubrics()
    found = load_rewordings(rubrics)
    assert set(found) == {"educational_value", "difficulty"}
    assert "easy, medium or hard" in found["difficulty"].forward.question
    assert "hard, medium or easy" in found["difficulty"].reverse.question
    assert "5, 4, 3, 2 or 1" in found["educational_value"].reverse.question
    for name, one in found.items():
        rubric = getattr(rubrics, name)
        for reworded in one.rubrics:
            assert (reworded.labels, reworded.values, reworded.sha256) == (rubric.labels, rubric.values, rubric.sha256)
        assert len({rubric.question, *(paraphrase.question for paraphrase in one.paraphrases)}) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "must hold exactly the fields"),
        (GOOD.replace("difficulty", "ease"), "names itself 'ease'"),
        (GOOD.replace('["How hard?", "How easy?"]', '["How hard?"]'), "two or more paraphrases"),
        (GOOD.replace('"How easy?"', "7"), "two or more paraphrases"),
        (GOOD.replace("{labels}", "hard"), r"must show \{labels\} once"),
        (GOOD.replace("{labels}", "{labels.__class__}"), r"must show \{labels\} once"),
        (GOOD.replace("{labels}", "{labels"), "is no template"),
        ("name: [", "is not YAML"),
    ],
)
def test_rewordings_that_cannot_work_are_refused(content, message):
    with pytest.raises(InputError, match=message):
        parse_rewordings(content.encode(), load_rubrics().difficulty)


def test_rewordings_keep_what_the_labels_count():
    rubric = replace(load_rubrics().difficulty, values=(0.0, 5.0, 50.0))
    assert parse_rewordings(GOOD.encode(), rubric).reverse.values == (0.0, 5.0, 50.0)
