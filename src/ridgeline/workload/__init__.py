"""What is asked of a deployment: requests with times, lengths, sessions and shared prefixes, drawn or recorded."""

from ridgeline.workload.arrivals import arrivals
from ridgeline.workload.reading import Reading, read
from ridgeline.workload.requests import Requests
from ridgeline.workload.tenants import Mixture, Tenant, tenant
from ridgeline.workload.trace import Trace
from ridgeline.workload.workload import Workload

__all__ = ["Mixture", "Reading", "Requests", "Tenant", "Trace", "Workload", "arrivals", "read", "tenant"]
