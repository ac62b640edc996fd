"""What a token should cost: a notebook (`marimo edit examples/prices.py`) that also runs as a script."""

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
    # What a token should cost
    price = cost / (1 - margin), for input, output, cached and long prompts of one deployment.
    """)
    return asked, mo


@app.cell
def _(mo):
    margin = mo.ui.slider(0, 90, value=60, label="margin [%]")
    tpot = mo.ui.slider(15, 100, value=25, label="TPOT [ms]")
    mo.hstack([margin, tpot])
    return margin, tpot


@app.cell
def _(asked, margin, mo, tpot):
    menu = asked(
        "menu", "llama-3-70b", "hgx-h100", "--tpot", f"{tpot.value}ms", "--margin", f"{margin.value}%",
        "--utilisation", "50%", "--isl", "lognormal:mean=4k,cv=2,max=32k",
    )  # fmt: skip
    lines = menu["lines"]
    assert all(line["price_usd_per_tok"] >= line["cost_usd_per_tok"] for line in lines), "no line is sold below cost"
    mo.ui.table(
        [
            {
                "line": line["line"],
                "price [$/Mtok]": round(line["price_usd_per_tok"] * 1e6, 4),
                "cost [$/Mtok]": round(line["cost_usd_per_tok"] * 1e6, 4),
                "floor [$/Mtok]": round(line["floor_usd_per_tok"] * 1e6, 4),
            }
            for line in lines
        ]
    )
    return


if __name__ == "__main__":
    app.run()
