"""The flags of `storm artifact <command>`, and the functions that run them."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from storm_core.stores.references import STORE_VARIABLE

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_REFERENCE = "a directory, a manifest file, or a URI: file:///, s3://, hf://org/name@revision"
_STORE = f"URI of the store: file:///directory or s3://bucket/prefix (default: {STORE_VARIABLE})"


def add_artifact_parser(verbs: "Commands") -> None:
    """Add `artifact` and its commands to the verbs of `storm`."""
    text = "look at, move, check and clear what a store holds"
    parser = verbs.add_parser("artifact", help=text, description=f"Commands that {text}.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="<command>")
    _add_listing(commands)
    _add_transfer(commands)
    _add_upkeep(commands)


def run_artifact_command(parsed: dict[str, Any]) -> int:
    """Run the command that was parsed; returns its exit code.

    Raises:
        InputError: a reference or a store that cannot work.
        StoreError: the store cannot be used.
    """
    run = _functions()[parsed.pop("command")]
    return run(**parsed)


def _functions() -> dict[str, Callable[..., int]]:
    # Imported here: `storm --help` needs none of it.
    from storm_core.artifact_commands import garbage, listing, transfer, upkeep

    return {
        "ls": listing.ls,
        "show": listing.show,
        "lineage": listing.lineage,
        "push": transfer.push,
        "pull": transfer.pull,
        "verify": upkeep.verify,
        "gc": garbage.gc,
    }


def _add_listing(commands: "Commands") -> None:
    ls = _command(commands, "ls", "list the artifacts of a store, the newest first")
    ls.add_argument("store", nargs="?", metavar="STORE", help=_STORE)
    ls.add_argument("--kind", help="only artifacts of this kind, such as model")
    ls.add_argument("--unfinished", action="store_true", help="also places whose publishing never finished")
    ls.add_argument("--json", action="store_true", dest="as_json", help="one JSON object a line, sizes in bytes")
    show = _command(commands, "show", "show an artifact's manifest: producer, inputs, metrics, files")
    show.add_argument("reference", metavar="REFERENCE", help=_REFERENCE)
    show.add_argument("--json", action="store_true", dest="as_json", help="the manifest itself")
    lineage = _command(commands, "lineage", "show what an artifact was made from, back to its sources")
    lineage.add_argument("reference", metavar="REFERENCE", help=_REFERENCE)
    lineage.add_argument("--store", metavar="STORE", help=_STORE)
    lineage.add_argument("--json", action="store_true", dest="as_json", help="one JSON object a line")


def _add_transfer(commands: "Commands") -> None:
    push = _command(commands, "push", "publish a directory, or copy an artifact from elsewhere, to a store")
    push.add_argument("reference", metavar="REFERENCE", help=_REFERENCE)
    push.add_argument("store", nargs="?", metavar="STORE", help=_STORE)
    push.add_argument("--kind", help="kind of the artifact, such as model; needed where it has no manifest")
    pull = _command(commands, "pull", "copy an artifact into a new directory, verified")
    pull.add_argument("reference", metavar="REFERENCE", help=_REFERENCE)
    pull.add_argument(
        "directory", metavar="DIRECTORY", help="directory to make; a pull that was interrupted is continued"
    )


def _add_upkeep(commands: "Commands") -> None:
    verify = _command(commands, "verify", "read artifacts whole and compare every file with its manifest")
    verify.add_argument("references", nargs="*", metavar="REFERENCE", help=f"{_REFERENCE} (default: the whole store)")
    verify.add_argument("--store", metavar="STORE", help=_STORE)
    verify.add_argument(
        "--remove-damaged", action="store_true", help="remove damaged files and their manifest, to publish them again"
    )
    _add_gc(commands)


def _add_gc(commands: "Commands") -> None:
    gc = _command(commands, "gc", "list, and on request remove, what unfinished runs left and what nothing needs")
    gc.add_argument("store", nargs="?", metavar="STORE", help=_STORE)
    gc.add_argument(
        "--keep-days",
        type=float,
        default=7.0,
        metavar="DAYS",
        help="leave what was made, written to or taken by a run since (days; default 7): longer than a run takes",
    )
    gc.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="REFERENCE",
        help="list finished artifacts too that are neither this nor what it was made from; may be repeated",
    )
    gc.add_argument(
        "--keep-registered",
        action="store_true",
        help="like --keep, of every model version in the MLflow registry, and of what decided on it",
    )
    gc.add_argument(
        "--registry",
        action="append",
        default=[],
        dest="registries",
        metavar="URI",
        help="like --keep-registered, of the MLflow registry at this tracking URI; may be repeated",
    )
    gc.add_argument("--delete", action="store_true", help="remove what is listed; without this nothing is removed")


def _command(commands: "Commands", name: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=text, description=text.capitalize() + ".", allow_abbrev=False)
