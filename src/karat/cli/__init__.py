"""The command line: one verb a module, loaded when it is called.

Exit status: 0 fine; 1 the data or the environment is wrong (one sentence on stderr); 2 usage; 3 a --require failed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.exceptions import MissingArgumentError, UnusedCliTokensError

from .._files import reason
from .._version import version
from ..errors import KaratError, KaratWarning
from .requirements import RequirementFailed
from .terminal import complain, show_warning

VERBS = {
    "demo": "The whole story on bundled images, from pixels to a report.",
    "score": "Score every sample of an embedding file, without labels.",
    "measure": "Numbers of a whole set: mean Q-Score, effective rank ...",
    "extract": "Run an encoder over images and keep its features.",
    "probe": "Train a linear probe and judge it, sample by sample.",
    "evaluate": "Do the scores predict what a probe gets wrong?",
    "compress": "Drop features, and see what they were worth.",
    "calibrate": "From scores and few labels to P(misclassified).",
    "select": "Which samples to label next.",
    "finetune": "Make an encoder better by the Q-Score terms.",
    "compare": "Two encoders on the same images: what moved.",
    "explain": "Heatmaps: which features fire on an image, and where they look.",
    "report": "Draw a run as one self-contained HTML page.",
    "explore": "Walk through a run in a browser: samples, features, errors.",
    "encoders": "List the published encoders; inspect or convert a checkpoint.",
    "catalog": "List every score and metric, and where it is from.",
}

app = App(
    name="karat",
    help="How good is a self-supervised representation, sample by sample and without labels?",
    help_epilogue=(
        "--debug, with any verb, shows the traceback of an error.\n"
        "Exit status: 0 fine; 1 data or environment wrong; 2 usage; 3 a --require failed."
    ),
    version=version,
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
    group_commands=Group("Verbs", sort_key=0),
    group_arguments=Group("Arguments", sort_key=1),
    group_parameters=Group("Options", sort_key=2),
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
for position, (verb, line) in enumerate(VERBS.items()):
    app.command(f"karat.cli.{verb}:{verb}", name=verb, help=line, sort_key=position)
for flag in (*app.help_flags, *app.version_flags):
    app[flag].sort_key = len(VERBS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _ended_like_ctrl_c():
            _call([token for token in given if token != "--debug"])
    except CycloptsError as error:
        complain(_usage(error, given))
        return 2
    except RequirementFailed as error:
        complain(str(error))
        return 3
    except KeyboardInterrupt:
        complain("stopped")
        return 130
    except BrokenPipeError:  # the reader went away, as `head` does: nothing to tell anybody
        _abandon_stdout()
        return 1
    except Exception as error:
        if "--debug" in given:
            raise
        _abandon_stdout()
        complain(_sentence(error))
        return 1
    return 0


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """A polite request to end (SIGTERM) interrupts the work, so that temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _call(tokens: list[str]) -> None:
    """Run the verb, and see its output through; of warnings only karat's own are shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", KaratWarning)
        warnings.showwarning = show_warning
        try:
            app(tokens, print_error=False, exit_on_error=False)
        finally:
            if sys.stdout is not None:  # as it is where the shell closed it: >&-
                sys.stdout.flush()


def _usage(error: CycloptsError, given: Sequence[str]) -> str:
    """What is wrong with the command, and where to read how it should be."""
    command = " ".join(("karat", *(error.command_chain or [verb for verb in given[:1] if verb in VERBS])))
    match error:
        case UnusedCliTokensError():
            text = f"{command} has no use for {' '.join(error.unused_tokens or ())}"
        case MissingArgumentError(keyword=str(option)):
            text = f"{option} needs a value"
        case MissingArgumentError() if error.argument is not None:
            text = f"{command} needs {error.argument.name}"
        case _:
            text = str(error).rstrip("., ")
    return f"{text} ({command} --help)"


def _sentence(error: Exception) -> str:
    """An error as a user should see it."""
    match error:
        case KaratError():
            return str(error)
        case MemoryError():
            return f"there is not enough memory: {error}" if str(error) else "there is not enough memory"
        case OSError():
            return f"{error.filename}: {reason(error)}" if error.filename else reason(error)
    return f"unexpected {type(error).__name__}: {error} (an error in karat; --debug shows where)"


def _abandon_stdout() -> None:
    """Where stdout takes no more, send the rest nowhere: the interpreter flushes once more when it ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
