"""The command line: one verb a module, loaded when it is called.

Exit status: 0 fine; 1 the data or the environment is wrong (one sentence on stderr); 2 usage; 3 a --require failed.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from .._version import version
from ..errors import KaratError
from .terminal import RequirementFailed, complain, show_warning

VERBS = ("demo", "score", "measure", "extract", "probe", "evaluate", "report", "catalog")

app = App(
    name="karat",
    help="How good is a self-supervised representation, sample by sample and without labels?",
    version=version,
    help_format="plaintext",
    result_action="return_value",
)
for verb in VERBS:
    app.command(f"karat.cli.{verb}:{verb}", name=verb)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        try:
            app([token for token in given if token != "--debug"], print_error=False, exit_on_error=False)
            sys.stdout.flush()
        except CycloptsError as error:
            complain(f"{error} (karat --help, karat VERB --help)")
            return 2
        except RequirementFailed as error:
            complain(str(error))
            return 3
        except BrokenPipeError:  # the reader went away, as `head` does: nothing to tell anybody
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except KeyboardInterrupt:
            complain("stopped")
            return 130
        except (KaratError, MemoryError) as error:
            if debug:
                raise
            complain(str(error) or "out of memory")
            return 1
    return 0
