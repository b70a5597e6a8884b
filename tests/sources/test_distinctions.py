"""Which differences between two texts of the same words make them two tasks, and which are style."""

import itertools
from typing import Any

import pytest

from storm_core.sources.deduplication.distinctions import distinctions_of
from tests.sources.test_near_duplicates import example, similarity

FRAMES = {
    "prose": "Please read this with care, since one may go wrong here: {}, and then tell me in one whole sentence.",
    "line of its own": "Please read the next line with care, since one may go wrong there.\n{}\nTell me what it gives.",
    "fenced code": "What does this program do in the end, for all one gives it?\n```\nfoo = {}\n```\nSay it shortly.",
}
# Every two of a row are different tasks.
DIFFERENT = {
    "operators": ["a + b", "a - b", "a * b", "a / b", "a % b", "a ^ b", "a ** b", "a // b"],
    "comparisons": ["a < b", "a <= b", "a > b", "a >= b", "a == b", "a != b"],
    "without blanks": ["a+b", "a*b", "a/b", "a=b", "a<b"],
    "assignments": ["t += i", "t -= i", "t *= i", "t /= i", "t = i"],
    "logic": ["p && q", "p || q", "p & q", "p | q", "p ^ q"],
    "signs": ["x is -4", "x is 4", "x is +4", "x is \u22124"],
    "negation": ["check !done now", "check done now"],
    "digits": ["take 12 of 30", "take 13 of 30", "take 12 of 31", "take 30 of 12", "take 120 of 30"],
    "digits in words": ["the water H2O here", "the water H2O2 here", "the water H3O here"],
    "subscripts": ["x1 is taken", "x2 is taken", "x12 is taken"],
    "versions": ["for python2 it is", "for python3 it is"],
    "fractions": ["take 0.5 of it", "take 5 of it", "take 0,5 of it", "take \u00bd of it"],
    "powers": ["10\u00b2 of it", "10\u00b3 of it", "102 of it"],
    "percent": ["take 5% of it", "take 5 of it"],
    "currencies": ["it costs $5", "it costs \u20ac5", "it costs \u00a35"],
    "relations": ["p \u2264 q", "p \u2265 q", "p \u2208 q", "p \u2209 q"],
    "chemistry": ["the gas CO here", "the metal Co here".replace("metal", "gas")],
    "languages": ["write it in C", "write it in C++", "write it in C#"],
    "names": ["call getName now", "call getname now", "call GETNAME now"],
    "variables": ["let X be there", "let x be there"],
    "units": ["take 5 mg of it", "take 5 Mg of it", "take 5 g of it", "take 5 kg of it"],
    "degrees": ["turn by 5\u00b0 here", "turn by 5 here"],
    "derivatives": ["take f'(x) here", "take f''(x) here", "take f(x) here"],
    "primes": ["take f\u2032 here", "take f\u2033 here"],
    "what comes first": ["take (a + b) * c here", "take a + (b * c) here"],
    "intervals": ["x in [0, 1) here", "x in (0, 1] here", "x in [0, 1] here", "x in (0, 1) here"],
    "files": ["remove *.txt here", "remove .txt here"],
    "accidentals": ["the chord B\u266d here", "the chord B here", "the chord B\u266e here"],
    "pictures": ["what says \U0001f642 here", "what says \U0001f643 here"],
    "marks": ["this one \u2713 here", "this one \u2717 here"],
    "truth": ['say {"a": true} here', 'say {"a": false} here'],
    "keywords": ["if x in y: f(x)", "if x not in y: f(x)"],
}
# All of a row are one task.
STYLE = {
    "case of prose": ["Name the capital of France", "name the capital of france", "Name the Capital of France"],
    "shouting": ["who goes there\n", "WHO GOES THERE\n"],
    "punctuation": ["well, who knows that", "well; who knows that", "well who knows that!", "well... who knows that?"],
    "emphasis": ["a very good idea", "a **very** good idea", "a *very* good idea"],
    "quotes": ["the word 'tide' here", "the word \u201ctide\u201d here", "the word tide here"],
    "hyphens": ["a well-known dog", "a well known dog"],
    "dashes": ["a dog - old and grey", "a dog, old and grey", "a dog \u2014 old and grey", "a dog \u2013 old and grey"],
}


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("kind", DIFFERENT)
def test_texts_that_differ_in_what_decides_the_answer_are_two_tasks(kind: str, frame: str) -> None:
    for one, other in itertools.combinations(DIFFERENT[kind], 2):
        if frame == "fenced code" and kind in ("chemistry", "languages"):
            continue
        first, second = (
            example(("user", FRAMES[frame].format(each)), ("assistant", "That is easily said."))
            for each in (one, other)
        )
        assert similarity(first, second) == 0, (one, other)


@pytest.mark.parametrize("kind", STYLE)
def test_texts_that_differ_in_style_are_one_task(kind: str) -> None:
    for one, other in itertools.combinations(STYLE[kind], 2):
        frame = FRAMES["line of its own"]
        first, second = (example(("user", frame.format(each)), ("assistant", "So.")) for each in (one, other))
        assert similarity(first, second) == 1, (one, other)


@pytest.mark.parametrize("unit", ["  ", "    ", "\t"])
def test_code_of_another_depth_is_another_task_and_of_other_steps_the_same(unit: str) -> None:
    def asked(*lines: str) -> Any:
        code = "\n".join(("def f(x):", *lines))
        return example(("user", f"What does this give for small numbers?\n{code}\nSay it."), ("assistant", "Little."))

    within = asked(f"{unit}for i in x:", f"{unit}{unit}g(i)", f"{unit}{unit}h(i)")
    behind = asked(f"{unit}for i in x:", f"{unit}{unit}g(i)", f"{unit}h(i)")
    other_steps = asked("   for i in x:", "      g(i)", "      h(i)")
    assert within.id != behind.id and similarity(within, behind) == 0
    assert similarity(within, other_steps) == 1


def test_difference_in_an_answer_counts_too() -> None:
    question = ("user", "What does it come to when all is said and done, and nobody takes anything away again?")
    first, second = (example(question, ("assistant", f"It comes to {number}.")) for number in (41, 42))
    assert similarity(first, second) == 0


PROSE = [
    "",
    "Nothing of that kind here; well-known. Is it?",
    "I am. A dog!",
    "\n- one\n- two",
    "some (or all) of - well, *all*",
]


@pytest.mark.parametrize("text", PROSE)
def test_prose_has_no_distinctions(text: str) -> None:
    assert list(distinctions_of(text)) == []
