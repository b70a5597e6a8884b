"""What makes two texts of the same words different tasks: numbers, operators, signs, and the case of code and symbols.

Words are compared folded and without punctuation, which is right for prose. `3x + 12` and `3x - 12`, `CO` and `Co`, or
`i * j` and `i / j` have the same words and other answers.
"""

import re
from collections.abc import Iterator

# Digits with what groups them or marks a fraction; superscripts and fractions of one character.
_NUMBER = r"\d+(?:[.,:]\d+)*|[\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209c\u2150-\u215e]"
# A word: letters, and digits behind them (`x1`).
_WORD = r"[^\W\d_][^\W_]*"
# Two numbers or names between brackets, of which the kinds say what belongs to it: `[0, 1)`.
_INTERVAL = r"[(\[]-?[\w.\u221e]+\s*[,;]\s*-?[\w.\u221e]+[)\]]"
_TOKEN = re.compile(rf"(?P<interval>{_INTERVAL})|(?P<number>{_NUMBER})|(?P<word>{_WORD})|(?P<symbol>[^\w\s]+|_+)")
# Symbols that mean something wherever they stand: mathematics, currencies, degrees, primes, accidentals, pictures, what
# programs compare and compute with.
_ALWAYS = re.compile(
    r"[+<=>|~^&$\\\u00a2-\u00a5\u00ac\u00b0\u00b1\u00d7\u00f7\u2032-\u2037\u20a0-\u20bf\u2190-\u22ff\u2600-\u2aff"
    r"\U0001f300-\U0001faff]"
)
# Those of prose too: emphasis, bullets, dashes, hyphens and slashes between words.
_SOMETIMES = re.compile(r"[-*/%!#']")
_BRACKET = re.compile(r"[()\[\]]")
_OPENING = re.compile(r"[(\[{\"'`\u201c\u2018]+$")
# A call, an index, an assignment, the end of a statement, a path of names, a tag.
_CODE = re.compile(
    r"\w\(|\w\[|[{}`]|;[ \t]*$|\w[ \t]*[-+*/|&<>=!:]?=[ \t]*\S|\w\.\w+\(|</?\w|->|=>|::|\w_\w|^[ \t]+\S.*:$"
)
_FENCE = re.compile(r"\s*(?:```|~~~)")
# Words of code that do what operators do elsewhere.
_KEYWORDS = frozenset(
    (
        *("true", "false", "null", "none", "nil", "and", "or", "not", "is", "in"),
        *("xor", "mod", "div", "min", "max", "asc", "desc"),
    )
)
# What may be a unit behind a number.
_LONGEST_UNIT = 3
_LOWER = re.compile(r"[^\W\d_]")


def distinctions_of(text: str) -> Iterator[str]:
    """Numbers, operators and capitals of the text that are no matter of style, and how deep code stands, in order."""
    is_fenced = False
    indents: list[int] = []
    for line in text.splitlines():
        if _FENCE.match(line):
            is_fenced = not is_fenced
        elif is_fenced or _CODE.search(line):
            yield from _depth(line, indents)
            yield from _of_code(line)
        else:
            yield from _of_prose(line)


def _depth(line: str, indents: list[int]) -> Iterator[str]:
    """How many of the lines above, whose indentations are `indents`, the line is within: in Python it says of which."""
    spaced = line.expandtabs()
    indent = len(spaced) - len(spaced.lstrip())
    while indents and indents[-1] >= indent:
        indents.pop()
    if indent and line.strip():
        indents.append(indent)
        yield "\t" * len(indents)


def _of_code(line: str) -> Iterator[str]:
    """All but words in small letters, which are compared as words; of those what does an operator's work."""
    for token in _TOKEN.finditer(line):
        is_small = token[0].isalpha() and token[0] == token[0].lower()
        if token.lastgroup != "word" or not is_small or token[0] in _KEYWORDS or _is_unit(line, token):
            yield token[0]


def _of_prose(line: str) -> Iterator[str]:
    has_small_letters = any(letter.islower() for letter in _LOWER.findall(line))
    tokens = list(_TOKEN.finditer(line))
    # Where something is computed, brackets say what comes first.
    computes = any(token.lastgroup == "symbol" and _joins_operands(line, token) for token in tokens)
    for token in tokens:
        if token.lastgroup == "word":
            is_distinct = (has_small_letters and _is_spelled(token[0])) or _is_unit(line, token)
        else:
            is_bracket = computes and bool(_BRACKET.search(token[0]))
            is_distinct = token.lastgroup in ("number", "interval") or is_bracket or _is_operator(line, token)
        if is_distinct:
            yield token[0]


def _joins_operands(line: str, token: "re.Match[str]") -> bool:
    before, after = line[: token.start()], line[token.end() :]
    return bool(re.search(r"[-+*/^=<>]", token[0])) and _is_between(token[0].strip("()[]"), before, after)


def _is_unit(line: str, token: "re.Match[str]") -> bool:
    """Whether the word follows a number as its unit: `5 mg`, and no `5 Mg` or `5 kg`."""
    return len(token[0]) <= _LONGEST_UNIT and bool(re.search(r"\d[ \u00a0]?$", line[: token.start()]))


def _is_spelled(word: str) -> bool:
    """Whether the word has capitals that no sentence gives it: `CO`, `mRNA`, `X`; or digits, as `x1` has."""
    return (
        word[1:] != word[1:].lower() or (len(word) == 1 and word.isupper() and word not in "AI") or not word.isalpha()
    )


def _is_operator(line: str, token: "re.Match[str]") -> bool:
    if _ALWAYS.search(token[0]):
        return True
    if not _SOMETIMES.search(token[0]):
        return False
    before, after = line[: token.start()], line[token.end() :]
    if not token[0].strip("'"):
        return _is_behind(token[0], before)
    return (
        _is_between(token[0], before, after)
        or _is_before_operand(token[0], before, after)
        or _is_behind(token[0], before)
    )


def _is_between(symbol: str, before: str, after: str) -> bool:
    """Whether it joins two operands, with blanks on both sides or on none; a hyphen or dash only beside a digit."""
    left, right = before.rstrip(), after.lstrip()
    if not left or not right:
        return False
    joins = (len(left) < len(before)) == (len(right) < len(after))
    return joins and (symbol != "-" or left[-1].isdigit() or right[0].isdigit())


def _is_before_operand(symbol: str, before: str, after: str) -> bool:
    """Whether it is a sign or a negation: right before a number or a name, behind nothing that it could join.

    Or a star before a file's ending.
    """
    lead = _OPENING.sub("", before)
    if symbol.startswith("*."):
        return bool(re.match(r"\w", after)) and (not lead or lead[-1].isspace())
    return symbol[-1] in "-!" and bool(re.match(r"[\w(.]", after)) and (not lead or lead[-1].isspace())


def _is_behind(symbol: str, before: str) -> bool:
    """Whether it belongs to what it follows: `5%`, `5!`, `C#`, the prime of `f'`."""
    return bool(before) and (
        (symbol[0] in "%!" and before[-1].isdigit())
        or (symbol[0] == "#" and before[-1].isalnum())
        or (symbol[0] == "'" and bool(re.search(r"(?<![^\W_])[^\W\d_]$", before)))
    )
