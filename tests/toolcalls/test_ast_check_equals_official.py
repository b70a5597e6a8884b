"""Differential test: our AST check and BFCL's official one give the same verdict on tens of thousands of answers."""

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from storm_core.toolcalls.ast_check import check_calls
from storm_core.toolcalls.bfcl import ANSWERED_CATEGORIES, BfclEntry, read_bfcl, reference_calls
from storm_core.toolcalls.bfcl_rows import LIST_TYPES, PYTHON_TYPES
from storm_core.toolcalls.calls import ToolCall

PACKAGE_ROOT = Path(__file__).parents[2] / ".data"
BFCL = PACKAGE_ROOT / "bfcl_eval" / "data"
JUDGE = Path(__file__).with_name("official_ast_check.py")
CASES_PER_ENTRY = 12
ODD_VALUES: tuple[Any, ...] = (
    None,
    "",
    " ",
    "None",
    True,
    False,
    0,
    1,
    -1,
    0.0,
    1.0,
    10**400,
    [],
    {},
    [""],
    [None],
    [[]],
    [{}],
    {"": []},
)


def test_verdicts_equal_those_of_the_official_checker(tmp_path: Path) -> None:
    entries = [entry for name in ANSWERED_CATEGORIES for entry in read_bfcl(BFCL, name)]
    cases = [(entry, calls) for entry in entries for calls in answers_to_try(entry)]
    # Where the official checker raises, which its runner does not catch, the answer is wrong to us.
    counts = compare(cases, BFCL, tmp_path, raised=False)
    # Both kinds in number, or the comparison would say little.
    assert len(cases) >= 30_000
    assert counts["True"] >= 6_000
    assert counts["False"] >= 20_000


