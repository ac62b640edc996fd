"""Averages do not tell a p99: a notebook (`marimo edit examples/traffic.py`) that also runs as a script."""

import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo

    mo.md("""
    # Averages do not tell a p99
    The same replica under more and more requests per second, request by request.
    """)
    return (mo,)


@app.cell
def _():
    import json
    from contextlib import redirect_stdout
    from io import StringIO

    from ridgeline.cli.app import main

    def simulated(rate):
        """One run, as the command prints it."""
        asked = ["simulate", "llama-3-8b", "hgx-h100", "--chips", "1", "--engine", "vllm", "--requests", "1k"]
        with redirect_stdout(StringIO()) as printed:
            main([*asked, "--rate", str(rate), "--isl", "512", "--osl", "128", "--json"])
        return json.loads(printed.getvalue())

    return (simulated,)


@app.cell
def _(mo, simulated):
    runs = {rate: simulated(rate) for rate in (5, 20, 40)}
    p99 = [run["tpot_s"]["p99"] for run in runs.values()]
    assert p99 == sorted(p99), "more traffic, longer tails"
    mo.ui.table(
        [
            {
                "requests/s": rate,
                "TTFT p50 [ms]": round(run["ttft_s"]["p50"] * 1e3, 1),
                "TTFT p99 [ms]": round(run["ttft_s"]["p99"] * 1e3, 1),
                "TPOT p99 [ms]": round(run["tpot_s"]["p99"] * 1e3, 1),
            }
            for rate, run in runs.items()
        ]
    )
    return


if __name__ == "__main__":
    app.run()
