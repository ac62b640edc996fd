"""The lecture that Ridgeline is built on, claim by claim: recomputed by the public laws, as said and with real inputs.

`claims/` holds what was said, as data; `checks/` holds one small function per claim that calls the laws; `examine` puts
them together and says whether the claim holds.
"""

from __future__ import annotations

from ridgeline.lecture.claim import Claim, chapters, claims
from ridgeline.lecture.finding import Finding, Swing, examine, tornado

__all__ = ["Claim", "Finding", "Swing", "chapters", "claims", "examine", "tornado"]
