"""The patterns of `unfrozen_parameters`, read as axolotl reads them.

Source: axolotl's `utils/freeze.py` (`LayerNamePattern`). A dot there is a dot, so that `model.layers.1.` is layer 1
and no other; only `.+` is any text. What ends in brackets of digits is a range of rows.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from storm_core.errors import InputError
from storm_core.progress import report
from storm_core.yaml_documents import read_yaml

_KEY = "unfrozen_parameters"
# `NAME[900:]`, `NAME[:900]`, `NAME[3:900]`, `NAME[3]`, and what can only be meant so: behind `$` no class can match.
_RANGE = re.compile(r".+(\[[0-9]*(?::[0-9]*)?\]|(?<=\$)\[[^\]]*\])$")
_DOT = re.compile(r"\.(?!\+)")
# A dot that is neither escaped, nor said to be there any number of times.
_BARE_DOT = re.compile(r"(\\.)|\.(?![+*?{])")


def read_patterns(path: Path) -> list[str]:
    """The entries of `unfrozen_parameters` in a YAML that Spectrum wrote or axolotl reads.

    Raises:
        InputError: the file has no such list of strings, the list or an entry is empty, or an entry asks for some rows
            of a parameter.
    """
    content = read_yaml(path.read_bytes(), str(path))
    patterns = content.get(_KEY) if isinstance(content, dict) else None
    if not patterns:
        raise InputError(f"{path} unfreezes nothing; list the parameters to train under {_KEY}")
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise InputError(f"{_KEY} in {path} is not a list of strings")
    for pattern in patterns:
        if not pattern.strip():
            raise InputError(
                f"{_KEY} in {path} has an empty entry, which would match everything; write .+ if all is meant"
            )
        if found := _RANGE.fullmatch(pattern):
            raise InputError(
                f"{pattern!r} in {path} ends in {found[1]}, which to axolotl is a range of rows; a parameter is "
                "trained as a whole here: leave the range out (if layers are meant, write a dot behind the bracket)"
            )
    return patterns


def match_parameters(patterns: Iterable[str], names: Iterable[str], source: Path) -> set[str]:
    r"""The parameter names that some pattern matches, from the name's start.

    A bare module name thus matches the module's weight and bias. A pattern that axolotl would find nothing by is read
    as a regular expression with `\.`, `.*`, `.?` and `.{}`, and a line says so.

    Raises:
        InputError: a pattern is no regular expression, or matches no parameter.
    """
    listed = list(names)
    matched: set[str] = set()
    for pattern in patterns:
        found = _matching(_DOT.sub(r"\.", pattern), listed, pattern, source)
        if not found and (found := _matching(_with_regular_dots(pattern), listed, pattern, source)):
            report(
                f"{pattern!r} in {source} matches nothing in axolotl, where each dot but that of `.+` is a dot; as a "
                f"regular expression it matches {len(found)} parameters, which are trained"
            )
        if not found:
            raise InputError(f"{pattern!r} in {source} matches no parameter; {_remedy(pattern, listed)}")
        matched.update(found)
    return matched


def _with_regular_dots(pattern: str) -> str:
    return _BARE_DOT.sub(lambda found: found[1] or r"\.", pattern)


def _matching(expression: str, names: list[str], pattern: str, source: Path) -> list[str]:
    try:
        compiled = re.compile(expression)
    except re.error as error:
        raise InputError(f"{pattern!r} in {source} is not a regular expression: {error}") from error
    return [name for name in names if compiled.match(name)]


def _remedy(pattern: str, names: list[str]) -> str:
    inside = next((name for name in names if re.search(_DOT.sub(r"\.", pattern), name)), None)
    return (
        f"it must match from the name's start, as in {inside!r}" if inside else "was the scan made from another model?"
    )
