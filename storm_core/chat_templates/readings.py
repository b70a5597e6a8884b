"""A conversation in the roles that a template takes: as it is, or with nothing lost told by the user.

Where a template takes no system turn, its text goes before the first user turn; where it takes no tool's turn, what the
tool answered is told by the user, in the tags that Hermes and Qwen have for it.
"""

from collections.abc import Iterator, Sequence

from storm_core.records import Message

Turns = tuple[Message, ...]


def readings(messages: Sequence[Message]) -> Iterator[Turns]:
    """The conversation as it is, and then in fewer roles; each only once, the least changed first."""
    turns = tuple(messages)
    told = _tools_by_user(turns)
    merged = _merge_users(told)
    yield from dict.fromkeys(
        (turns, _system_by_user(turns), told, _system_by_user(told), merged, _merge_users(_system_by_user(told)))
    )


def _system_by_user(turns: Turns) -> Turns:
    """The system's text before that of the first user turn."""
    if not turns or turns[0].role != "system":
        return turns
    system, *others = turns
    first = next((place for place, turn in enumerate(others) if turn.role == "user"), None)
    if first is None:
        return turns
    text = "\n\n".join(part for part in (system.content, others[first].content) if part.strip())
    others[first] = Message(role="user", content=text)
    return tuple(others)


def _tools_by_user(turns: Turns) -> Turns:
    """Every tool's answer as a user turn; what several tools answer at once is one turn."""
    told: list[Message] = []
    before = ""
    for turn in turns:
        if turn.role != "tool":
            told.append(turn)
        else:
            text = f"<tool_response>\n{turn.content}\n</tool_response>"
            if before == "tool":
                text = f"{told.pop().content}\n{text}"
            told.append(Message(role="user", content=text))
        before = turn.role
    return tuple(told)


def _merge_users(turns: Turns) -> Turns:
    """User turns that follow each other as one, for templates that want user and assistant to take turns."""
    merged: list[Message] = []
    for turn in turns:
        if merged and turn.role == merged[-1].role == "user":
            merged[-1] = Message(role="user", content=f"{merged[-1].content}\n\n{turn.content}")
        else:
            merged.append(turn)
    return tuple(merged)
