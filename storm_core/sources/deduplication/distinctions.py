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
_TOKEN = re.compile(rf"(?P<number>{_NUMBER})|(?P<word>{_WORD})|(?P<symbol>[^\w\s]+|_+)")
# Symbols that mean something wherever they stand: mathematics, currencies, what programs compare and compute with.
_ALWAYS = re.compile(r"[+<=>|~^&$\\\u00a2-\u00a5\u00ac\u00b1\u00d7\u00f7\u20a0-\u20bf\u2190-\u22ff\u27c0-\u2aff]")
# Those of prose too: emphasis, bullets, dashes, hyphens and slashes between words.
_SOMETIMES = re.compile(r"[-*/%!#]")
_OPENING = re.compile(r"[(\[{\"'`\u201c\u2018]+$")
# A call, an index, an assignment, the end of a statement, a path of names, a tag.
_CODE = re.compile(
    r"\w\(|\w\[|[{}`]|;[ \t]*$|\w[ \t]*[-+*/|&<>=!:]?=[ \t]*\S|\w\.\w+\(|</?\w|->|=>|::|\w_\w|^[ \t]+\S.*:$"
)
_FENCE = re.compile(r"\s*(?:```|~~~)")
_LOWER = re.compile(r"[^\W\d_]")


def distinctions_of(text: str) -> Iterator[str]:
    """Numbers, operators and capitals of the text that are no matter of style, in their order."""
    is_fenced = False
    for line in text.splitlines():
        if _FENCE.match(line):
            is_fenced = not is_fenced
        elif is_fenced or _CODE.search(line):
            yield from _of_code(line)
        else:
            yield from _of_prose(line)


def _of_code(line: str) -> Iterator[str]:
    """All but words in small letters, which are compared as words."""
    for token in _TOKEN.finditer(line):
        if token.lastgroup != "word" or not (token[0].isalpha() and token[0] == token[0].lower()):
            yield token[0]


def _of_prose(line: str) -> Iterator[str]:
    has_small_letters = any(letter.islower() for letter in _LOWER.findall(line))
    for token in _TOKEN.finditer(line):
        if token.lastgroup == "word":
            is_distinct = has_small_letters and _is_spelled(token[0])
        else:
            is_distinct = token.lastgroup == "number" or _is_operator(line, token)
        if is_distinct:
            yield token[0]


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
    """Whether it is a sign or a negation: right before a number or a name, behind nothing that it could join."""
    lead = _OPENING.sub("", before)
    return symbol[-1] in "-!" and bool(re.match(r"[\w(.]", after)) and (not lead or lead[-1].isspace())


def _is_behind(symbol: str, before: str) -> bool:
    """Whether it belongs to what it follows: `5%`, `5!`, `C#`."""
    return bool(before) and (
        (symbol[0] in "%!" and before[-1].isdigit()) or (symbol[0] == "#" and before[-1].isalnum())
    )
