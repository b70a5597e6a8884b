"""The program `storm`: it listens to signals before it loads the rest."""

import signal
import sys

from storm_core.stopping import Stopped, StopTold, stop_in_order


def main() -> int:
    """Run `storm`; returns the exit code."""
    try:
        with stop_in_order(), StopTold():
            from storm_core.cli import main as run

            return run()
    except Stopped as stop:  # Nothing was begun.
        sys.stderr.write(f"storm: stopped ({stop.signal.name})\n")
        return stop.exit_code
    finally:
        # What is left is the interpreter's own end, which a signal may cut short.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
