"""A public function says what it raises, and a law what its symbols are.

Read as text, not imported: the rule holds for what is written, in every module below the faces.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2] / "src" / "ridgeline"
ERRORS = ("InputError", "UnknownNameError")


def public() -> Iterator[tuple[str, ast.FunctionDef]]:
    for path in sorted(ROOT.rglob("*.py")):
        if path.relative_to(ROOT).parts[0] in ("cli", "web"):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        owners = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
        for node in [node for owner in owners for node in owner.body]:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def test_a_function_that_refuses_says_so() -> None:
    silent = []
    for where, node in public():
        raised = {
            call.func.id
            for inner in ast.walk(node)
            if isinstance(inner, ast.Raise) and isinstance(call := inner.exc, ast.Call)
            if isinstance(call.func, ast.Name)
        }
        text = ast.get_docstring(node) or ""
        if raised & set(ERRORS) and not any(word in text for word in ("Raises", "errors as", *ERRORS)):
            silent.append(where)
    assert not silent
