"""Changes to chat templates: pieces dropped, repeated, put elsewhere or replaced, names and literals changed."""

import re
from random import Random

from tests.fuzzing.mutations import mutate_bytes

_PIECE = re.compile(r"(\{%.*?%\}|\{\{.*?\}\})", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_]\w*|\d+|'[^']*'")
_WORDS = (
    *("messages", "message", "m", "content", "role", "loop", "text", "namespace", "add_generation_prompt", "none"),
    *("true", "false", "'user'", "'assistant'", "'system'", "'tool'", "''", "'x'", "bos_token", "eos_token", "0", "1"),
    *("-1", "99999999999", "not", "upper", "first", "last", "length", "tools", "system", "thought"),
)
# What must end, or be refused, though no template for conversations has it.
_TRAPS = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in range(10 ** 12) %}{{ a }}{% endfor %}",
    "{% set ns = namespace(text='x') %}{% for a in range(60) %}{% set ns.text = ns.text + ns.text %}{% endfor %}",
    "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    "{{ 'a' * 10 ** 12 }}",
    "{{ 10 ** 10 ** 6 }}",
    "{% include 'other' %}",
    "{% extends messages %}",
    "{{ messages.append(messages) }}",
    "{{ messages | tojson | length }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ raise_exception('no') }}",
    "{{ strftime_now('%Y') }}",
    "{% generation %}{{ messages[0]['content'] }}{% endgeneration %}",
    "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "{{ messages[0]['content'] | replace('a', '') }}",
    "{{ '%s' % messages }}",
    "{{ '{0.__class__}'.format(messages) }}",
    "{% break %}",
    "{# ",
    "{% raw %}",
)


def mutate_template(source: str, chance: Random) -> str:
    """The template with one change; nine of ten are of its pieces, words and literals."""
    pieces = _PIECE.split(source)
    place, other = chance.randrange(len(pieces)), chance.randrange(len(pieces))
    kind = chance.random()
    if kind < 0.2:
        del pieces[place]
    elif kind < 0.3:
        pieces.insert(other, pieces[place])
    elif kind < 0.4:
        pieces[place], pieces[other] = pieces[other], pieces[place]
    elif kind < 0.75:
        pieces[place] = _change_word(pieces[place], chance)
    elif kind < 0.8:
        pieces.insert(place, chance.choice(_TRAPS))
    elif kind < 0.9:
        text = pieces[place]
        start = chance.randrange(len(text) + 1)
        pieces[place] = (
            text[:start] + chance.choice(("", "x", "\n", " ", "{", "%}", "}}", "-", "[1:]")) + text[start + 1 :]
        )
    else:
        return mutate_bytes(source.encode(errors="replace"), chance).decode(errors="replace")
    return "".join(pieces)


def _change_word(piece: str, chance: Random) -> str:
    words = list(_WORD.finditer(piece))
    if not words:
        return piece
    word = chance.choice(words)
    return piece[: word.start()] + chance.choice(_WORDS) + piece[word.end() :]
