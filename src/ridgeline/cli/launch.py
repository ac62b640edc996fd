"""`--emit`: the commands that start a plan on a serving engine, in place of the table of plans."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Group, Parameter

from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import copied
from ridgeline.errors import InputError
from ridgeline.launch import ENGINES, deployed
from ridgeline.launch import emit as write
from ridgeline.launch.engine import engine
from ridgeline.planner import Plan

_LAUNCH = Group("Launch", sort_key=98)

EmitTo = Annotated[
    str, Parameter(name="--emit", help=f"Print the commands that start it: {', '.join(ENGINES)}.", group=_LAUNCH)
]
EmitPlan = Annotated[int, Parameter(help="Which of the plans; 1 (the best) if not given.", group=_LAUNCH)]
Checkpoint = Annotated[str, Parameter(help="Name or folder of the checkpoint to load instead.", group=_LAUNCH)]
HostChips = Annotated[int, Parameter(help="Chips of one host; as the system says if not given.", group=_LAUNCH)]


def launched(plans: Sequence[Plan], name: str, which: int, checkpoint: str, host: int, again: str) -> Report:
    """The script of one of the plans; where the engine cannot do it, which of the others it can."""
    if not 1 <= which <= len(plans):
        raise InputError(f"--emit-plan {which}", f"one of the {len(plans)} plans", "more with --top")
    if not 0 <= host <= 1024:
        raise InputError(f"--host-chips {host}", "1 to 1024 chips")
    try:
        text = _script(plans[which - 1], name, checkpoint, host)
    except InputError as error:
        others = [i for i, other in enumerate(plans, 1) if i != which and _can(other, name, checkpoint, host)]
        if not others:
            raise
        also = f"of the plans, the next it can start is {plans[others[0] - 1].name}: --emit-plan {others[0]}"
        raise InputError(error.given, error.expected, "; ".join(filter(None, (error.fix, also)))) from None
    options = {"emit": name, "emit-plan": which if which > 1 else "", "checkpoint": checkpoint, "host-chips": host}
    line = again + "".join(f" --{key} {shlex.quote(str(value))}" for key, value in options.items() if value)
    record = {"engine": engine(name).title, "version": engine(name).version, "script": text}
    return Report(
        document=lambda: {"command": "plan", "line": line, **record, "flags": engine(name).source},
        rows=lambda: Rows.of([record]),
        text=lambda: [copied(text.rstrip("\n")), copied(f"\n# again: {line}")],
    )


def _script(plan: Plan, name: str, checkpoint: str, host: int) -> str:
    found = deployed(
        plan.point,
        plan.prefill,
        replicas=plan.replicas,
        prefill_replicas=plan.prefill_replicas,
        tokens=plan.chunk,
        checkpoint=checkpoint,
        host=host,
    )
    return write(found, name)


def _can(plan: Plan, name: str, checkpoint: str, host: int) -> bool:
    try:
        _script(plan, name, checkpoint, host)
    except InputError:
        return False
    return True
