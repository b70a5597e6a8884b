import re

from hypothesis import given
from hypothesis import strategies as st

from storm_core.sources.formats.tagged_blocks import find_blocks, replace_blocks

TAGS = {"<a>": "</a>", "<b>": "</b>"}
TEXTS = st.lists(st.sampled_from([*TAGS, *TAGS.values(), "x", "<", "\n"]), max_size=20).map("".join)


@given(TEXTS)
def test_blocks_are_those_that_a_pattern_of_both_tags_finds(text: str) -> None:
    pattern = re.compile(r"<a>(.*?)</a>|<b>(.*?)</b>", re.DOTALL)
    expected = [(*match.span(), match[1] if match[1] is not None else match[2]) for match in pattern.finditer(text)]
    assert [(block.start, block.end, block.content) for block in find_blocks(text, TAGS)] == expected
    assert replace_blocks(text, TAGS, lambda block: f"[{block.content}]") == pattern.sub(
        lambda match: f"[{match[1] if match[1] is not None else match[2]}]", text
    )
