"""The device that is measured, as PyTorch sees it. The only place that imports PyTorch.

Knows nothing of what is run on it.
"""

from __future__ import annotations

import os
import platform
import re
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import msgspec

from ridgeline.errors import InputError, UnknownNameError

KINDS = ("cpu", "cuda")
CHIPS = (
    ("gb300", "gb300"), ("gb200", "gb200"), ("b300", "b300"), ("b200", "b200"),
    ("h200", "h200"), ("h800", "h800"), ("h20", "h20"), ("h100 pcie", "h100-pcie"), ("h100 80gb", "h100"),
    ("a100-sxm4-40gb", "a100-40"), ("a100-sxm4-80gb", "a100-80"), ("a100 80gb pcie", "a100-pcie-80"),
    ("l40s", "l40s"), ("rtx a6000", "rtx-a6000"), ("rtx pro 6000", "rtx-pro-6000"),
    ("rtx 5090", "rtx-5090"), ("rtx 4090", "rtx-4090"), ("rtx 3090", "rtx-3090"), ("gb10", "gb10"),
)  # fmt: skip
"""What the driver's name of a GPU contains, and the chip of the catalogue that it is; the first that fits."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One device and its software."""

    kind: Literal["cpu", "cuda"]
    title: str
    chip: str
    """Name in the catalogue of a chip whose data sheet is known; "" otherwise."""
    count: int
    """Devices of this kind here."""
    threads: int
    """Threads of the processor that run its kernels."""
    capacity: float
    """Bytes of memory."""
    load: float
    """Processes that wanted each processor in the last minute, before anything was measured."""
    narrow: bool
    """Whether it multiplies in fp8."""
    torch: Any
    """The module."""

    @property
    def name(self) -> str:
        """What its chip file is called."""
        words = self.title if self.kind == "cuda" else f"{self.title} {self.threads} threads"
        return self.chip or re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:80]

    @property
    def software(self) -> str:
        """What ran on it."""
        return f"PyTorch {self.torch.__version__} on {platform.system()}, {self.threads} threads"


def open_device(kind: str = "") -> Device:
    """The device of this kind; without one, a GPU if there is any, else the processor.

    Raises
    ------
    InputError
        If PyTorch is not installed, or sees no such device.
    UnknownNameError
        For another kind.
    """
    if kind and kind not in KINDS:
        raise UnknownNameError("device", kind[:60], KINDS)
    os.environ.setdefault("OMP_PROC_BIND", "true")  # else two threads may share a core for a while, and wait in turns
    try:
        torch = import_module("torch")
    except ImportError:
        raise InputError("ridgeline measure", "PyTorch is needed", "pip install 'ridgeline[torch]'") from None
    has = torch.cuda.is_available()
    if kind == "cuda" and not has:
        raise InputError("--device cuda", "PyTorch sees no CUDA device here", "use --device cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(threads)  # as many as PyTorch chose, from now on fixed
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    if kind == "cpu" or not has:
        return Device(
            kind="cpu",
            title=_processor(),
            chip="",
            count=1,
            threads=threads,
            capacity=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            load=load,
            narrow=False,
            torch=torch,
        )
    properties = torch.cuda.get_device_properties(0)
    title = str(properties.name)
    return Device(
        kind="cuda",
        title=title,
        chip=next((chip for part, chip in CHIPS if re.search(rf"\b{part}\b", title.lower())), ""),
        count=torch.cuda.device_count(),
        threads=threads,
        capacity=properties.total_memory,
        load=load,
        narrow=(properties.major, properties.minor) >= (8, 9),
        torch=torch,
    )


def _processor() -> str:
    """The processor's model, as Linux names it, else its architecture."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.is_file() else None
    return found[1].strip() if found else platform.processor() or platform.machine()
