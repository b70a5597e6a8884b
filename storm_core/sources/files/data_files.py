"""Rows of whatever files a data set consists of: JSON lines, JSON arrays, Parquet, Arrow; alone or as a directory."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.sources.files import columnar_files, json_files
from storm_core.sources.files.rows import RawRow, Rejected, files_under
from storm_core.sources.files.shards_of_splits import check_shards
from storm_core.sources.files.splits import choose_files

_SUFFIXES = (*json_files.SUFFIXES, *columnar_files.SUFFIXES)
_LFS_POINTER = b"version https://git-lfs"
# What libraries leave beside the rows: descriptions, and an index of the files that count.
_STATE_FILE = "state.json"
_DESCRIPTIONS = (_STATE_FILE, "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "manifest.json")


def read_rows(
    data: Artifact, path: str, columns: Sequence[str], *, learned: bool = True
) -> Iterator[RawRow | Rejected]:
    """The rows of the files at or below `path`, in the order of their names; `path` may end in `#SPLIT`.

    Of a data set to learn from, splits to measure with are read only where they are named.

    A directory may be laid out as hubs do (`data/train-00000-of-00002.parquet`) or as `datasets` saves it to disk
    (`data-00000-of-00001.arrow` beside `state.json`, splits in directories of their own).

    Args:
        data: what holds the files.
        path: a file or directory in there.
        columns: those to read of files that can be read by column.
        learned: whether the rows are to be learned from.

    Raises:
        InputError: there is no such file, one cannot be read as a whole, or one of several of a split is missing.
    """
    files = {
        name: file
        for name, file in files_under(data, path.partition("#")[0], _SUFFIXES)
        if PurePosixPath(name).name not in _DESCRIPTIONS
    }
    if not files:
        raise InputError(f"no rows at {path} in {data.path}, only descriptions of a data set")
    chosen = choose_files(data, path, list(files), learned=learned)
    if chosen != [path.partition("#")[0]]:
        check_shards(chosen)
    for name in chosen:
        file = files[name]
        _check_is_data(name, file)
        if name.endswith(json_files.SUFFIXES):
            yield from json_files.read(name, file, columns)
        elif _counts(data, name):
            yield from columnar_files.read(name, file, columns)


def _check_is_data(name: str, file: Path) -> None:
    with file.open("rb") as stream:
        if stream.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise InputError(f"{name} is a pointer of Git LFS and not the data; run `git lfs pull` where it comes from")


def _counts(data: Artifact, name: str) -> bool:
    """Whether the `state.json` beside the file, if `data` has one, names it: caches of computations lie there too."""
    state = PurePosixPath(name).with_name(_STATE_FILE).as_posix()
    if not name.endswith(".arrow") or all(entry.path != state for entry in data.manifest.files):
        return True
    file = data.file(state)
    try:
        counted = {entry["filename"] for entry in json.loads(file.read_text(encoding="utf-8"))["_data_files"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{file} does not list the data files as `datasets` writes them: {error!r}") from error
    return PurePosixPath(name).name in counted
