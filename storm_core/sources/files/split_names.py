"""Which split of a data set each of its files belongs to: as its README says, as `datasets` saved it, or by its name.

Source: `datasets`' `data_files.py` and `load.py`, whose patterns and words these are, in that order; besides, words are
known in any case, and `heldout`, `testset` and the like are some.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from storm_core.artifacts import Artifact
from storm_core.errors import InputError, first_line
from storm_core.yaml_documents import read_yaml

_WORDS = {
    "train": ("train", "training", "trainset"),
    "validation": ("validation", "valid", "dev", "val", "devset", "valset"),
    "test": (
        *("test", "testing", "eval", "evaluation", "testset", "evalset"),
        *("heldout", "held_out", "held-out", "holdout"),
    ),
}
_EVALUATION_WORDS = (*_WORDS["validation"], *_WORDS["test"])
# `datasets` takes a word for that where it stands between these.
_BETWEEN = r"-._ 0-9"
_SHARD = re.compile(r"data/(.+)-\d{5}-of-\d{5}[^/]*\.[^/]*")
_SAVED = "dataset_dict.json"


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The splits of a data set.

    Attributes:
        of_file: the split of each file; a file may be of none.
        said_by: what says so; empty where it is the files' names alone, and one without a word of a split may be data
            like the others.
        left: names of configurations that are not this one.
    """

    of_file: Mapping[str, str]
    said_by: str = ""
    left: tuple[str, ...] = ()


def splits_of(data: Artifact, place: str, names: Iterable[str], configuration: str = "") -> Splits:
    """The splits of the files `names` at or below `place`.

    Args:
        data: what holds the files.
        place: a file or directory in there.
        names: of its files that hold rows.
        configuration: the one that is wanted, where the README lists several.

    Raises:
        InputError: the README lists several configurations without a default, none of that name, or files that are not
            there.
    """
    below = {name: _below(name, place) for name in names}
    configured = _configured(data, place, below, configuration)
    if configured:
        return configured
    if configuration:
        raise InputError(f"no configuration {configuration!r} at {place} in {data.path}; its README.md lists none")
    saved = _saved(data, place, below)
    if saved:
        return Splits(of_file=saved, said_by=_SAVED)
    return _by_name(below)


def is_evaluation(split: str) -> bool:
    """Whether a split of this name is to measure with and not to learn from: one of its words says so."""
    return _word_in(split, _EVALUATION_WORDS) is not None


def same_split(wanted: str, split: str) -> bool:
    """Whether `split` is what `wanted` names: the same, or another word for it, `dev` for `validation`."""
    words = next((words for words in _WORDS.values() if wanted in words), (wanted,))
    return split.lower() in (wanted.lower(), *words)


def configurations(data: Artifact, place: str) -> list[str]:
    """Names of the configurations that the README at `place` lists."""
    return [_name(entry) for entry in _readme_configs(data, place)]


def _below(name: str, place: str) -> str:
    parts = PurePosixPath(name).parts[len(PurePosixPath(place).parts) :]
    return "/".join(parts) or PurePosixPath(name).name


def _by_name(below: Mapping[str, str]) -> Splits:
    """The splits by the names of shards in `data/`, or else by words in the paths."""
    shards = {name: found[1] for name, path in below.items() if (found := _SHARD.fullmatch(path))}
    if shards:
        return Splits(of_file=shards, said_by="the names in data/")
    return Splits(of_file={name: word for name, path in below.items() if (word := _split_in_name(path))})


def _split_in_name(path: str) -> str | None:
    """The word for a split in the directories of a path, or else in its file name; no training comes first."""
    *directories, file = path.split("/")
    for parts in (directories, [file]):
        for words in (_EVALUATION_WORDS, _WORDS["train"]):
            for part in parts:
                if word := _word_in(part, words):
                    return word
    return None


def _word_in(text: str, words: Iterable[str]) -> str | None:
    spelled = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    found = re.search(rf"(?:^|[{_BETWEEN}])({spelled})(?:[{_BETWEEN}]|$)", text.lower())
    return found[1] if found else None


def _saved(data: Artifact, place: str, below: Mapping[str, str]) -> dict[str, str]:
    """The splits of a `DatasetDict` that was saved to disk: its directories."""
    if not (content := _read(data, place, _SAVED)):
        return {}
    try:
        splits = json.loads(content)["splits"]
        return {name: path.split("/")[0] for name, path in below.items() if path.split("/")[0] in splits}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{_SAVED} at {place} in {data.path} lists no splits: {first_line(error)}") from error


