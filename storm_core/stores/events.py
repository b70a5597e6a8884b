"""What a store does, step by step, for whoever watches: the crash tests stop the process at each of these."""

from collections.abc import Callable

Observer = Callable[[str], None]

# In the order in which one publish, and one open, pass them; those of parts and files come many times.
PUBLISH_EVENTS = (
    "publish.begin",
    "publish.upload_created",
    "publish.part_sent",
    "publish.before_complete",
    "publish.file_sent",
    "publish.before_manifest",
    "publish.manifest_sent",
    "publish.before_adopt",
)
OPEN_EVENTS = (
    "open.manifest_read",
    "open.locked",
    "open.range_written",
    "open.file_done",
    "open.before_rename",
    "open.renamed",
)


def ignore(event: str) -> None:
    """The observer that does nothing."""
