"""`ridgeline simulate`: replicas under a stream of requests, request by request."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import Parameter

from ridgeline.cli import asked as asking
from ridgeline.cli import fleet, sides, traffic
from ridgeline.cli.options import OUTPUT, command, defaults
from ridgeline.cli.report import Report, Rows, printed
from ridgeline.cli.simulated import document, paid, rows, text
from ridgeline.cli.table import copied, counted
from ridgeline.cli.timeline import draw
from ridgeline.cli.traffic import deployed, line
from ridgeline.cli.vary import varied
from ridgeline.cli.watch import WATCHER
from ridgeline.errors import InputError
from ridgeline.scenario import Scenario
from ridgeline.simulate.clients import CLIENTS, results
from ridgeline.simulate.objectives import objectives
from ridgeline.simulate.replicate import replicated
from ridgeline.simulate.replication import Interval
from ridgeline.simulate.simulation import Simulation, some_served
from ridgeline.simulate.simulation import simulate as serve
from ridgeline.units import parse
from ridgeline.workload import Mixture, Requests, Workload

LONG = 300_000
"""Requests from which on a terminal shows progress."""

Timeline = Annotated[str, Parameter(help="Draw queue, cache and requests over time to this .html.", group=OUTPUT)]
Vary = Annotated[
    list[str] | None,
    Parameter(
        help="Many scenarios in one call, on --workers processes: an option and its values"
        ' \\["rate=5:50:+5", "max_num_seqs=64,256", "seed=0:9:+1"]. Once for each option.',
        group=OUTPUT,
    ),
]
Clients = Annotated[
    bool, Parameter(help="The numbers under the names of vLLM bench, SGLang bench and AIPerf.", group=OUTPUT)
]


@command(*traffic.FIELDS, shared=(asking.options, traffic.batching, fleet.options))
def simulate(
    scenario: Scenario,
    *,
    rate: traffic.Rate = None,
    requests: traffic.Count = "",
    concurrency: traffic.Concurrency = 0,
    speed: asking.Speed = 1.0,
    warm_up: traffic.WarmUp = "0 s",
    cool_down: traffic.CoolDown = "0 s",
    replications: traffic.Replications = 1,
    over: Vary = None,
    timeline: Timeline = "",
    clients: Clients = False,
    **options: Any,
) -> Report:
    """Replicas under a stream of requests: queues, percentiles, what binds, what a token costs.

    Steps take what `ridgeline step` estimates; requests are batched and preempted as vLLM v1 or SGLang does it.
    """
    own = {name: value for name, value in locals().items() if name not in ("scenario", "options")}
    usual = defaults(simulate)
    given = usual | own | options  # a keyword that was not given does not come
    limits = objectives(given["slo"]) if given["slo"] else {}
    if over:
        return varied(scenario, given, usual, limits)
    if given["stream"]:
        return _streamed(scenario, given, usual, limits)
    found = asking.asked(given, usual)
    sent = found.requests
    replica = deployed(scenario, sent, given)
    replicas, pool = fleet.pools(scenario, replica, given)
    kept = fleet.keeping(given)
    cut = (parse(warm_up, "s", "--warm-up"), parse(cool_down, "s", "--cool-down"))

    def run(requests: Requests, *, series: bool = False, progress: Any = None) -> Simulation:
        return serve(
            replica,
            requests,
            objectives=limits,
            warm_up=cut[0],
            cool_down=cut[1],
            series=series,
            progress=progress,
            replicas=replicas,
            router=given["router"],
            prefill=pool,
            keeping=kept,
            tenants=found.tenants,
        )

    again, watcher = line("simulate", scenario, given, usual), WATCHER.get()

    def told(made: Simulation) -> dict[str, Any]:
        return {**document(made, paid(made), again), "notes": found.notes}

    def watched(share: float, sofar: Callable[[], Simulation]) -> None:
        assert watcher is not None
        watcher(share, lambda: told(sofar()))

    with _Progress(len(sent)) as progress:
        made = some_served(run(sent, series=bool(timeline), progress=watched if watcher else progress))
    sure = _replicated(replications, made, found.workload, given["seed"], run)
    rate_usd = paid(made)
    answer = [*text(made, rate_usd, limits), *sides.intervals(sure), *(sides.table_of(made.metrics) if clients else [])]
    answer += [*found.notes, *([f"timeline: {timeline}"] if timeline else []), copied(f"again: {again}")]
    if timeline:
        draw(made.run, sent, timeline, [str(part) for part in answer[:2]], printed(answer[2:-1]), again)
    return Report(
        document=lambda: {
            **told(made),
            **({"intervals": sure} if sure else {}),
            **({"clients": {client: results(made.metrics, client) for client in CLIENTS}} if clients else {}),
        },
        rows=lambda: rows(made),
        text=lambda: answer,
    )


def _streamed(scenario: Scenario, given: dict[str, Any], usual: dict[str, Any], limits: dict[str, float]) -> Report:
    """The answer of a run that keeps no requests."""
    with _Progress(LONG) as progress:
        made = fleet.streamed(scenario, given, limits, progress)
    rate_usd, again = paid(made), line("simulate", scenario, given, usual)
    notes = ["streamed: requests dealt out in turn; percentiles to 1 us, or to 1 part in 65,536 if that is more"]
    if made.metrics.failed:
        notes.append(f"{counted(made.metrics.failed, 'request')} refused: no room even alone")
    return Report(
        document=lambda: {**document(made, rate_usd, again), "refused": made.metrics.failed, "notes": notes},
        rows=lambda: Rows.of([document(made, rate_usd, again)]),
        text=lambda: [*text(made, rate_usd, limits), *notes, copied(f"again: {again}")],
    )


def _replicated(
    count: int, made: Simulation, workload: Workload | Mixture | None, seed: int, run: Callable[[Requests], Simulation]
) -> dict[str, Interval]:
    """Intervals over so many replications, of which the first is made; none for a single one."""
    if count < 1:
        raise InputError(f"--replications {count}", "1 or more")
    if count == 1:
        return {}
    if workload is None:
        raise InputError("--replications with --trace", "random requests: a trace is one of its kind")
    others = (run(workload.draw(seed, i)).metrics for i in range(1, count))
    return replicated([made.metrics, *others])


class _Progress:
    """A line on a terminal that says how far a long run is; nothing elsewhere."""

    def __init__(self, count: int) -> None:
        self.shown = count >= LONG and sys.stderr.isatty()

    def __enter__(self) -> Any:
        return self if self.shown else None

    def __call__(self, share: float, _: object = None) -> None:
        print(f"\rsimulating {share:4.0%}", end="", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        if self.shown:
            print("\r" + " " * 16 + "\r", end="", file=sys.stderr, flush=True)
