"""`python -m elocute` and the `elocute` command."""

from __future__ import annotations

import os
import sys

# The fit solves many small systems; on busy cores OpenBLAS threads spin against each other and take ten times longer.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> None:
    """Run the command line and exit with its code; never shows a traceback."""
    from elocute.console import Console, as_known_error

    try:
        from elocute.cli import app

        app(prog_name="elocute")
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - what the commands' own border can't see: imports
        known = as_known_error(error)
        Console("--json" in sys.argv).error(known)
        sys.exit(known.exit_code)


if __name__ == "__main__":
    main()
