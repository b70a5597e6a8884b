"""Says in the log how conversations are read where a chat template does not take them as they are."""

from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.progress import report
from storm_core.records import Message

_QUESTION = Message(role="user", content="Is it raining?")
_SYSTEM = (Message(role="system", content="Be brief."), _QUESTION)
_TOOL = (_QUESTION, Message(role="assistant", content="Let me see."), Message(role="tool", content="It is dry."))


def tell_readings(template: ChatTemplate) -> None:
    """One line for each role that the template does not take."""
    if not template.takes(_SYSTEM):
        report("the chat template takes no system turn: its text goes before the first user turn")
    if not template.takes(_TOOL):
        report("the chat template takes no tool turn: what tools answer becomes a user turn, in <tool_response> tags")
