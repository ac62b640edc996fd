"""The commands that start a deployment on a serving engine: vLLM, SGLang, TensorRT-LLM, Dynamo."""

from ridgeline.launch.deployment import Deployment, Role, deployed
from ridgeline.launch.emit import ENGINES, emit

__all__ = ["ENGINES", "Deployment", "Role", "deployed", "emit"]
