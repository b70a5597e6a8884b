"""A verdict: what the judge said of one example under one rubric; and the columns of its Parquet form."""

from dataclasses import dataclass

import pyarrow as pa

FILE_NAME = "verdicts.parquet"
# The two questions.
EDUCATIONAL_VALUE = "educational_value"
DIFFICULTY = "difficulty"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("rubric", pa.string()),
        ("rubric_hash", pa.string()),
        ("judge_digest", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("values", pa.list_(pa.float64())),
        ("probabilities", pa.list_(pa.float64())),
        ("label", pa.string()),
        ("expected_value", pa.float64()),
        ("label_mass", pa.float64()),
        ("unseen_mass", pa.float64()),
        ("tokens", pa.int64()),
        ("truncated", pa.bool_()),
    ]
)
# The label of an example about which the judge said none of the labels that its engine could see. Its expected value
# means nothing and is part of no mean.
NO_ANSWER = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The judge's answer to one rubric about one example.

    Attributes:
        id: of the example.
        source: of the example.
        rubric: name of the rubric.
        rubric_hash: SHA-256, in hex, of the rubric and the framing.
        judge_digest: digest of the judge's model artifact.
        labels: the allowed answers.
        values: what each label counts.
        probabilities: of each label; they sum to 1, or are all 0 where there was no answer.
        label: the most probable label, the first of equals; `NO_ANSWER` where the judge gave none that could be seen.
        expected_value: sum of each label's value times its probability.
        label_mass: probability of all the labels together among the whole vocabulary, 0 to 1.
        tokens: of the example, before any cut.
        truncated: whether the judge did not read its middle.
        unseen_mass: probability, at most, of labels that the engine did not report and that count as 0 above.
    """

    id: str
    source: str
    rubric: str
    rubric_hash: str
    judge_digest: str
    labels: tuple[str, ...]
    values: tuple[float, ...]
    probabilities: tuple[float, ...]
    label: str
    expected_value: float
    label_mass: float
    tokens: int
    truncated: bool
    unseen_mass: float = 0.0
