"""SGLang's prefix cache, slow and obvious: a tree of tokens, and a pool that counts.

Written from the description of the cache, not from the engine's, which it checks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Token = Any


@dataclass(eq=False)
class Node:
    """Some successive tokens that follow those of the nodes above."""

    above: Node | None = None
    tokens: list[Token] = field(default_factory=list)
    below: dict[Any, Node] = field(default_factory=dict)
    """By their first page."""
    locks: int = 0
    used: int = 0

    @property
    def depth(self) -> int:
        return len(self.tokens) + (self.above.depth if self.above else 0)


class Tree:
    """Who remembers what, and how many tokens of the pool are neither remembered nor in use."""

    def __init__(self, page: int, free: float) -> None:
        self.page, self.free, self.clock, self.root = page, free, 0, Node()

    def aligned(self, tokens: list[Token]) -> list[Token]:
        return tokens[: len(tokens) // self.page * self.page]

    def first(self, tokens: list[Token]) -> Any:
        return tuple(tokens[: self.page])

    def nodes(self) -> list[Node]:
        found, waiting = [], list(self.root.below.values())
        while waiting:
            found.append(waiting.pop())
            waiting += found[-1].below.values()
        return found

    def evictable(self) -> int:
        found, nodes = 0, list(self.root.below.values())
        for node in nodes:
            found += 0 if node.locks else len(node.tokens)
            nodes += node.below.values()
        return found

    def match(self, tokens: list[Token]) -> Node:
        """The node with which as much of the tokens ends as is remembered."""
        self.clock += 1
        node, rest = self.root, self.aligned(tokens)
        while rest and self.first(rest) in node.below:
            node = node.below[self.first(rest)]
            node.used = self.clock
            same, size = self.page, len(node.tokens)
            if rest[:size] == node.tokens:
                same = size
            while same < size and rest[same : same + self.page] == node.tokens[same : same + self.page]:
                same += self.page
            if same < len(node.tokens):
                node = self.split(node, same)
            rest = rest[same:]
        return node

    def split(self, node: Node, at: int) -> Node:
        """The node's beginning as one of its own."""
        assert node.above
        upper = Node(node.above, node.tokens[:at], {}, node.locks, self.clock)
        node.above.below[self.first(node.tokens)] = upper
        node.above, node.tokens = upper, node.tokens[at:]
        upper.below[self.first(node.tokens)] = node
        return upper

    def insert(self, tokens: list[Token]) -> int:
        """Remember tokens; how many were already."""
        tokens = self.aligned(tokens)
        node = self.match(tokens)
        depth = node.depth
        if depth < len(tokens):
            self.clock += 1
            node.below[self.first(tokens[depth:])] = Node(node, tokens[depth:], used=self.clock)
        return depth

    def lock(self, node: Node, by: int) -> None:
        """Keep a node and all above it, or keep them no longer."""
        while node.above:
            node.locks += by
            node = node.above

    def unlocked(self, node: Node) -> int:
        """Tokens down to a node that nobody has locked."""
        found = 0
        while node.above:
            found += 0 if node.locks else len(node.tokens)
            node = node.above
        return found

    def evict(self, tokens: int) -> None:
        """Have so many free tokens, as far as there are leaves to evict."""
        while self.free < tokens:
            leaves = [node for node in self.nodes() if not node.locks and not node.below]
            if not leaves:
                return
            node = min(leaves, key=lambda node: node.used)
            assert node.above
            del node.above.below[self.first(node.tokens)]
            self.free += len(node.tokens)
