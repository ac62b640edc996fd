"""The documentation as a site: `python docs/website.py FOLDER` builds it offline, and fails on a broken link.

Pages are those of docs/, which the tests run. The reference is written by the product itself, so that it cannot be
out of date: commands by their help, the catalogue by `ridgeline catalog`, laws and API by their docstrings.
Knows no number.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from ridgeline.catalog.loader import KINDS
from ridgeline.cli.app import COMMANDS, main

ROOT = Path(__file__).parent.parent
SERVED = (".md", ".svg", ".png")
LECTURE = "lecture/1-two-equations.md"
LAWS: dict[str, tuple[str, ...]] = {
    "Work": ("work.operation", "work.layer", "work.attention", "work.experts", "work.segment"),
    "Caches of models": ("model.kv", "model.variant"),
    "Layout and memory": ("layout", "memory"),
    "Messages": ("messages", "collectives"),
    "Time": ("roofline", "timing"),
    "Kernels": ("efficiency", "kernel"),
    "Estimate": ("estimate", "serving.online", "serving.disaggregated"),
    "Balance": ("serving.balance", "serving.reduced", "serving.request"),
    "Storage of caches": ("cache.cost", "cache.tier", "cache.reuse", "cache.lifetime"),
    "Simulation": ("simulate.law", "simulate.metrics", "simulate.train"),
    "Search": ("planner.search", "planner.pools", "planner.modes", "planner.racks"),
    "Prices": ("pricing.menu", "pricing.operation", "pricing.infer", "pricing.closed"),
    "Training step": ("training.step", "training.memory", "training.activations", "training.conventions"),
    "Pipelines": ("training.pipeline.bubble", "training.pipeline.crossing", "training.pipeline.engine"),
    "Recomputation": ("training.rematerialisation",),
    "Scaling": ("training.scaling.additive", "training.scaling.kaplan", "training.scaling.routed"),
    "A model's life": ("training.lifetime", "planner.lifetime"),
    "Reinforcement learning": ("training.rl.step", "training.rl.rollout"),
    "Ciphers": ("training.ciphers.feistel", "training.ciphers.speck", "training.ciphers.diffusion"),
}
"""Pages of the laws, each with the modules that hold them."""
GUIDES = {
    "Choose a deployment": "plan.md",
    "Size for an objective": "simulate.md",
    "Describe traffic": "workloads.md",
    "Launch a plan": "launch.md",
    "Sweep millions of points": "sweep.md",
    "Price an API": "menu.md",
    "Read a price sheet": "prices.md",
    "Keep prompts": "cache.md",
    "Serve long contexts": "context.md",
    "Plan training": "train.md",
    "Cut a model into a pipeline": "pipeline.md",
    "Spend a training budget": "scaling.md",
    "Plan a model's life": "lifetime.md",
    "Plan a step of RL": "rl.md",
    "Run a network backwards": "reversible.md",
    "Compare ciphers and networks": "cipher.md",
    "Explore in the browser": "web.md",
    "Add a chip, model or price": "catalogue.md",
    "Measure a machine": "measure.md",
}


def write(folder: Path) -> list[dict[str, object]]:
    """Write all pages into `folder`; the navigation."""
    for page in sorted((ROOT / "docs").rglob("*")):
        if page.suffix in SERVED:
            target = folder / page.relative_to(ROOT / "docs")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(page, target)
    shutil.copyfile(ROOT / "CHANGELOG.md", folder / "changelog.md")
    (folder / "reference").mkdir()
    (folder / "law").mkdir()
    laws = [{title: _law(folder, title, modules)} for title, modules in LAWS.items()]
    lecture = sorted((folder / "lecture").glob("*.md"))
    reference = [
        {"Commands": _page(folder, "reference/commands.md", _commands())},
        *({title.capitalize(): _page(folder, f"reference/{kind}.md", _catalog(kind))} for kind, title in KINDS.items()),
        {"Glossary": "glossary.md"},
        {"Python": _page(folder, "reference/python.md", "# Python\n\n::: ridgeline\n")},
    ]
    return [
        {"Start": "index.md"},
        {"The lecture": [{_title(page): f"lecture/{page.name}"} for page in lecture]},
        {"How it works": [{"Overview": "laws.md"}, *laws]},
        {"How to": [{title: page} for title, page in GUIDES.items()]},
        {"Reference": reference},
        {"Accuracy": [{"Scoreboard": "accuracy.md"}, {"What is left out": "exclusions.md"}]},
        {"Changelog": "changelog.md"},
    ]


def build(target: Path) -> None:
    """Build the site into `target`; CalledProcessError for a broken link or a page that is missing."""
    with tempfile.TemporaryDirectory() as place:
        pages = Path(place) / "docs"
        pages.mkdir()
        settings = {
            "project": {
                "site_name": "Ridgeline",
                "site_description": "How language models are trained and served, and what it costs",
                "docs_dir": "docs",
                "site_dir": "site",
                "use_directory_urls": False,
                "nav": write(pages),
                "theme": {"font": False, "palette": _PALETTE},
                "plugins": {
                    "search": {},
                    "offline": {},
                    "mkdocstrings": {"handlers": {"python": {"paths": [str(ROOT / "src")], "options": _DOCSTRINGS}}},
                },
            }
        }
        (Path(place) / "zensical.toml").write_text(_toml(settings), "utf-8")
        command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
        subprocess.run(command, cwd=place, check=True, env={**os.environ, "NO_COLOR": "1"})
        shutil.copytree(Path(place) / "site", target, dirs_exist_ok=True)


_PALETTE = [
    {"media": "(prefers-color-scheme: light)", "scheme": "default"},
    {"media": "(prefers-color-scheme: dark)", "scheme": "slate"},
]
_DOCSTRINGS = {
    "docstring_style": "numpy",
    "show_source": False,
    "show_root_heading": True,
    "show_signature_annotations": True,
    "separate_signature": True,
}


def _toml(table: Mapping[str, object]) -> str:
    """TOML of nested tables, written as inline tables: JSON but for its colons."""
    return "\n".join(f"{key} = {_inline(value)}" for key, value in table.items()) + "\n"


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value)


def _page(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, "utf-8")
    return name


def _law(folder: Path, title: str, modules: tuple[str, ...]) -> str:
    name = f"law/{re.sub('[^a-z]+', '-', title.lower())}.md"
    return _page(folder, name, f"# {title}\n\n" + "".join(f"::: ridgeline.{module}\n" for module in modules))


def _title(page: Path) -> str:
    return page.read_text("utf-8").partition("\n")[0].removeprefix("# ")


def _printed(*words: str) -> str:
    """What a command prints."""
    with redirect_stdout(StringIO()) as printed:
        if main(words):
            raise RuntimeError(f"ridgeline {' '.join(words)} failed")
    return printed.getvalue()


def _commands() -> str:
    parts = [f"## {name}\n{text}\n\n```\n{_printed(name, '--help').strip()}\n```\n" for name, text in COMMANDS.items()]
    return "# Commands\n\n" + "\n".join(parts)


def _catalog(kind: str) -> str:
    """A table of a kind's entries, and every value of each with its source."""
    found = json.loads(_printed("catalog", kind, "--json"))["entries"]
    names = list(dict.fromkeys(key for entry in found for key in entry))
    rows = [[_cell(entry.get(name)) for name in names] for entry in found]
    head = [[name.replace("_", " ") for name in names], ["---"] * len(names)]
    lines = "\n".join("| " + " | ".join(row) + " |" for row in [*head, *rows])
    told = f"Values in SI units; `ridgeline catalog {kind} NAME` has each source."
    return f"# {KINDS[kind].capitalize()}\n\n{told}\n\n{lines}\n"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = "; ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1"}
    build(Path(sys.argv[1]))
