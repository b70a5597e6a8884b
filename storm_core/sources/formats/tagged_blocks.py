"""The blocks of a text that stand between an opening and a closing tag, found in one pass."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

# What Hermes and Qwen put around a call.
CALL_TAGS = {"<tool_call>": "</tool_call>"}


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block: where it starts and ends in the text, tags included, and what stands between the tags."""

    start: int
    end: int
    content: str


def find_blocks(text: str, closings: Mapping[str, str]) -> Iterator[Block]:
    """The blocks of the text, each from an opening tag to the next closing tag of its kind; none within another.

    A tag in a block is part of its content, and a tag without its closing is text. The search for a closing tag starts
    only where one follows, so that a text of nothing but opening tags costs no more than any other of its length.

    Args:
        text: what to search.
        closings: the closing tag of each opening tag; at least one.
    """
    last_closing = {opening: text.rfind(closing) for opening, closing in closings.items()}
    end = 0
    for opening in re.finditer("|".join(map(re.escape, closings)), text):
        tag = opening[0]
        if opening.start() < end or opening.end() > last_closing[tag]:
            continue
        closing_start = text.find(closings[tag], opening.end())
        end = closing_start + len(closings[tag])
        yield Block(start=opening.start(), end=end, content=text[opening.end() : closing_start])


def replace_blocks(text: str, closings: Mapping[str, str], rewrite: Callable[[Block], str]) -> str:
    """The text with what `rewrite` makes of each of its blocks in the block's place."""
    pieces = []
    end = 0
    for block in find_blocks(text, closings):
        pieces += [text[end : block.start], rewrite(block)]
        end = block.end
    return "".join([*pieces, text[end:]])
