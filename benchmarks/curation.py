"""Two verdicts an example: `storm score` beside free-text generation and beside constrained choice, in the same engine.

    python benchmarks/curation.py --model runs/smoke/artifacts/model --data .data [--engine vllm] [--smoke]

All read the same examples, of the chatterbot corpus and of BFCL's live questions, and answer both rubrics. The peers do
it as labelling is commonly done: two separate passes, the question before the example, and the answer generated: freely
and then parsed, with a justification first as in the prompt of FineWeb-Edu (https://arxiv.org/abs/2406.17557) or
without; or constrained to the labels. `--engine vllm` needs a Python with vLLM.
"""

import argparse
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from storm_core.artifacts import open_directory
from storm_core.checkpoints.checkpoint import open_checkpoint
from storm_core.checkpoints.loading import load_model, load_tokenizer
from storm_core.devices import resolve_dtype
from storm_core.execution import execute
from storm_core.judging.config import ScoreConfig
from storm_core.judging.engines.interface import Engine
from storm_core.judging.judge import Judge
from storm_core.judging.scoring import group_by_length, score_examples
from storm_core.judging.wording.prompts import Context, Question
from storm_core.judging.wording.rubrics import load_rubrics
from storm_core.records import Example, read_examples
from storm_core.sources.config import PREPARE, PrepareConfig
from storm_core.telemetry import disable_telemetry
from storm_core.verdicts.schema import Verdict

SOURCES = ("chat=chatterbot:chatterbot_corpus/data/english", "tools=bfcl:bfcl_eval/data#live_simple+live_multiple")
OURS = "storm score"
PEERS = ("free-text", "choice", "justified")
SMOKE_EXAMPLES = 6
# Room for the label and a sentence around it.
FREE_TEXT_TOKENS = 32
# Dense bfloat16 of an H100 SXM, from its data sheet; the limit of a prefill is 2 operations a weight and token.
PEAK_TERAFLOPS = 989.0


def main() -> None:
    disable_telemetry()
    options = parse_options()
    examples = real_examples(options.data, SMOKE_EXAMPLES if options.smoke else options.examples)
    config = ScoreConfig(
        engine=options.engine,
        dtype=options.dtype,
        max_length=options.max_length,
        batch_size=options.batch_size,
        min_educational_value=1.0,
    )
    judge = open_judge(options.model, config, options.justification_tokens)
    passes = Passes(judge, examples, config)
    # A batch before each, not measured: it compiles, allocates and warms up.
    warm_up = Passes(judge, examples[: 1 if options.smoke else config.batch_size], config)
    generate = {"transformers": generate_with_transformers, "vllm": generate_with_vllm}[options.engine]

    def justified(work: Passes) -> list[str | None]:
        tokens = options.justification_tokens
        return work.generated(lambda prompts, _: generate(judge, prompts, config, tokens, None), JUSTIFIED)

    def free_text(work: Passes) -> list[str | None]:
        return work.generated(lambda prompts, _: generate(judge, prompts, config, FREE_TEXT_TOKENS, None), PLAIN)

    def choice(work: Passes) -> list[str | None]:
        return work.generated(lambda prompts, question: generate(judge, prompts, config, None, question), PLAIN)

    peers: dict[str, tuple[str, Callable[[Passes], list[str | None]]]] = {
        "free-text": (f"free text (<= {FREE_TEXT_TOKENS} tokens)", free_text),
        "choice": ("constrained choice", choice),
        "justified": (f"justified (<= {options.justification_tokens} tokens)", justified),
    }
    contenders = {OURS: Passes.ours} | dict(peers[peer] for peer in options.peers)
    tokens = passes.tokens()
    print(f"{options.engine}, {resolve_dtype(options.dtype)}, {len(examples)} examples, {tokens} tokens, both verdicts")
    for contender in contenders.values():
        contender(warm_up)
    rounds = passes.split(1 if options.smoke else options.rounds)
    measured = measure(contenders, rounds)
    show(measured, rounds)
    if torch.cuda.is_available():
        seconds = sum(measured[OURS].seconds)
        limit = 2 * parameters(options.model) * tokens / (options.peak_teraflops * 1e12)
        print(f"storm score reaches {limit / seconds:.0%} of the prefill limit ({limit:.2f} s)")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure `storm score` beside generated labels.")
    parser.add_argument("--model", type=Path, required=True, help="directory of an instruct model")
    parser.add_argument("--data", type=Path, default=Path(".data"), help="where chatterbot_corpus and bfcl_eval lie")
    parser.add_argument("--engine", choices=("transformers", "vllm"), default="transformers")
    parser.add_argument(
        "--peers", nargs="+", choices=PEERS, default=PEERS, help=f"what to compare with (default {' '.join(PEERS)})"
    )
    parser.add_argument("--examples", type=int, default=500, help="how many examples (default 500)")
    parser.add_argument("--batch-size", type=int, default=16, help="most examples at once (default 16)")
    parser.add_argument("--max-length", type=int, default=1024, help="most tokens of an example (default 1024)")
    parser.add_argument("--dtype", default="auto", help="auto, bfloat16 or float32 (default auto)")
    parser.add_argument(
        "--justification-tokens", type=int, default=160, help="most tokens of a justified answer (default 160)"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="parts of the examples, each done by all in turn (default 5)"
    )
    parser.add_argument("--peak-teraflops", type=float, default=PEAK_TERAFLOPS, help="of the GPU (default: an H100's)")
    parser.add_argument("--smoke", action="store_true", help=f"{SMOKE_EXAMPLES} examples, one round")
    return parser.parse_args()


