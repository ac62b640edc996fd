"""A transformer layer in PyTorch, in the five pieces that its kernels are timed as, alone and together.

    project   norm; query, key and value matrix          output   output matrix; residual
    attend    rotation; cache write; grouped-query attention
    gate      norm; gate and up matrix; SiLU(gate) up     down     down matrix; residual

Llama's layer (RMSNorm, arXiv:1910.07467; rotary positions, arXiv:2104.09864; grouped queries, arXiv:2305.13245; SwiGLU,
arXiv:2002.05202) with random weights. Element-wise work is timed with the matrix that it surrounds, as engines fuse it.
Prompts begin at position 0. Knows no time.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ridgeline.model.architecture import Architecture
from ridgeline.model.attention import AttentionSpec
from ridgeline.model.feedforward import DenseSpec
from ridgeline.model.spec import Spec, build
from ridgeline.validate.measure.device import Device

Tensor = Any
FP8_MOST = 448.0
"""Largest number of fp8 with four bits of exponent."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of a layer."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Outputs and inputs of each matrix, by the name of its operation in `Architecture`."""
        inner = self.heads * self.head_dim
        return {
            "q": (inner + 2 * self.kv_heads * self.head_dim, self.hidden),
            "out": (self.hidden, inner),
            "up": (2 * self.width, self.hidden),
            "down": (self.hidden, self.width),
        }

    def architecture(self, layers: int, vocab: int) -> Architecture:
        """The model that has `layers` of these, an embedding and a head."""
        attention = AttentionSpec(heads=self.heads, kv_heads=self.kv_heads, head_dim=self.head_dim)
        spec = Spec(
            name=f"check-{self.hidden}x{layers}",
            hidden=self.hidden,
            vocab=vocab,
            stack=(f"attention+ffn*{layers}",),
            parts={"attention": attention, "ffn": DenseSpec(width=self.width)},
        )
        return build(spec)


class Block:
    """The pieces of a layer of one shape; tensors of tokens are tokens x features, of `dtype`."""

    def __init__(self, device: Device, shape: Shape, longest: int, dtype: Any) -> None:
        torch = device.torch
        self.torch, self.shape = torch, shape
        self.scale = torch.ones(shape.hidden, dtype=dtype, device=device.kind)
        angle = torch.outer(torch.arange(longest), 1e4 ** -(torch.arange(0, shape.head_dim, 2) / shape.head_dim))
        self.cos, self.sin = (
            turn.repeat(1, 2)[:, None, :].to(device.kind, dtype) for turn in (angle.cos(), angle.sin())
        )
        self.unit = torch.ones((), device=device.kind)

    def project(self, x: Tensor, matrix: Tensor) -> Tensor:
        """Queries, keys and values of the residual stream `x`."""
        return self.multiply(self.norm(x), matrix)

    def attend(self, qkv: Tensor, keys: Tensor, values: Tensor, past: int) -> Tensor:
        """What sequences with `past` tokens in the cache (sequences x heads x positions x size) attend to.

        Queries that share a key-value head become rows of one product in decode, so that the cache is read once.
        """
        functional, s = self.torch.nn.functional, self.shape
        seqs, new = keys.shape[0], qkv.shape[0] // keys.shape[0]
        heads = qkv.view(seqs * new, s.heads + 2 * s.kv_heads, s.head_dim)
        q, k, v = heads.split((s.heads, s.kv_heads, s.kv_heads), dim=1)
        q, k, v = (x.reshape(seqs, new, -1, s.head_dim) for x in (q, k, v))
        q, k = self._rotate(q, past), self._rotate(k, past)
        seen = past + new
        keys[:, :, past:seen] = k.transpose(1, 2)
        values[:, :, past:seen] = v.transpose(1, 2)
        if new == 1:
            grouped = q.view(seqs, s.kv_heads, s.heads // s.kv_heads, s.head_dim)
            y = functional.scaled_dot_product_attention(grouped, keys[:, :, :seen], values[:, :, :seen])
            return y.reshape(seqs, -1)
        whole = keys[:, :, :seen], values[:, :, :seen]
        y = functional.scaled_dot_product_attention(q.transpose(1, 2), *whole, is_causal=True, enable_gqa=True)
        return y.transpose(1, 2).reshape(seqs * new, -1)

    def output(self, y: Tensor, matrix: Tensor, x: Tensor) -> Tensor:
        """The residual stream after attention."""
        return x + self.multiply(y, matrix)

    def gate(self, x: Tensor, matrix: Tensor) -> Tensor:
        """Inner activations of the feed-forward."""
        gate, up = self.multiply(self.norm(x), matrix).chunk(2, dim=-1)
        return self.torch.nn.functional.silu(gate) * up

    def down(self, y: Tensor, matrix: Tensor, x: Tensor) -> Tensor:
        """The residual stream after the feed-forward."""
        return x + self.multiply(y, matrix)

    def norm(self, x: Tensor) -> Tensor:
        """Root-mean-square norm."""
        return self.torch.nn.functional.rms_norm(x, (self.shape.hidden,), self.scale, 1e-6)

    def multiply(self, x: Tensor, matrix: Tensor) -> Tensor:
        """The product of `x` and the transpose of `matrix`; an fp8 matrix gets `x` in fp8, with one scale."""
        if matrix.dtype.itemsize > 1:
            return self.torch.nn.functional.linear(x, matrix)
        scale = x.abs().amax().float() / FP8_MOST
        narrow = (x / scale).to(matrix.dtype)
        return self.torch._scaled_mm(narrow, matrix.t(), scale_a=scale, scale_b=self.unit, out_dtype=x.dtype)

    def _rotate(self, x: Tensor, past: int) -> Tensor:
        span = slice(past, past + x.shape[1])
        low, high = x.chunk(2, dim=-1)
        return x * self.cos[span] + self.torch.cat((-high, low), dim=-1) * self.sin[span]
