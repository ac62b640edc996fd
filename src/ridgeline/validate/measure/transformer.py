"""A small real transformer with random weights and a cache, put together from the pieces of `block.py`.

Embedding, layers, last norm, head; one call computes the next logits of every sequence. Knows no time.
"""

from __future__ import annotations

from typing import Any

from ridgeline.validate.measure.block import Block, Shape, Tensor
from ridgeline.validate.measure.device import Device


class Transformer:
    """A model of `layers` layers of one shape, in bf16."""

    def __init__(self, device: Device, shape: Shape, layers: int, vocab: int, longest: int) -> None:
        torch = device.torch
        self.device, self.vocab = device, vocab
        self.block = Block(device, shape, longest, torch.bfloat16)

        def random(*size: int) -> Tensor:
            return (torch.randn(*size, device=device.kind) * 0.02).to(torch.bfloat16)

        self.embedding, self.head = random(vocab, shape.hidden), random(vocab, shape.hidden)
        self.layers = [{name: random(*size) for name, size in shape.matrices.items()} for _ in range(layers)]

    def cache(self, seqs: int, tokens: int) -> list[Tensor]:
        """Keys and values of every layer, with room for `tokens` per sequence."""
        s, torch = self.block.shape, self.device.torch
        size = (2, seqs, s.kv_heads, tokens, s.head_dim)
        return [torch.zeros(size, dtype=torch.bfloat16, device=self.device.kind) for _ in self.layers]

    def tokens(self, seqs: int, new: int) -> Tensor:
        """Random tokens of `seqs` sequences, one after another."""
        return self.device.torch.randint(self.vocab, (seqs * new,), device=self.device.kind)

    def step(self, tokens: Tensor, cache: list[Tensor], past: int) -> Any:
        """Logits of the last of the tokens that each sequence adds to `past` cached ones."""
        block, new = self.block, len(tokens) // cache[0].shape[1]
        x = self.embedding[tokens]
        for matrices, (keys, values) in zip(self.layers, cache, strict=True):
            y = block.attend(block.project(x, matrices["q"]), keys, values, past)
            x = block.output(y, matrices["out"], x)
            x = block.down(block.gate(x, matrices["up"]), matrices["down"], x)
        return block.multiply(block.norm(x[new - 1 :: new]), self.head)
