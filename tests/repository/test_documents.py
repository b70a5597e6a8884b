"""What README, CONTRIBUTING, docs/ and the others lead to and tell a reader to type is there."""

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import __main__ as pipelines
from storm_core import cli

ROOT = Path(__file__).parents[2]
FOLDERS = (".github", "benchmarks", "docs", "images", "tests")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))])
BLOCK = re.compile(r"^ *```.*?^ *```$", re.M | re.S)
# Directories of the project, by which a path in code is known for one.
TOPS = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} | {".ci", ".github"}
PROGRAMS = {"storm": cli.build_parser, "python -m pipelines": pipelines._parser}
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def prose(text: str) -> str:
    """The text without its blocks of code."""
    return BLOCK.sub("", text)


def spans(text: str) -> list[str]:
    """The code that stands within sentences and tables, without line breaks."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))]


def lines(text: str) -> Iterator[str]:
    """The lines of the blocks of code, continued ones as one, without what a # explains.

    A block that has a prompt shows output too, which is left out.
    """
    for block in BLOCK.findall(text):
        written = block.replace("\\\n", " ").splitlines()
        prompted = [line.removeprefix("$ ") for line in written if line.startswith("$ ")]
        yield from (re.sub(r"\s#.*$", "", line) for line in prompted or written)


def commands(text: str) -> Iterator[str]:
    """Everything that a reader could type, one command each."""
    for code in [*spans(text), *lines(text)]:
        yield from (part.strip() for part in re.split(r" && | \| ", code))


def links(text: str) -> list[tuple[str, str]]:
    """Path and anchor of every link that stays in the project."""
    found = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose(text)))
    return [(path, anchor) for path, _, anchor in (link.partition("#") for link in found) if "://" not in path]


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(document.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def innermost(parser: argparse.ArgumentParser, words: list[str]) -> tuple[argparse.ArgumentParser, list[str]]:
    """The parser of the verbs that the words begin with, and the words after them."""
    while words and not words[0].startswith(("-", "<")) and (verbs := verbs_of(parser)):
        assert words[0] in verbs, f"{parser.prog} has no {words[0]}"
        parser, words = verbs[words[0]], words[1:]
    return parser, words


def verbs_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(actions[0].choices) if actions else {}


def targets() -> set[str]:
    return set(re.findall(r"^([\w./$()-]+):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


@every_document
def test_links_lead_to_a_file_and_an_anchor(document: Path) -> None:
    for path, anchor in links(document.read_text(encoding="utf-8")):
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{path} is not there"
        assert target.is_relative_to(ROOT), f"{path} leaves the project"
        assert not anchor or anchor in anchors(target), f"{path} has no heading for #{anchor}"


@every_document
def test_paths_in_code_are_there(document: Path) -> None:
    for span in spans(document.read_text(encoding="utf-8")):
        first, slash, _ = span.partition("/")
        if slash and first in TOPS and not re.search(r"[<>{}\s]", span) and first != "runs":
            assert any(ROOT.glob(span.rstrip("/"))), f"{span} is not there"


@every_document
def test_make_targets_are_there(document: Path) -> None:
    known = targets()
    for command in commands(document.read_text(encoding="utf-8")):
        if command.startswith("make "):
            named = [word for word in command.split()[1:] if "=" not in word]
            assert set(named) <= known, f"no target for `{command}`"


@every_document
def test_verbs_and_flags_are_there(document: Path) -> None:
    for command in commands(document.read_text(encoding="utf-8")):
        if typed := re.match(r"(?:\.venv/bin/)?(storm|python -m pipelines) (.+)", command):
            parser, rest = innermost(PROGRAMS[typed[1]](), shlex.split(typed[2]))
            flags = {word.partition("=")[0] for word in rest if word.startswith("--")}
            known = {option for action in parser._actions for option in action.option_strings}
            assert flags <= known, f"`{command}` has flags that there are not: {sorted(flags - known)}"


def test_documents_are_found_and_their_commands_too() -> None:
    assert {ROOT / "README.md", ROOT / "docs" / "data.md", ROOT / "images" / "README.md"} <= set(DOCUMENTS)
    found = [command for document in DOCUMENTS for command in commands(document.read_text(encoding="utf-8"))]
    for begin in ("make ", "storm prepare --data", "storm artifact gc", ".venv/bin/python -m pipelines compile"):
        assert any(command.startswith(begin) for command in found), begin
