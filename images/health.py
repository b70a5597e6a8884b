"""Check that an environment can run its verbs: `health.py --verbs scan,merge`; exits with 1 and says what is wrong.

Imports every module that a verb's code names, inside functions too: what a stage imports late must be there as well.
Runs when an image is built, and in a container of it.
"""

import argparse
import importlib
import subprocess
import sys
from collections.abc import Iterator, Set

from storm_core.source_imports import closure
from storm_core.stages import load_stage

# What every verb runs through.
ENTRY = ("storm_core.cli", "storm_core.execution")


def main() -> int:
    """Run all checks; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verbs", required=True, help="separated by commas")
    parser.add_argument("--unmet", default="", help="packages that may be missing though another requires them")
    parser.add_argument("--without", default="", help="modules that this image's verbs name but need not have")
    parser.add_argument("--modules", default="", help="modules that must be there besides")
    arguments = parser.parse_args()
    problems = list(unmet_requirements(set(arguments.unmet.split(","))))
    for verb in arguments.verbs.split(","):
        module, _, _ = load_stage(verb).run.partition(":")
        problems += missing(f"storm {verb}", closure([module, *ENTRY]).outside, set(arguments.without.split(",")))
        problems += failed_command(verb)
    problems += missing("the image", set(filter(None, arguments.modules.split(","))))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def unmet_requirements(accepted: set[str]) -> Iterator[str]:
    """What `pip check` finds, less what is `accepted`. The pip is that of the base image: the environment has none."""
    command = [sys._base_executable, "-m", "pip", "--python", sys.executable, "check"]  # type: ignore[attr-defined]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in found.stdout.splitlines():
        known = "requires" in line and line.split(" requires ")[1].split(",")[0] in accepted
        if found.returncode and not known:
            yield f"pip check: {line}"
    if found.returncode and not found.stdout:
        yield f"pip check: {found.stderr.strip()}"


def failed_command(verb: str) -> Iterator[str]:
    """The command of the verb, as a component calls it, can be started."""
    finished = subprocess.run(["storm", verb, "--help"], capture_output=True, text=True, check=False)  # noqa: S607
    if finished.returncode:
        yield f"storm {verb} --help: {finished.stderr.strip()}"


def missing(what: str, modules: Set[str], without: Set[str] = frozenset()) -> Iterator[str]:
    """Each of the modules that cannot be imported; those of the packages `without` are not tried."""
    for name in sorted(modules):
        if name.split(".")[0] not in without:
            try:
                importlib.import_module(name)
            except ImportError as error:
                yield f"{what} needs {name}: {error}"


if __name__ == "__main__":
    sys.exit(main())
