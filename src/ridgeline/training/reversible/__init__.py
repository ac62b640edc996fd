"""Reversible networks that run: chains that rebuild their activations, a transformer of them, and their measurement.

Needs PyTorch; the law that is measured, `rematerialisation.py`, does not.
"""

from importlib.util import find_spec

from ridgeline.errors import InputError

if find_spec("torch") is None:
    raise InputError("reversible networks", "PyTorch is needed", "pip install 'ridgeline[torch]'")

from ridgeline.training.reversible.arithmetic import Fixed, Float
from ridgeline.training.reversible.chain import Block, Chain, InversionError
from ridgeline.training.reversible.saved import SavedBytes
from ridgeline.training.reversible.transformer import Shape, Transformer

__all__ = ["Block", "Chain", "Fixed", "Float", "InversionError", "SavedBytes", "Shape", "Transformer"]
