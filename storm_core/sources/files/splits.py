"""Which files of a data set are read: those of the splits that are named, or all but those that are to measure with."""

from collections.abc import Mapping, Sequence

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.progress import report
from storm_core.sources.files.rows import is_of_split
from storm_core.sources.files.split_names import Splits, configurations, is_evaluation, same_split, splits_of

_MOST_NAMED = 5


def choose_files(data: Artifact, path: str, names: Sequence[str], *, learned: bool) -> list[str]:
    """Of the files `names` those to read; a line says which splits that are, where others are left.

    Args:
        data: what holds the files.
        path: the source's, with `#SPLIT`, `#SPLIT+SPLIT`, `#CONFIGURATION` or `#CONFIGURATION/SPLIT` behind it or not.
        names: its files that hold rows.
        learned: whether they are to be learned from; what is to be measured with is read whole.

    Raises:
        InputError: there is no such split, or none that may be learned from.
    """
    place, _, selection = path.partition("#")
    if list(names) == [place]:
        return _check_file(place, selection)
    configuration, wanted = _configuration(data, place, selection)
    if not learned and not selection:
        return list(names)
    splits = splits_of(data, place, names, configuration)
    chosen = _named(splits, names, place, wanted) if wanted else _training(splits, names, place, learned=learned)
    _tell(place, splits, names, chosen)
    return chosen


def _check_file(place: str, split: str) -> list[str]:
    """A file that is named itself is read, whatever its name says."""
    if split and not is_of_split(place, place, split):
        raise InputError(f"no file of the split {split} at {place}; a file has no splits, leave out #{split}")
    return [place]


def _configuration(data: Artifact, place: str, selection: str) -> tuple[str, str]:
    """The configuration that the selection begins with, and the splits that it ends in; each may be empty."""
    known = configurations(data, place) if selection else []
    first, slash, rest = selection.partition("/")
    if first in known:
        return first, rest
    if slash:
        raise InputError(f"no configuration {first!r} at {place} in {data.path}; it has {', '.join(known) or 'none'}")
    return "", selection


def _named(splits: Splits, names: Sequence[str], place: str, wanted: str) -> list[str]:
    """The files of the splits `wanted`, by what the data set says, or else by how parts of the paths begin."""
    chosen: list[str] = []
    for split in wanted.split("+"):
        found = [name for name in names if name in splits.of_file and same_split(split, splits.of_file[name])]
        found = found or [name for name in names if is_of_split(name, place, split)]
        if not found:
            known = ", ".join(sorted(set(splits.of_file.values()))) or "none"
            raise InputError(f"no file of the split {split} at {place}; its splits are {known}")
        chosen += found
    return sorted(set(chosen))


def _training(splits: Splits, names: Sequence[str], place: str, *, learned: bool) -> list[str]:
    """The files of all splits but those to measure with."""
    if not learned:
        return [name for name in names if name in splits.of_file]
    chosen = [name for name in names if name in splits.of_file and not is_evaluation(splits.of_file[name])]
    if not chosen and not splits.said_by:
        chosen = [name for name in names if name not in splits.of_file]
    if not chosen:
        known = ", ".join(sorted(set(splits.of_file.values())))
        raise InputError(
            f"{place} has only splits to measure with: {known}; to learn from one all the same, name it behind the "
            f"path, as in #{known.split(', ')[0]}"
        )
    return chosen


def _tell(place: str, splits: Splits, names: Sequence[str], chosen: Sequence[str]) -> None:
    read = _labels(splits.of_file, chosen)
    left = _labels(splits.of_file, [name for name in names if name not in chosen])
    if not splits.of_file and len(names) > 1:
        report(f"{place}: no splits are named; all {len(names)} files are read: {', '.join(_labels({}, names))}")
    if splits.left:
        left += [f"the configurations {', '.join(splits.left)}"]
    if left or (splits.of_file and len(read) > 1):
        said_by = f" (by {splits.said_by})" if splits.said_by else ""
        others = ", ".join(left) or "none"
        report(f"{place}: of its splits{said_by} read: {', '.join(read)}; left: {others}; #SPLIT names others")


def _labels(of_file: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """The splits of the files, and the names of those that are of none."""
    known = sorted({of_file[name] for name in names if name in of_file})
    others = [name for name in names if name not in of_file]
    return known + others[:_MOST_NAMED] + ([f"{len(others) - _MOST_NAMED} files"] if len(others) > _MOST_NAMED else [])
