"""Which deployment, and what speed costs: a notebook (`marimo edit examples/plan.py`) that also runs as a script."""

import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo

    mo.md("""
    # What speed costs
    The cheapest deployment within each time per output token, of everything that fits.
    """)
    return (mo,)


@app.cell
def _(mo):
    tpot = mo.ui.slider(10, 100, value=25, label="TPOT [ms]")
    mo.vstack([tpot])
    return (tpot,)


@app.cell
def _(tpot):
    from ridgeline import Scenario, plan

    asked = Scenario(model="llama-3.1-70b", system="hgx-h200", isl="4k", osl="1k", tpot=tpot.value / 1000)
    found = plan(asked, top=3)
    assert found.plans[0].tpot <= tpot.value / 1000, "the limit is kept"
    return (found,)


@app.cell
def _(found, mo):
    rows = [
        {
            "layout": each.name,
            "batch": each.batch,
            "TPOT [ms]": round(each.tpot * 1e3, 1),
            "$ per Mtok out": round(each.usd_per_output_token * 1e6, 3),
        }
        for each in found.plans
    ]
    front = found.candidates
    mo.vstack([mo.md(f"Best of {found.evaluated:,} configurations"), mo.ui.table(rows)])
    return front, rows


if __name__ == "__main__":
    app.run()
