"""Who watches a long answer come about: told what share of the work is behind, and what is known by then.

What is known is the command's own document over the part that is done, made only if the watcher asks for it. On a
terminal nobody watches.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

Document = dict[str, Any]
Watcher = Callable[[float, Callable[[], Document]], None]

WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
