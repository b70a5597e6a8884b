import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from storm_core.examples.words import fold, words_of


def test_characters_that_show_nothing_are_no_part_of_a_word() -> None:
    assert words_of("The ca\u00adpi\u200btal of \u2066France\u2069") == ["the", "capital", "of", "france"]


def test_every_format_character_is_left_out() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) == "Cf"]
    assert len(characters) > 150
    assert {fold(f"a{character}b") for character in characters} == {"ab"}


def test_wide_letters_ligatures_and_numerals_are_the_plain_ones() -> None:
    assert words_of("\uff26\uff55\uff4c\uff4c \ufb01ne \u2163 \u33a1 \u3392") == words_of("full fine iv m2 mhz")


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_plain_text_is_folded_the_same_beside_other_letters(text: str) -> None:
    assert fold(f"{text}é") == f"{fold(text)}é"
