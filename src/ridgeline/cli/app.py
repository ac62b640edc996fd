"""The program `ridgeline`: its commands, and what a mistake looks like: one line on stderr and exit code 2.

A command's module is imported when the command is used. Knows no option.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from ridgeline.errors import InputError

COMMANDS = {
    "plan": "The best layouts and batches of a model on a system, and what a token costs.",
    "modes": "Price against speed: standard, fast and slow modes, the latency floor, long context, sparsity.",
    "compare": "Several systems, models or options on one workload: one table, one picture.",
    "sensitivity": "Which input moves the cost: elasticities and a tornado.",
    "racks": "Beyond one rack: experts over several, domains of other sizes, pipelines of racks, less memory.",
    "cache": "Where to keep prompts between two uses: HBM, host memory, flash, disk, or compute them anew.",
    "menu": "What to charge for input, output, cached, long, fast and batch tokens, and what each costs.",
    "context": "Cost and speed against context, to 100M tokens, with the attention as published or replaced.",
    "prices": "Price sheets side by side: ratios, steps, modes, and how they moved.",
    "infer": "What a price sheet says of the model behind it, and how sure that is.",
    "step": "One layout and batch: what every operation takes, and what binds.",
    "train": "Training: step time, memory, layouts, days and dollars, and the launch command.",
    "sweep": "A grid of layouts, batches, contexts or options, to CSV or Parquet, on one process or many.",
    "query": "SQL on the folder of a large sweep.",
    "explain": "Any printed number: its formula, the values in it, and who says them.",
    "model": "What a model is made of: parameters, caches, layers.",
    "catalog": "Chips, systems, storage media, models, prices and price sheets, each value with its source.",
    "cite": "The sources that a scenario's numbers rest on.",
    "simulate": "Replicas under a stream of requests: queues, percentiles, what a token costs.",
    "capacity": "The highest rate of requests that one replica serves within its objectives.",
    "pipeline": "Schedules of pipeline parallelism, simulated and drawn; when a pipeline pays.",
    "lifetime": "Pre-training, RL and inference of one model: how long to train it, and what traffic explains it.",
    "rl": "One step of reinforcement learning: rollouts with a long tail, training, refit; lag.",
    "scaling": "Scaling laws: what a budget buys, over-training, repeated data, experts; fits of your own runs.",
    "lecture": "Every claim of the lecture, recomputed: as said, with real inputs, and a verdict.",
    "reversible": "Activations stored, recomputed and rebuilt: bytes, seconds, gradients, losses, measured here.",
    "cipher": "How a small change spreads through ciphers and through networks, side by side by depth.",
    "web": "The explorer in the browser: sliders, pictures, and every number down to its source.",
    "predict": "Floor, estimate and interval of every row of a file of points.",
    "validate": "Predictions of a file of points held against what was measured.",
    "calibrate": "The constants of engines or kernels, fitted to measurements.",
    "measure": "Micro-benchmarks of this machine, and the constants of its kernels.",
}


def app() -> App:
    """The program with all its commands."""
    program = App(
        name="ridgeline",
        help=(
            "How long a step of a language model takes, what binds it, which layout to run, what a token costs.\n\n"
            "Begin with: ridgeline plan deepseek-v3 gb200-nvl72"
        ),
        version=_version,
        default_parameter=Parameter(show_default=False, negative=()),
        exit_on_error=False,
        print_error=False,
        help_on_error=False,
        suppress_keyboard_interrupt=False,
    )
    for i, (name, text) in enumerate(COMMANDS.items()):
        home = "ridgeline.web.command" if name == "web" else f"ridgeline.cli.{name}"
        program.command(f"{home}:{name}", name=name, help=text, sort_key=i)
    return program


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; its exit code: the command's, 2 for a mistake of the user's, 130 when interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices are small, and NumPy's threads turn while they wait
    try:
        code = app()(sys.argv[1:] if arguments is None else arguments, result_action="return_value")
        sys.stdout.flush()
        return code or 0
    except InputError as error:
        return _refuse(str(error))
    except CycloptsError as error:
        error.verbose = False
        return _refuse(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has gone; nor can the rest be flushed at exit
        _silence()
        return 0
    except OSError as error:
        _silence()
        return _refuse(f"standard output: cannot be written ({error.strerror})")


def _silence() -> None:
    """Send what is still to be flushed at exit nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse(message: str) -> int:
    print(f"ridgeline: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _version() -> str:
    from importlib.metadata import version

    return f"ridgeline {version('ridgeline')}"
