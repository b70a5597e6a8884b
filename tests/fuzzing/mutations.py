"""Changes to valid inputs: of values, of their text in JSON, and of bytes. Chance decides, and nothing else."""

import copy
import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

NUMBERS = (
    *(0, 1, 2, -1, 3, 7, 64, 65, 10**4, 2**31, 2**63, -(2**63), 10**30, 10**400),
    *(0.5, -0.0, 1e-9, 1e308, -1e308, float("nan"), float("inf"), float("-inf")),
)
TEXTS = (
    *("", " ", "0", "-1", "true", "null", "None", "nan", "a", "x" * 3000, "é", "😀", "\u2028", "\ufdd0", "\0", "a\nb"),
    *(
        "\ud800",
        "\udc80x",
        "../..",
        "/etc/passwd",
        "..\\x",
        "{}",
        "[]",
        "{{ x }}",
        "%s",
        "{0}",
        "\\",
        '"',
        "'",
        "\ufeff",
    ),
)
_PIECES = (
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"[",
    b"{",
    b"}",
    b"]",
    b'"',
    b"\\",
    b",",
    b":",
)
_DEPTHS = (3, 70, 1000, 5000)


def mutate_value(value: Any, chance: Random) -> Any:
    """The value, which JSON could hold, with one part of it dropped, replaced, renamed, or put in another's place."""
    changed = copy.deepcopy(value)
    places = list(_places(changed))
    if not places:
        return hostile(value, chance)
    # Parts near the top are as likely as all the others, of which there may be thousands.
    holder, key = chance.choice(places[: 1 + len(places) // 8] if chance.random() < 0.3 else places)
    change = chance.choice((_drop, _replace, _replace, _nudge, _nudge, _rename, _transplant, _repeat))
    change(changed, holder, key, chance)
    return changed


def hostile(value: Any, chance: Random) -> Any:
    """Something else in the place of the value."""
    other: list[Callable[[], Any]] = [
        lambda: None,
        lambda: chance.choice((True, False)),
        lambda: chance.choice(NUMBERS),
        lambda: chance.choice(TEXTS),
        lambda: chance.choice(([], {}, [[]], [None], {"": None}, [{}], {"a": []}, ["a"], [1, "a"])),
        lambda: [copy.deepcopy(value)],
        lambda: {"a": copy.deepcopy(value)},
        lambda: type(value).__name__,
        lambda: _nested(chance.choice(_DEPTHS)),
    ]
    return chance.choice(other)()


def mutate_json(content: bytes, chance: Random) -> bytes:
    """JSON text with a change of its value, of its spelling, or of its bytes."""
    kind = chance.random()
    if kind < 0.7:
        try:
            return to_json(mutate_value(json.loads(content), chance))
        except (ValueError, RecursionError):
            return mutate_bytes(content, chance)
    return _respell(content, chance) if kind < 0.85 else mutate_bytes(content, chance)


def to_json(value: Any) -> bytes:
    """The value as JSON, written even where it nests deep; half a surrogate pair as its escape."""
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return b"[" * 100_000


def mutate_bytes(content: bytes, chance: Random) -> bytes:
    """The bytes with some flipped, cut off, cut out, put in or put elsewhere."""
    changed = bytearray(content)
    start = chance.randrange(len(changed) + 1)
    length = chance.choice((1, 1, 2, 8, 64, 1000))
    end = min(len(changed), start + length)
    kind = chance.randrange(7)
    if kind == 0 and start < len(changed):
        changed[start] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del changed[start:]
    elif kind == 2:
        del changed[start:end]
    elif kind == 3:
        changed[start:start] = chance.choice(_PIECES) * chance.choice((1, 1, 2, 500))
    elif kind == 4:
        changed[start:end] = bytes(chance.choice((0, 255, chance.randrange(256))) for _ in range(start, end))
    elif kind == 5:
        there = chance.randrange(len(changed) + 1)
        changed[there:there] = changed[start:end]
    elif end > start:
        changed[start:end] = chance.choice((0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)).to_bytes(8, "little")
    return bytes(changed)


def among(*mutators: Callable[[Any, Random], Any]) -> Callable[[Any, Random], Any]:
    """One of the mutators, by chance."""
    return lambda value, chance: chance.choice(mutators)(value, chance)


def _places(value: Any) -> Sequence[tuple[Any, Any]]:
    """Every part of the value, as what holds it and its key or position there."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    seen: set[int] = set()
    while waiting:
        holder = waiting.pop(0)
        if id(holder) in seen:  # YAML's aliases lead to one thing more than once, or in a circle.
            continue
        seen.add(id(holder))
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else []
        found += [(holder, key) for key in keys]
        waiting += [holder[key] for key in keys if isinstance(holder[key], dict | list)]
    return found


def _drop(root: Any, holder: Any, key: Any, chance: Random) -> None:
    del holder[key]


def _replace(root: Any, holder: Any, key: Any, chance: Random) -> None:
    holder[key] = hostile(holder[key], chance)


def _nudge(root: Any, holder: Any, key: Any, chance: Random) -> None:
    """Something of the same type."""
    value = holder[key]
    if isinstance(value, bool):
        holder[key] = not value
    elif isinstance(value, int):
        holder[key] = chance.choice((value + 1, value - 1, 2 * value, value // 2, -value, float(value % 10**9)))
    elif isinstance(value, float):
        holder[key] = chance.choice((value * 2, value / 3, -value, value * 1e9))
    elif isinstance(value, str):
        holder[key] = _change_text(value, chance)
    elif isinstance(value, list):
        chance.shuffle(value)
    else:
        _replace(root, holder, key, chance)


def _change_text(text: str, chance: Random) -> str:
    place = chance.randrange(len(text) + 1)
    piece = chance.choice(TEXTS)[:20]
    return chance.choice(
        (text[:place], text[:place] + piece + text[place:], text.upper(), text[place:] + text, f" {text} ")
    )


def _rename(root: Any, holder: Any, key: Any, chance: Random) -> None:
    if isinstance(holder, dict):
        holder[chance.choice((*TEXTS, _change_text(str(key), chance), *map(str, holder)))] = holder.pop(key)
    else:
        _drop(root, holder, key, chance)


def _transplant(root: Any, holder: Any, key: Any, chance: Random) -> None:
    """Another part of the whole in the place of this one."""
    there, other = chance.choice(_places(root))
    holder[key] = copy.deepcopy(there[other])


def _repeat(root: Any, holder: Any, key: Any, chance: Random) -> None:
    if isinstance(holder, list):
        holder[key:key] = [copy.deepcopy(holder[key]) for _ in range(chance.choice((1, 2, 50)))]
    else:
        holder[f"{key}{chance.choice(('2', '_', ' '))}"] = copy.deepcopy(holder[key])


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def _respell(content: bytes, chance: Random) -> bytes:
    """JSON in which a key stands twice, a comma too many, quotes of another kind; or in another encoding."""
    keys = [match.start() for match in re.finditer(rb'"[^"\\]*" *:', content)]
    if keys and chance.random() < 0.5:
        place, other = chance.choice(keys), chance.choice(keys)
        name = content[other:].split(b":")[0]
        return (
            content[:place]
            + name
            + b": "
            + chance.choice((b"null", b"1", b'"a"', b"[]", b"{}"))
            + b", "
            + content[place:]
        )
    text = content.decode(errors="replace")
    return chance.choice(
        (
            content.replace(b'"', b"'", chance.choice((1, 2, -1))),
            content.replace(b",", b",,", 1),
            content.replace(b"}", b",}", 1),
            b"\xef\xbb\xbf" + content,
            text.encode("utf-16"),
            content + content,
            b"",
            b"null",
            b"[" * chance.choice((100, 100_000)),
            content.replace(b"true", b"True").replace(b"null", b"None"),
            b"// " + content,
        )
    )
