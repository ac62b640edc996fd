"""How a model is trained, and where the time goes: a notebook (`marimo edit examples/training.py`)."""

import marimo

app = marimo.App()


@app.cell
def _():
    import json
    from contextlib import redirect_stdout
    from io import StringIO

    import marimo as mo

    from ridgeline.cli.app import main

    def asked(*words):
        """What a command prints with --json."""
        with redirect_stdout(StringIO()) as printed:
            main([*words, "--json"])
        return json.loads(printed.getvalue())

    mo.md("""
    # How a model is trained
    Of all layouts that fit, the fastest; and what its step is made of.
    """)
    return asked, mo


@app.cell
def _(mo):
    chips = mo.ui.dropdown(["128", "256", "512", "1024"], value="512", label="chips")
    mo.vstack([chips])
    return (chips,)


@app.cell
def _(asked, chips, mo):
    found = asked(
        "train", "llama-3-70b", "hgx-h100", "--chips", chips.value, "--tokens", "2T", "--seq", "8k", "--batch", "1k"
    )
    best = found["plans"][0]
    assert best["floor_s"] <= best["low_s"] <= best["step_s"] <= best["high_s"], "floor, interval and estimate"
    mo.vstack(
        [
            mo.md(
                f"A step takes **{best['step_s']:.2f} s**, MFU {best['mfu']['nvidia']:.0%}: {best['days']:.0f} days."
            ),
            mo.ui.table([{"part": name, "seconds": round(value, 3)} for name, value in best["time_s"].items()]),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
