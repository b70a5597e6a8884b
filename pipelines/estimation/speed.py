"""GPU-hours of a run, at the share of a GPU's peak that is assumed."""

from pipelines.estimation.assumptions import Estimated
from storm_core.finetuning.model_flops import step_flops


def training_tokens_per_second(run: Estimated) -> float | None:
    """What one GPU trains; None where its peak or the length of an example is not known."""
    tokens = run.assumptions.tokens_per_example
    if tokens is None:
        return None
    flops = step_flops(run.shapes, run.trained, lengths=[tokens], head_tokens=tokens)
    return _tokens_per_second(run, "train", tokens, flops.executed)


def training_hours(run: Estimated) -> float | None:
    """Of all passes; validation and padding are left out."""
    examples, tokens = run.assumptions.train_examples, run.assumptions.tokens_per_example
    if examples is None or tokens is None:
        return None
    return _hours(run.values["train_epochs"] * examples * tokens, training_tokens_per_second(run))


def scoring_hours(run: Estimated) -> float | None:
    """Of all rows: each is read once, for both questions; these are left out."""
    rows, tokens = run.assumptions.rows, run.assumptions.tokens_per_example
    if rows is None or tokens is None:
        return None
    flops = step_flops(run.shapes, set(), lengths=[tokens], head_tokens=1)
    return _hours(rows * tokens, _tokens_per_second(run, "score", tokens, flops.forward))


def _tokens_per_second(run: Estimated, verb: str, tokens: int, flops: int) -> float | None:
    peak = run.peak(verb)
    return None if peak is None else run.assumptions.mfu * peak * tokens / flops


def _hours(tokens: float, tokens_per_second: float | None) -> float | None:
    return None if tokens_per_second is None else tokens / tokens_per_second / 3600
