"""The examples and verdicts of the judge's tests."""

from tests.judging.conftest import examples, make_verdict, tiny_judge  # noqa: F401 (fixtures)
