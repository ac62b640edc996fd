"""A small language model whose layers are functions of a chain: what each keeps, and what it computes.

With T tokens, width h, n heads and e bytes per value (parameters apart; norms keep 2 per token, the softmax n):

    attention    x, norm(x), queries, keys, values, output        6 T h e + (2 + n) T e
    MLP          x, norm(x), 4 h wide before and after GELU      10 T h e + 2 T e
    a layer      both: 16 T h e, Korthikanti's 34 s b h in two-byte values, less 2 of dropout masks

Work of a forward pass: 24 T h^2 + 4 T S h FLOPs per layer for sequences of S tokens (half of the second if causal).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from ridgeline.errors import InputError
from ridgeline.training.reversible.chain import Chain

FORMS = ("revnet", "lecture", "residual")
Form = Literal["revnet", "lecture", "residual"]


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of a transformer and its batch."""

    width: int = 128
    heads: int = 4
    layers: int = 8
    batch: int = 4
    seq: int = 128
    vocabulary: int = 64
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("width", "heads", "layers", "batch", "seq", "vocabulary"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}", "at least 1")
        if self.width % 2 or self.width % self.heads:
            fix = f"use {-(-self.width // (2 * self.heads)) * 2 * self.heads}"
            raise InputError(f"width {self.width}", f"an even number that {self.heads} heads divide", fix)

    @property
    def tokens(self) -> int:
        """Tokens of a batch."""
        return self.batch * self.seq

    def attention_bytes(self, size: int = 4) -> int:
        """A of an attention, `size` bytes per value."""
        return (6 * self.width + 2 + self.heads) * self.tokens * size

    def mlp_bytes(self, size: int = 4) -> int:
        """A of an MLP."""
        return (10 * self.width + 2) * self.tokens * size

    def boundary_bytes(self, size: int = 4) -> int:
        """b, one stream."""
        return self.width * self.tokens * size

    @property
    def forward_flop(self) -> float:
        """FLOPs of all layers' forward pass, causal attention at half of the square."""
        return self.layers * self.tokens * (24.0 * self.width**2 + 2.0 * self.seq * self.width)


class Attention(nn.Module):
    """Causal self-attention of normalised inputs."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.norm = nn.LayerNorm(shape.width)
        self.into = nn.Linear(shape.width, 3 * shape.width)
        self.out = nn.Linear(shape.width, shape.width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Batch, tokens, width to the same."""
        q, k, v = self.into(self.norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.dropout(self.out(y.transpose(1, 2).flatten(-2)))


class Mlp(nn.Module):
    """Two matrices with GELU between, four times as wide, of normalised inputs."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.into = nn.Linear(shape.width, 4 * shape.width)
        self.out = nn.Linear(4 * shape.width, shape.width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Batch, tokens, width to the same."""
        return self.dropout(self.out(functional.gelu(self.into(self.norm(x)))))


class Layer(nn.Module):
    """Attention and MLP as one function, what a residual layer adds to its input: the lecture's one f per layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention, self.mlp = Attention(shape), Mlp(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Batch, tokens, width to the same."""
        y = self.attention(x)
        return y + self.mlp(x + y)


class Residual(nn.Module):
    """The ordinary stack, x + f(x): the same functions on one stream."""

    def __init__(self, functions: list[nn.Module]) -> None:
        super().__init__()
        self.functions = nn.ModuleList(functions)

    def forward(self, older: Tensor, newer: Tensor) -> tuple[Tensor, Tensor]:
        """Both results are the one stream."""
        for function in self.functions:
            newer = newer + function(newer)
        return newer, newer


def functions(shape: Shape, form: Form) -> list[nn.Module]:
    """Functions of a chain: attention and MLP in turn (revnet), or one per layer (lecture).

    Raises
    ------
    InputError
        For another form.
    """
    if form not in FORMS:
        raise InputError(f"form {form!r}", f"one of {', '.join(FORMS)}")
    if form == "lecture":
        return [Layer(shape) for _ in range(shape.layers)]
    return [part(shape) for _ in range(shape.layers) for part in (Attention, Mlp)]


class Transformer(nn.Module):
    """Characters to logits of the next: both streams begin as the embedding, the head reads their mean."""

    def __init__(self, shape: Shape, *, form: Form = "revnet", **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Parameter(torch.randn(shape.seq, shape.width) * 0.02)
        parts = functions(shape, form)
        self.chain = Residual(parts) if form == "residual" else Chain(parts, **options)
        self.norm = nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, shape.vocabulary)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Batch, tokens to batch, tokens, vocabulary."""
        x = self.embedding(tokens) + self.positions[: tokens.shape[-1]]
        older, newer = self.chain(x, x)
        return self.head(self.norm((older + newer) / 2))
