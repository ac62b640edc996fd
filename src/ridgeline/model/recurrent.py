"""The dimensions of recurrent mixers, whose memory is a state of fixed size, and the matrices that follow from them.

| tag | recurrence | state per sequence | FLOPs per state element and token | source |
|---|---|---|---|---|
| `lightning` | S <- a S + k v', y = S' q | heads d^2 | 5 | MiniMax-01, arXiv:2501.08313 |
| `delta` | S <- a S + b (v - S k) k', y = S q | value heads d_k d_v | 7 | gated delta net, arXiv:2412.06464 |
| `kda` | the same with a decay per channel | heads d^2 | 7 | Kimi Linear, arXiv:2510.26692 |
| `mamba2` | h <- a h + dt B x, y = C h | heads d n | 5 | arXiv:2405.21060 |
| `mamba` | the same per channel | inner n | 5 | arXiv:2312.00752 |
| `rglru` | h <- a h + sqrt(1 - a^2) i x | width | 4 | Griffin, arXiv:2402.19427 |

A multiply-add counts two FLOPs. Exponentials, gates and norms of the state's inputs are not counted.
"""

from __future__ import annotations

from ridgeline.model.architecture import Linear, Recurrent
from ridgeline.model.part import Part, Size


class LightningSpec(Part, frozen=True, kw_only=True):
    """Lightning attention: linear attention with a fixed decay per head, a norm and an output gate."""

    heads: Size
    head_dim: Size

    def build(self, hidden: int) -> Recurrent:
        """Matrices and state at model width `hidden`."""
        inner = self.heads * self.head_dim
        return Recurrent(
            kind="lightning",
            heads=self.heads,
            state=inner * self.head_dim,
            linears=(
                Linear(name="qkv", rows=hidden, cols=3 * inner, split="heads"),
                Linear(name="gate", rows=hidden, cols=inner, split="heads"),
                Linear(name="out", rows=inner, cols=hidden, split="heads", rows_split=True),
            ),
            flop_per_state=5,
            small=inner,
        )


class DeltaSpec(Part, frozen=True, kw_only=True):
    """Gated delta net (Qwen3-Next, Qwen3.5): key heads serve groups of value heads, a convolution on q, k, v."""

    key_heads: Size
    value_heads: Size
    key_dim: Size
    value_dim: Size
    conv: Size

    def build(self, hidden: int) -> Recurrent:
        """Matrices and state at model width `hidden`."""
        keys, values = self.key_heads * self.key_dim, self.value_heads * self.value_dim
        return Recurrent(
            kind="delta",
            heads=self.value_heads,
            state=self.value_heads * self.key_dim * self.value_dim,
            conv_state=(2 * keys + values) * (self.conv - 1),
            linears=(
                Linear(name="qkvz", rows=hidden, cols=2 * keys + 2 * values, split="heads"),
                Linear(name="decay", rows=hidden, cols=2 * self.value_heads, split="heads", joined=True),
                Linear(name="out", rows=values, cols=hidden, split="heads", rows_split=True),
            ),
            flop_per_state=7,
            small=(2 * keys + values) * self.conv + 2 * self.value_heads + self.value_dim,
        )


class KdaSpec(Part, frozen=True, kw_only=True):
    """Kimi delta attention: a delta rule whose decay differs by channel; decay and output gate are of low rank."""

    heads: Size
    head_dim: Size
    conv: Size

    def build(self, hidden: int) -> Recurrent:
        """Matrices and state at model width `hidden`."""
        inner, rank = self.heads * self.head_dim, self.head_dim
        low_rank = []
        for name in ("decay", "gate"):
            low_rank.append(Linear(name=f"{name}_down", rows=hidden, cols=rank))
            low_rank.append(Linear(name=f"{name}_up", rows=rank, cols=inner, split="heads"))
        return Recurrent(
            kind="kda",
            heads=self.heads,
            state=inner * self.head_dim,
            conv_state=3 * inner * (self.conv - 1),
            linears=(
                Linear(name="qkv", rows=hidden, cols=3 * inner, split="heads"),
                Linear(name="beta", rows=hidden, cols=self.heads, split="heads", joined=True),
                *low_rank,
                Linear(name="out", rows=inner, cols=hidden, split="heads", rows_split=True),
            ),
            flop_per_state=7,
            small=3 * inner * self.conv + inner + self.heads + self.head_dim,
        )


class Mamba2Spec(Part, frozen=True, kw_only=True):
    """Mamba 2: a state of head_dim x `state` per head; B and C are shared by the heads of a group."""

    heads: Size
    head_dim: Size
    state: Size
    groups: Size
    conv: Size
    conv_bias: bool = True
    bias: bool = False
    out_bias: bool = False
    gated_norm: bool = True

    def build(self, hidden: int) -> Recurrent:
        """Matrices and state at model width `hidden`."""
        inner = self.heads * self.head_dim
        convolved = inner + 2 * self.groups * self.state
        return Recurrent(
            kind="mamba2",
            heads=self.heads,
            state=inner * self.state,
            conv_state=convolved * (self.conv - 1),
            linears=(
                Linear(name="in", rows=hidden, cols=inner + convolved + self.heads, split="heads", bias=self.bias),
                Linear(name="out", rows=inner, cols=hidden, split="heads", rows_split=True, bias=self.out_bias),
            ),
            flop_per_state=5,
            small=convolved * (self.conv + self.conv_bias) + 3 * self.heads + (inner if self.gated_norm else 0),
        )


class MambaSpec(Part, frozen=True, kw_only=True):
    """Mamba 1: a state of `state` elements for each of `inner` channels; `inner_norms` as in Jamba."""

    inner: Size
    state: Size
    dt_rank: Size
    conv: Size
    conv_bias: bool = True
    bias: bool = False
    inner_norms: bool = False

    def build(self, hidden: int) -> Recurrent:
        """Matrices and state at model width `hidden`."""
        selected = self.dt_rank + 2 * self.state
        return Recurrent(
            kind="mamba",
            heads=self.inner,
            state=self.inner * self.state,
            conv_state=self.inner * (self.conv - 1),
            linears=(
                Linear(name="in", rows=hidden, cols=2 * self.inner, split="heads", bias=self.bias),
                Linear(name="select", rows=self.inner, cols=selected, split="heads"),
                Linear(name="dt", rows=self.dt_rank, cols=self.inner, split="heads", bias=True),
                Linear(name="out", rows=self.inner, cols=hidden, split="heads", rows_split=True, bias=self.bias),
            ),
            flop_per_state=5,
            small=self.inner * (self.state + 1 + self.conv + self.conv_bias) + (selected if self.inner_norms else 0),
        )


class RglruSpec(Part, frozen=True, kw_only=True):
    """The gated linear recurrent unit of Griffin and RecurrentGemma; its two gates are block-diagonal over heads."""

    width: Size
    heads: Size
    conv: Size

    def build(self, hidden: int) -> Recurrent:
        """Matrices and state at model width `hidden`."""
        block = self.width // self.heads
        return Recurrent(
            kind="rglru",
            heads=self.heads,
            state=self.width,
            conv_state=self.width * (self.conv - 1),
            linears=(
                Linear(name="in", rows=hidden, cols=2 * self.width, split="heads", bias=True),
                Linear(name="gates", rows=block, cols=block, copies=2 * self.heads, split="heads", bias=True),
                Linear(name="out", rows=self.width, cols=hidden, split="heads", rows_split=True, bias=True),
            ),
            flop_per_state=4,
            small=self.width * (self.conv + 2),
        )
