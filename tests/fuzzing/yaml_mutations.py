"""YAML, changed: in its value, in its lines, in its bytes."""

from random import Random

import yaml

from tests.fuzzing.mutations import NUMBERS, TEXTS, mutate_bytes, mutate_value

_LINES = (
    *(
        "- ",
        "  - a",
        ": a",
        "a:",
        "? [a, b]\n: c",
        "<<: *a",
        "a: &a [*a]",
        "--- ",
        "...",
        "\t- a",
        "%YAML 9.9",
        "!!python/object:os.x {}",
    ),
    *(
        "a: 2024-13-45",
        "a: 0x",
        "a: 1_0:99",
        "a: .nan",
        "a: !!binary x",
        "a: !!set {a, b}",
        "a: !!int x",
        "a: *b",
        "a: |\n x",
        '"\\ud800": 1',
    ),
    *(
        f"a: {'9' * 5000}",
        f"a: {'[' * 2000}",
        "a: " + "{a: " * 300,
        "a: !!float 1e",
        "1: 2",
        "null: 1",
        "true: 1",
        "1.5: a",
        "a: 1e999",
    ),
)


def mutate_yaml(content: bytes, chance: Random) -> bytes:
    """YAML text with a change of its value, of one of its lines, or of its bytes."""
    kind = chance.random()
    if kind < 0.5:
        try:
            value = mutate_value(yaml.load(content, Loader=yaml.CSafeLoader), chance)
            return yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=False).encode()
        # Changed before: it is no value any more, or one that cannot be written.
        except (yaml.YAMLError, ValueError, RecursionError, TypeError, OverflowError):
            return _change_line(content, chance)
    return _change_line(content, chance) if kind < 0.85 else mutate_bytes(content, chance)


def _change_line(content: bytes, chance: Random) -> bytes:
    lines = content.decode(errors="surrogateescape").split("\n")
    place = chance.randrange(len(lines))
    kind = chance.randrange(6)
    if kind == 0:
        del lines[place]
    elif kind == 1:
        lines.insert(chance.randrange(len(lines)), lines[place])
    elif kind == 2:
        lines[place] = chance.choice((" ", "  ", "\t", "- ")) + lines[place]
    elif kind == 3:
        lines.insert(place, chance.choice(_LINES))
    elif kind == 4:
        key, colon, value = lines[place].partition(":")
        given = chance.choice(
            (
                *TEXTS[:12],
                *map(str, NUMBERS),
                "[a, b]",
                "{a: b}",
                "~",
                "yes",
                "2024-01-01",
                "*a",
                "&a",
                "!!str 1",
                value * 2,
            )
        )
        lines[place] = f"{key}{colon} {given}" if colon else str(given)
    else:
        lines[place] = lines[place].lstrip()
    return "\n".join(lines).encode(errors="surrogateescape")