def test_verdicts_equal_on_random_schemas_and_possible_answers(tmp_path: Path) -> None:
    chance = random.Random(20260323)  # noqa: S311
    rows = [random_rows(f"simple_python_{number}", chance) for number in range(1200)]
    (tmp_path / "possible_answer").mkdir()
    for directory, lines in zip((tmp_path, tmp_path / "possible_answer"), zip(*rows, strict=True), strict=True):
        (directory / "BFCL_v4_simple_python.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    entries = read_bfcl(tmp_path, "simple_python")
    cases = [(entry, [ToolCall("f", arguments)]) for entry in entries for arguments in random_arguments(entry, chance)]
    # Some of these possible answers are themselves malformed; where the official checker raises there is no verdict.
    counts = compare(cases, tmp_path, tmp_path, raised=None)
    assert counts["True"] >= 3_000
    assert counts["False"] >= 10_000


def compare(
    cases: list[tuple[BfclEntry, list[ToolCall]]], data: Path, directory: Path, *, raised: bool | None
) -> Counter[str]:
    """How often the official checker said True, False, or raised, once ours has been found to say the same.

    An exception counts as the verdict `raised`; with None it is not compared.
    """
    official = official_verdicts(cases, data, directory)
    ours = [check_calls(entry, calls) for entry, calls in cases]
    counts = Counter(str(verdict) for verdict in official)
    print(f"official verdicts on {len(cases)} answers: {dict(counts)}")  # noqa: T201
    expected = [raised if isinstance(verdict, str) else verdict for verdict in official]
    differing = [
        (entry, calls, theirs, verdict)
        for (entry, calls), theirs, verdict in zip(cases, expected, ours, strict=True)
        if theirs is not None and verdict.valid != theirs
    ]
    assert not differing, (len(differing), differing[:5])
    assert all(verdict.valid == (not verdict.error) for verdict in ours)
    return counts


def official_verdicts(cases: list[tuple[BfclEntry, list[ToolCall]]], data: Path, directory: Path) -> list[Any]:
    """True, False or the name of the exception for each case, from a process that has the official checker."""
    questions, verdicts = directory / "cases.jsonl", directory / "verdicts.jsonl"
    with questions.open("w") as file:
        for entry, calls in cases:
            spelt = [{call.name: mark_tuples(dict(call.arguments))} for call in calls]
            file.write(json.dumps([entry.category, entry.id, spelt]) + "\n")
    subprocess.run([sys.executable, JUDGE, PACKAGE_ROOT, data, questions, verdicts], check=True)
    return [json.loads(line) for line in verdicts.read_text().splitlines()]


def mark_tuples(value: Any) -> Any:
    """The value with each tuple as `{"__tuple__": [...]}`, which JSON can carry."""
    if isinstance(value, dict):
        return {key: mark_tuples(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [mark_tuples(item) for item in value]
        return {"__tuple__": items} if isinstance(value, tuple) else items
    return value


def answers_to_try(entry: BfclEntry) -> Iterator[list[ToolCall]]:
    """The reference answer, a sample of all single changes to it, and some double ones; the same ones every time."""
    reference = reference_calls(entry)
    yield reference
    chance = random.Random(entry.id)  # noqa: S311
    single = [*other_calls(entry, reference), *other_arguments(entry, reference)]
    chosen = chance.sample(single, min(CASES_PER_ENTRY, len(single)))
    yield from chosen
    for calls in chosen[: CASES_PER_ENTRY // 4]:
        double = list(other_arguments(entry, calls))
        if double:
            yield chance.choice(double)


def other_calls(entry: BfclEntry, calls: list[ToolCall]) -> Iterator[list[ToolCall]]:
    """Answers with other calls: too few, too many, another order, another function."""
    yield from ([], calls[:-1], calls[1:], [*calls, calls[-1]], [calls[0]] * len(calls))
    yield from (calls[::-1], [*calls[1:], calls[0]])
    first, *rest = calls
    names = {
        first.name.upper(),
        first.name.replace(".", "_"),
        f" {first.name}",
        "",
        *(tool["name"] for tool in entry.tools),
    }
    for name in sorted(names - {first.name}):
        yield [ToolCall(name, first.arguments), *rest]
    yield [ToolCall(first.name, {}), *rest]


def other_arguments(entry: BfclEntry, calls: list[ToolCall]) -> Iterator[list[ToolCall]]:
    """Answers in which one argument of one call differs: gone, added, or of another value."""
    tools = {tool["name"]: tool for tool in entry.tools}
    for position, call in enumerate(calls):
        allowed: dict[str, Any] = next(
            (answer[call.name] for answer in entry.possible_answers if call.name in answer), {}
        )
        known = tools[call.name]["parameters"]["properties"] if call.name in tools else {}
        variants = [{**call.arguments, "no_such_argument": 1}]
        variants += [{k: v for k, v in call.arguments.items() if k != gone} for gone in call.arguments]
        variants += [{**call.arguments, name: schema.get("default")} for name, schema in known.items()]
        for name, values in allowed.items():
            given = call.arguments.get(name, values[0] if values else None)
            others = [*values, *other_values(given), *(plain(value) for value in values), *ODD_VALUES]
            variants += [{**call.arguments, name: other} for other in others]
        for arguments in variants:
            yield [*calls[:position], ToolCall(call.name, arguments), *calls[position + 1 :]]


def plain(value: Any) -> Any:
    """The last choices where an allowed value lists several for each key of a dictionary."""
    if isinstance(value, dict):
        return {key: items[-1] if isinstance(items, list) and items else items for key, items in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def other_values(value: Any) -> Iterator[Any]:
    """Values near the given one: of another type, spelling, order or size."""
    yield from (str(value), [value], (value,), [value, value], {"value": value})
    if isinstance(value, int | float) and abs(value) < 1e300:
        yield from (value + 1, -value, float(value), int(value), bool(value), value + 0.5)
    if isinstance(value, str):
        yield from (
            value.upper(),
            value.replace(" ", ""),
            f"{value}.",
            f"_{value}*",
            value.replace(" ", "\t"),
            value[:-1],
        )
        yield from (value.replace("'", '"'), f"{value}!", list(value), f"'{value}'")
    if isinstance(value, list):
        yield from (
            tuple(value),
            value[::-1],
            value[:-1],
            [*value, ""],
            [str(item) for item in value],
            {"items": value},
        )
        for position, item in enumerate(value[:3]):
            yield from ([*value[:position], other, *value[position + 1 :]] for other in [None, *other_values(item)])
    if isinstance(value, dict):
        yield from ({**value, "no_such_key": 1}, list(value), list(value.items()))
        for key, item in value.items():
            yield {name: other for name, other in value.items() if name != key}
            yield from ({**value, key: other} for other in ["", None, *other_values(item)])


def random_rows(identity: str, chance: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """A question whose one function has one argument of a random type, and random possible answers."""
    kind = chance.choice(list(PYTHON_TYPES))
    schema: dict[str, Any] = {"type": kind}
    if kind in LIST_TYPES:
        schema["items"] = {"type": chance.choice(list(PYTHON_TYPES))}
    required = chance.choice(([], ["a"]))
    function = {"name": "f", "parameters": {"type": "dict", "properties": {"a": schema}, "required": required}}
    question = [[{"role": "user", "content": "?"}]]
    answer = {"id": identity, "ground_truth": [{"f": {"a": random_allowed(schema, chance)}}]}
    return {"id": identity, "question": question, "function": [function]}, answer


def random_allowed(schema: dict[str, Any], chance: random.Random) -> list[Any]:
    """Up to three allowed values, most of the declared type; dictionaries list the allowed values of each key."""
    kinds = [schema, schema, schema, {"type": chance.choice(("string", "integer"))}]
    values = [random_value(chance.choice(kinds), chance, listed=True) for _ in range(chance.randrange(4))]
    if chance.random() < 0.4:
        values.insert(chance.randrange(len(values) + 1), "")
    return values


def random_value(schema: dict[str, Any], chance: random.Random, *, listed: bool = False) -> Any:
    """A value from a few of the declared type, so that two are often equal; `listed` in the form of BFCL's answers."""
    kind = schema["type"]
    if kind in LIST_TYPES:
        items = schema.get("items", {"type": "integer"})
        return [random_value(items, chance, listed=listed) for _ in range(chance.randrange(3))]
    if kind == "dict":
        keys = chance.sample(("k", "l"), chance.randrange(3))
        pool = ["", 0, 1, "a b", "A-B"]
        return {key: chance.sample(pool, chance.randrange(1, 3)) if listed else chance.choice(pool) for key in keys}
    pools: dict[str, list[Any]] = {"integer": [0, 1, 2], "float": [0.0, 1.0, 2], "boolean": [True, False]}
    return chance.choice(pools.get(kind, ["a b", "A-B", "it's", 'it"s', "x"]))


def random_arguments(entry: BfclEntry, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Arguments to try: none, random ones of the declared type and near it, the allowed ones and near them."""
    schema = entry.tools[0]["parameters"]["properties"]["a"]
    yield {}
    values = [random_value(schema, chance) for _ in range(5)]
    allowed = entry.possible_answers[0]["f"]["a"]
    values += [*allowed, *(plain(value) for value in allowed)]
    values += [near for value in values for near in chance.sample(list(other_values(value)), 2)]
    yield from ({"a": value} for value in [*values, *chance.sample(ODD_VALUES, 3)])
