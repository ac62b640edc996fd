"""Where math and memory meet: a notebook (`marimo edit examples/roofline.py`) that also runs as a script."""

import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo

    mo.md("""
    # Where math and memory meet
    A decode step of a batch B takes at least max(t_c, t_m): the math grows with B, the weights are read once.
    """)
    return (mo,)


@app.cell
def _(mo):
    model = mo.ui.dropdown(["deepseek-v3", "llama-3.1-70b", "gpt-oss-120b"], value="llama-3.1-70b", label="model")
    system = mo.ui.dropdown(["hgx-h100", "hgx-h200", "gb200-nvl72"], value="hgx-h200", label="system")
    context = mo.ui.slider(1_000, 128_000, step=1_000, value=4_000, label="context [tok]")
    mo.hstack([model, system, context])
    return context, model, system


@app.cell
def _(context, model, system):
    import numpy as np

    from ridgeline import Scenario, step

    batch = np.unique(np.geomspace(1, 4096, 60).round())
    experts = "deepseek" in model.value
    ranks = {"dp": 8, "ep": 8} if experts else {"tp": 8}
    point = step(
        Scenario(
            model=model.value, system=system.value, batch=batch, context=context.value, memory_utilisation=1,
            set="chip.hbm_capacity=1000x,chip.hbm_visible=1000x", **ranks,
        )
    )  # fmt: skip
    floor = point.step.time
    assert np.all(point.estimate.seconds >= floor.lower), "no machine beats the floor"
    return batch, floor, point


@app.cell
def _(batch, floor, mo, point):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    for name, seconds in (("math", floor.math), ("memory", floor.memory), ("estimate", point.estimate.seconds)):
        axes.loglog(batch, seconds * 1e3, label=name)
    axes.set(xlabel="batch [sequences]", ylabel="step [ms]")
    axes.legend()
    balance = point.numbers["balance_batch"].value
    mo.vstack([figure, mo.md(f"The balance batch B* is **{balance:,.0f}** sequences.")])
    return


if __name__ == "__main__":
    app.run()
