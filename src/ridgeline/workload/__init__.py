"""What is asked of a deployment: requests with their times, lengths, sessions and shared prefixes."""

from ridgeline.workload.requests import Requests
from ridgeline.workload.workload import Workload

__all__ = ["Requests", "Workload"]