def real_examples(data: Path, count: int) -> list[Example]:
    """Half of them from each source, as `storm prepare` makes them."""
    with tempfile.TemporaryDirectory() as scratch:
        config = PrepareConfig(
            sources=SOURCES, shards=1, max_examples_per_source=-(-count // 2), max_rejected_fraction=0.01
        )
        output = Path(scratch) / "examples"
        execute(PREPARE, config, {"data": [str(data)]}, {"examples": output}, {})
        return list(read_examples(output / "shard-00000.parquet"))[:count]


def open_judge(path: Path, config: ScoreConfig, answer_tokens: int) -> Judge:
    """A judge with room for the peers' answers too; its engine is loaded now, outside of what is measured."""

    def open_engine(judge: Judge) -> Engine:
        dtype = resolve_dtype(config.dtype)
        if config.engine == "vllm":
            from storm_core.judging.engines.vllm_engine import open_vllm_engine  # noqa: PLC0415 (another environment)

            context = judge.builder.context_length(config.max_length, config.max_length)
            question = max(len(JUSTIFIED.ask(judge, each)) for each in (judge.educational_value, judge.difficulty))
            longest = context + judge.question_tokens + question + answer_tokens
            return open_vllm_engine(open_checkpoint(path), dtype, longest_prompt=longest, batch_size=config.batch_size)
        from storm_core.judging.engines.transformers_engine import TransformersEngine  # noqa: PLC0415

        return TransformersEngine(load_model(path, dtype))

    judge = Judge(
        tokenizer=load_tokenizer(path),
        rubrics=load_rubrics(),
        digest=open_directory(path).digest,
        open_engine=open_engine,
    )
    judge.engine  # noqa: B018 (loads it)
    return judge


@dataclass(frozen=True)
class Form:
    """How a generated answer is asked for, and where in the text it stands.

    Attributes:
        request: takes the place of what follows the rubric's question mark, with {labels} for its labels; "" keeps it.
        answer: a regular expression with {labels} for any of them.
    """

    request: str
    answer: str

    def ask(self, judge: Judge, question: Question) -> list[int]:
        """Token ids of the question in this form."""
        rubric = question.rubric
        if not self.request:
            return judge.builder.plain_ids(rubric.question)
        asked, mark, _ = rubric.question.partition("?")
        return judge.builder.plain_ids(asked + mark + self.request.format(labels=" or ".join(rubric.labels)))

    def parse(self, text: str, question: Question) -> str | None:
        """The last label that stands where it should."""
        labels = "|".join(map(re.escape, question.rubric.labels))
        found: list[str] = re.findall(self.answer.format(labels=labels), text)
        return found[-1] if found else None


PLAIN = Form(request="", answer=r"\b({labels})\b")
JUSTIFIED = Form(
    request=" Briefly justify your answer, up to 100 words. Conclude with it in the format: Answer: {labels}.",
    answer=r"Answer:\W*({labels})\b",
)


@dataclass(frozen=True)
class Passes:
    """The same work done by each contender; the answers come as label texts, None where there was none."""

    judge: Judge
    examples: list[Example]
    config: ScoreConfig

    def ours(self) -> list[str | None]:
        """Both questions from one reading."""
        verdicts: list[Verdict] = []
        for _ in score_examples(self.judge, self.examples, self.config, Nothing(), verdicts.extend, set()):
            pass
        return [verdict.label or None for verdict in verdicts]

    def generated(self, generate: Callable[[list[list[int]], Question], list[str]], form: Form) -> list[str | None]:
        """One pass for each question over all examples."""
        answers: list[str | None] = []
        for question in (self.judge.educational_value, self.judge.difficulty):
            prompts = [self.prompt(context, question, form) for context in self.contexts()]
            answers += [form.parse(text, question) for text in generate(prompts, question)]
        return answers

    def split(self, count: int) -> list["Passes"]:
        """So many parts of the work, each with examples of every source."""
        return [replace(self, examples=self.examples[start::count]) for start in range(count)]

    def contexts(self) -> list[Context]:
        """The examples as tokens."""
        return [self.judge.builder.context(example.messages, self.config.max_length) for example in self.examples]

    def prompt(self, context: Context, question: Question, form: Form) -> list[int]:
        """The same tokens with the question, in this form, before the example."""
        suffix = question.ids[len(self.judge.builder.plain_ids(question.rubric.question)) :]
        control, rest = context.ids[: context.control], context.ids[context.control :]
        return [*control, *form.ask(self.judge, question), *rest, *suffix]

    def tokens(self) -> int:
        """Tokens that have to be read at least: every context once, and both questions."""
        questions = len(self.judge.educational_value.ids) + len(self.judge.difficulty.ids)
        return sum(len(context.ids) + questions for context in self.contexts())


class Nothing:
    """Keeps no verdict, so that every run asks for all."""

    def find(self, _: Iterable[Example]) -> dict[tuple[str, str], Verdict]:
        """Nothing is known."""
        return {}

    def add(self, _: Sequence[Verdict]) -> None:
        """Nothing is kept."""


def generate_with_transformers(
    judge: Judge, prompts: list[list[int]], config: ScoreConfig, tokens: int | None, question: Question | None
) -> list[str]:
    """Texts that the model generates greedily: at most `tokens` freely, or one of the question's labels."""
    model, tokenizer = judge.engine.model, judge.builder.tokenizer  # type: ignore[attr-defined]
    allowed = label_tree(judge, question) if question else None
    order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
    batches = group_by_length([str(row) for row in order], [len(prompts[row]) for row in order], config.batch_size)
    texts = [""] * len(prompts)
    for batch in batches:
        rows = [int(row) for row in batch]
        width = len(prompts[rows[0]])
        ids = torch.tensor([[tokenizer.eos_token_id] * (width - len(prompts[row])) + prompts[row] for row in rows])
        mask = torch.tensor([[0] * (width - len(prompts[row])) + [1] * len(prompts[row]) for row in rows])
        limits: dict[str, Any] = {"max_new_tokens": tokens}
        if allowed:
            limits = {
                "max_new_tokens": max(len(path) for path in allowed),
                "prefix_allowed_tokens_fn": lambda _, written, start=width: next_tokens(
                    allowed, written[start:].tolist()
                ),
            }
        with torch.inference_mode():
            written = model.generate(
                ids.to(model.device),
                attention_mask=mask.to(model.device),
                do_sample=False,
                pad_token_id=tokenizer.eos_token_id,
                **limits,
            )
        answers = tokenizer.batch_decode(written[:, width:], skip_special_tokens=True)
        for row, answer in zip(rows, answers, strict=True):
            texts[row] = answer
    return texts


def label_tree(judge: Judge, question: Question) -> set[tuple[int, ...]]:
    """Every beginning of a label in tokens, the end of the turn included."""
    tokenizer = judge.builder.tokenizer
    paths = [
        (first, *judge.builder.plain_ids(label[len(judge.builder.token_text(first)) :]), tokenizer.eos_token_id)
        for first, label in zip(question.label_ids, question.rubric.labels, strict=True)
    ]
    return {path[:length] for path in paths for length in range(1, len(path) + 1)}


def next_tokens(tree: set[tuple[int, ...]], written: list[int]) -> list[int]:
    """What may follow; after the end, the end again."""
    following = [path[-1] for path in tree if path[:-1] == tuple(written)]
    return following or [written[-1]]


def generate_with_vllm(
    judge: Judge, prompts: list[list[int]], _: ScoreConfig, tokens: int | None, question: Question | None
) -> list[str]:
    """As `generate_with_transformers`, by vLLM's own batching and structured outputs."""
    from vllm import SamplingParams  # noqa: PLC0415
    from vllm.sampling_params import StructuredOutputsParams  # noqa: PLC0415

    llm = judge.engine.llm  # type: ignore[attr-defined]
    llm.reset_prefix_cache()
    choice = StructuredOutputsParams(choice=list(question.rubric.labels)) if question else None
    parameters = SamplingParams(temperature=0.0, max_tokens=tokens or 8, structured_outputs=choice)
    outputs = llm.generate([{"prompt_token_ids": prompt} for prompt in prompts], parameters, use_tqdm=False)
    return [output.outputs[0].text for output in outputs]


@dataclass(frozen=True)
class Measured:
    """What one contender took for each round, and all its answers."""

    seconds: list[float]
    answers: list[str | None]


def measure(
    contenders: dict[str, Callable[[Passes], list[str | None]]], rounds: Sequence[Passes]
) -> dict[str, Measured]:
    """Each round is done by all contenders, so that what else the machine does meets all of them."""
    measured = {name: Measured([], []) for name in contenders}
    for number, passes in enumerate(rounds, start=1):
        for name, contender in contenders.items():
            started = time.monotonic()
            measured[name].answers.extend(contender(passes))
            measured[name].seconds.append(time.monotonic() - started)
            print(f"round {number}: {name} {measured[name].seconds[-1]:.1f} s", file=sys.stderr, flush=True)
    return measured


def show(measured: dict[str, Measured], rounds: Sequence[Passes]) -> None:
    """Print the table: medians over the rounds, and how many times the time of ours each took in a round."""
    print(f"{'':28}{'examples/s':>12}{'tokens/s':>10}{'answered':>10}   times ours: median (range)")
    sizes = [(len(passes.examples), passes.tokens()) for passes in rounds]
    for name, result in measured.items():
        answered = 1 - result.answers.count(None) / len(result.answers)
        examples, tokens = (
            statistics.median(size[unit] / seconds for size, seconds in zip(sizes, result.seconds, strict=True))
            for unit in (0, 1)
        )
        times = [theirs / ours for theirs, ours in zip(result.seconds, measured[OURS].seconds, strict=True)]
        spread = f"{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})"
        print(f"{name:28}{examples:12.2f}{tokens:10.0f}{answered:10.0%}   {spread}")


def parameters(path: Path) -> int:
    """Weights of the matrices that every token passes: all tensors but the embedding, which is looked up."""
    checkpoint = open_checkpoint(path)
    sizes = {name: info.shape for name, info in checkpoint.tensors.items() if "embed_tokens" not in name}
    return sum(torch.Size(shape).numel() for shape in sizes.values())


if __name__ == "__main__":
    main()
