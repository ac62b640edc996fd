"""What is asked of a deployment: requests with their times, lengths, sessions and shared prefixes."""

from ridgeline.workload.requests import Requests

__all__ = ["Requests"]
