"""The lecture's chapter on the memory wall: what grew between two generations, and what a trillion parameters take."""

from __future__ import annotations

import pytest

from ridgeline.hardware import load_system

HOPPER, BLACKWELL = load_system("hgx-h100").value, load_system("gb200-nvl72").value


def test_what_grew_from_hopper_to_blackwell() -> None:
    """The domain 9 times (said: 8), a chip's bandwidth 2.39, so a domain's bandwidth 21.5 and not 8."""
    domain = BLACKWELL.domain.size / HOPPER.domain.size
    chip = BLACKWELL.chip.hbm_bandwidth / HOPPER.chip.hbm_bandwidth
    assert (domain, chip, domain * chip) == (9, pytest.approx(2.39, abs=0.01), pytest.approx(21.5, abs=0.1))


def test_a_trillion_parameters_are_read_in_milliseconds_of_a_rack() -> None:
    """1 TB in fp8: 37.3 ms on eight H100, 1.74 ms on a rack; stages do not help a single token."""
    read = [1e12 / (system.domain.size * system.chip.hbm_bandwidth) for system in (HOPPER, BLACKWELL)]
    assert read == [pytest.approx(37.3e-3, rel=0.002), pytest.approx(1.74e-3, rel=0.005)]


def test_a_rack_holds_ten_such_models() -> None:
    """13.4 to 13.8 TB of memory for 1 TB of weights; eight H100 have 640 GB."""
    assert 13 <= BLACKWELL.domain.size * BLACKWELL.chip.hbm_capacity / 1e12 <= 14
    assert pytest.approx(640e9) == HOPPER.domain.size * HOPPER.chip.hbm_capacity
