"""The dimensions of a feed-forward block, dense or a mixture of experts, and the matrices that follow from them.

Dense with gate: 3 h w parameters, without: 2 h w (hidden size h, width w). Mixture: that for each of `count` experts,
a router h x count, shared experts of `shared_width` in all; with a latent of size l the experts work on l, not h, and
two matrices h x l lead in and out.

What this file does not know: which experts a batch touches (work/), where they are placed (layout).
"""

from __future__ import annotations

from ridgeline.model.architecture import Dense, Experts, Linear
from ridgeline.model.architecture import Part as ModelPart
from ridgeline.model.part import Count, Part, Size


def _up_down(
    prefix: str, hidden: int, width: int, *, gated: bool, bias: bool, part: ModelPart
) -> tuple[Linear, Linear]:
    up = Linear(name=f"{prefix}up", rows=hidden, cols=width * (2 if gated else 1), split="ffn", part=part, bias=bias)
    return up, Linear(name=f"{prefix}down", rows=width, cols=hidden, split="ffn", rows_split=True, part=part, bias=bias)


class DenseSpec(Part, frozen=True, kw_only=True):
    """A dense feed-forward of inner width `width`."""

    width: Size
    gated: bool = True
    bias: bool = False

    def build(self, hidden: int) -> Dense:
        """Matrices at model width `hidden`."""
        linears = _up_down("", hidden, self.width, gated=self.gated, bias=self.bias, part="ffn")
        return Dense(width=self.width, linears=linears)


class ExpertsSpec(Part, frozen=True, kw_only=True):
    """A mixture of `count` experts of width `width`, `active` of them per token, and shared experts."""

    count: Size
    active: Size
    width: Size
    gated: bool = True
    bias: bool = False
    """Routed experts have biases."""
    shared_bias: bool = False
    router_bias: bool = False
    shared_width: Count = 0
    """Width of all shared experts together."""
    shared_gate: bool = False
    """The shared expert's output is weighed by a gate of its own (Qwen)."""
    latent: Count = 0
    groups: Size = 1
    group_limit: Size = 1
    small: Count = 0
    """Further small parameters (scales of the router)."""

    def build(self, hidden: int) -> Experts:
        """Matrices at model width `hidden`."""
        linears = [Linear(name="router", rows=hidden, cols=self.count, part="router", bias=self.router_bias)]
        if self.shared_width:
            linears += _up_down(
                "shared_", hidden, self.shared_width, gated=self.gated, bias=self.shared_bias, part="shared_expert"
            )
        if self.shared_gate:
            linears.append(Linear(name="shared_gate", rows=hidden, cols=1, part="router"))
        if self.latent:
            linears.append(Linear(name="latent_in", rows=hidden, cols=self.latent, part="ffn", bias=self.shared_bias))
            linears.append(Linear(name="latent_out", rows=self.latent, cols=hidden, part="ffn", bias=self.shared_bias))
        return Experts(
            count=self.count,
            active=self.active,
            hidden=self.latent or hidden,
            width=self.width,
            matrices=3 if self.gated else 2,
            bias=self.bias,
            linears=tuple(linears),
            groups=self.groups,
            group_limit=self.group_limit,
            small=self.small,
        )


class MatricesSpec(Part, frozen=True, kw_only=True):
    """Matrices that are neither attention nor feed-forward: low-rank residuals, per-layer inputs, hyper-connections."""

    linears: tuple[Linear, ...]
    small: Count = 0
    norms: Count = 0