def _configured(data: Artifact, place: str, below: Mapping[str, str], configuration: str) -> Splits | None:
    """The splits that `configs` in the head of the README lists; None where it lists none."""
    entries = _readme_configs(data, place)
    if not entries:
        return None
    entry = _chosen(entries, configuration, f"{place} in {data.path}")
    left = tuple(_name(other) for other in entries if other is not entry)
    if "data_files" not in entry:
        return Splits(of_file=_in_directory(data, place, below, entry), said_by="README.md", left=left)
    of_file: dict[str, str] = {}
    for split, patterns in _patterns(entry).items():
        matches = [name for name, path in below.items() if any(_glob(one).fullmatch(path) for one in patterns)]
        if not matches:
            raise InputError(
                f"README.md at {place} in {data.path} says that the split {split} of {_name(entry)} is "
                f"{', '.join(patterns)}, and no such file is there; fetch it too, or name a file"
            )
        of_file |= dict.fromkeys(matches, split)
    return Splits(of_file=of_file, said_by="README.md", left=left)


def _in_directory(data: Artifact, place: str, below: Mapping[str, str], entry: Mapping[str, Any]) -> dict[str, str]:
    """The splits of a configuration that names a directory alone, by the names in there; `train` where none says."""
    base = f"{str(entry['data_dir']).strip('/')}/"
    inside = {name: path.removeprefix(base) for name, path in below.items() if path.startswith(base)}
    if not inside:
        raise InputError(
            f"README.md at {place} in {data.path} says that {_name(entry)} is in {base}, and no file with rows is there"
        )
    return dict(_by_name(inside).of_file) or dict.fromkeys(inside, "train")


def _readme_configs(data: Artifact, place: str) -> list[dict[str, Any]]:
    """The entries of `configs` that list files."""
    head = re.match(r"\ufeff?---\s*\n(.*?)\n---", _read(data, place, "README.md"), re.DOTALL)
    if not head or "configs:" not in head[1]:
        return []
    try:
        listed = read_yaml(head[1].encode(), "the block at its top")["configs"]
        return [entry for entry in listed if "data_files" in entry or entry.get("data_dir")]
    except (InputError, KeyError, TypeError) as error:
        raise InputError(
            f"configs in README.md at {place} in {data.path} cannot be read: {first_line(error)}"
        ) from error


def _chosen(entries: list[dict[str, Any]], configuration: str, where: str) -> dict[str, Any]:
    names = [_name(entry) for entry in entries]
    if configuration:
        return entries[names.index(configuration)]
    default = [entry for entry in entries if entry.get("default") or _name(entry) == "default"]
    if not default and len(entries) > 1:
        raise InputError(
            f"{where} has several configurations, {', '.join(names)}; name one behind the path, as in #{names[0]} or "
            f"#{names[0]}/train"
        )
    return (default or entries)[0]


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("config_name", "default"))


def _patterns(entry: Mapping[str, Any]) -> dict[str, list[str]]:
    """Patterns of paths by split; one split `train` where the README names none."""
    files = entry["data_files"]
    listed = files if isinstance(files, list) else [files]
    if isinstance(files, dict) and "path" not in files:
        listed = [{"split": split, "path": path} for split, path in files.items()]
    found: dict[str, list[str]] = {}
    for one in listed:
        path, split = (one.get("path"), one.get("split", "train")) if isinstance(one, dict) else (one, "train")
        found.setdefault(str(split), []).extend(map(str, path if isinstance(path, list) else [path]))
    base = str(entry.get("data_dir") or "").strip("/")
    return {split: [PurePosixPath(base, path).as_posix() for path in paths] for split, paths in found.items()}


def _glob(pattern: str) -> re.Pattern[str]:
    """A pattern of paths in which `*` stops at a slash and `**` does not."""
    translated = re.sub(
        r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|.",
        lambda found: {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(
            found[0], found[0] if len(found[0]) > 1 else re.escape(found[0])
        ),
        pattern,
    )
    return re.compile(translated)


def _read(data: Artifact, place: str, name: str) -> str:
    """The text of the file `name` in the directory `place`; empty where `data` does not list it."""
    path = PurePosixPath(place, name).as_posix()
    if all(entry.path != path for entry in data.manifest.files):
        return ""
    return data.file(path).read_text(encoding="utf-8", errors="replace")
