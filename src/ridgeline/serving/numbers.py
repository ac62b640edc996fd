"""Every printed number with its formula, the values put into it, and their sources.

    Number: name, value, unit, formula over `inputs`; evaluating the formula with the inputs gives the value.

The tables, `--json` and `ridgeline explain` all print this list, so a number cannot be printed without being explained.
Formulas are Python expressions. Knows no face; computes nothing that `step`, `memory` and `serving` have not.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ridgeline.memory import DeviceMemory
from ridgeline.roofline import Time
from ridgeline.scenario import Scenario, Subject
from ridgeline.serving.balance import balance
from ridgeline.serving.request import Serving
from ridgeline.timing import Step


class Given(msgspec.Struct, frozen=True):
    """A value that goes into a formula: its unit, and where it comes from."""

    value: Any
    unit: str
    source: str = ""


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """A result: `value` in `unit` is `formula` of `inputs`. `text` says in words what it is."""

    name: str
    value: Any
    unit: str
    text: str
    formula: str
    inputs: dict[str, Given]


Numbers = dict[str, Number]


class _Ledger(dict[str, Number]):
    """Numbers by name; a formula may use numbers already in it."""

    def put(self, name: str, value: Any, unit: str, text: str, formula: str, **inputs: Given | str) -> None:
        given = {
            key: Given(self[item].value, self[item].unit, f"see {item}") if isinstance(item, str) else item
            for key, item in inputs.items()
        }
        self[name] = Number(name=name, value=value, unit=unit, text=text, formula=formula, inputs=given)


def source(found: Subject, path: str) -> str:
    """Who says a value of the system, by its dotted path: the value as written, source, date and note."""
    entry = found.sources.get(path)
    if entry is None:
        return ""
    parts = [entry.text, "; ".join(found.catalog.citations(entry.source)), entry.date, entry.note]
    return ", ".join(part for part in parts if part)


def model_numbers(found: Subject) -> Numbers:
    """What follows from model, chip and number formats alone: sizes, ridge, balance batch and context, drain."""
    model, chip = found.model, found.system.chip
    b = balance(model, found.system, found.precision, found.chips)
    main = found.precision.math.get("expert", found.precision.math["default"])
    peak = Given(chip.math_rate(main), "FLOP/s", source(found, f"chip.peak.{main}"))
    bandwidth = Given(chip.hbm_bandwidth, "B/s", source(found, "chip.hbm_bandwidth"))
    capacity = Given(chip.hbm_capacity, "B", source(found, "chip.hbm_capacity"))
    config = model.source or "the model's file"
    n = _Ledger()
    total, active = Given(model.parameters, "1", config), Given(model.active_parameters, "1", config)
    n.put("parameters", model.parameters, "1", "parameters of the language model", "N_total", N_total=total)
    n.put("active_parameters", model.active_parameters, "1", "parameters one token uses", "N_active", N_active=active)
    weights = Given(b.weight_bytes, "B", f"all matrices at {found.precision.stored}")
    n.put("weight_bytes", b.weight_bytes, "B", "bytes of weights that a full step reads", "weights", weights=weights)
    kv = Given(b.kv_read_per_token, "B/tok", f"all layers' caches at {found.precision.kv}")
    n.put("kv_read_bytes_per_token", b.kv_read_per_token, "B/tok", "cache read per decoded and cached token", "k", k=kv)
    flop = Given(b.flop_per_token, "FLOP", "2 per active parameter, attention's scores left out")
    n.put(
        "ridge_flop_per_byte", b.ridge_flop_per_byte, "FLOP/B", f"ridge point of the chip in {main}",
        "peak / bandwidth", peak=peak, bandwidth=bandwidth,
    )  # fmt: skip
    held = Given(found.precision.bytes.get("expert", found.precision.bytes["default"]), "1", "bytes per weight")
    n.put(
        "ridge_tokens", b.ridge_tokens, "tok", "tokens per read weight at which math takes as long as reading",
        "peak * bytes_per_weight / (2 * bandwidth)", peak=peak, bytes_per_weight=held, bandwidth=bandwidth,
    )  # fmt: skip
    math = b.weight_bytes / chip.hbm_bandwidth / b.balance_batch
    seconds = Given(math, "s", "FLOPs of one token at the peaks of their formats")
    n.put(
        "balance_batch", b.balance_batch, "1", "B*: batch at which reading all weights takes as long as the math",
        "weights / bandwidth / math_per_token", weights=weights, bandwidth=bandwidth, math_per_token=seconds,
    )  # fmt: skip
    if b.balance_context:
        n.put(
            "balance_context_tok", b.balance_context, "tok", "L*: context at which reading the cache takes as long as the math",
            "math_per_token * bandwidth / k", math_per_token=seconds, bandwidth=bandwidth, k=kv,
        )  # fmt: skip
    if b.attention_context:
        slope = Given(b.flop_per_token / b.attention_context, "FLOP", "scores and values of one cached token, all layers")
        n.put(
            "attention_context_tok", b.attention_context, "tok", "L_q: context at which attention's FLOPs equal the weights'",
            "flop_per_token / attention_flop_per_cached_token", flop_per_token=flop, attention_flop_per_cached_token=slope,
        )  # fmt: skip
    n.put("drain_s", b.drain, "s", "time to read the whole HBM once", "capacity / bandwidth", capacity=capacity, bandwidth=bandwidth)
    n.put(
        "weight_read_s", b.weight_read, "s", "floor of a full step: all weights read once with all chips",
        "weights / (chips * bandwidth)", weights=weights, chips=Given(found.chips, "1", "--chips"), bandwidth=bandwidth,
    )  # fmt: skip
    return n


def step_numbers(found: Subject, result: Step, prefix: str = "") -> Numbers:
    """Terms of one step on one device, its floor, and what it achieves. Names start with `prefix` ("decode_")."""
    chip = found.system.chip
    n = _Ledger()
    bandwidth = Given(chip.hbm_bandwidth, "B/s", source(found, "chip.hbm_bandwidth"))
    work, time = result.work, result.time
    flops = {f"flop_{m}": Given(v, "FLOP", "one device, one micro-batch, all layers") for m, v in work.flop.items()}
    peaks = {f"peak_{m}": Given(chip.math_rate(m), "FLOP/s", source(found, f"chip.peak.{m}")) for m in work.flop}
    formula = " + ".join(f"flop_{m} / peak_{m}" for m in work.flop)
    n.put(f"{prefix}math_s", time.math, "s", "seconds of multiplications at peak", formula, **flops, **peaks)
    reads = {
        "weights": Given(work.weights, "B", "each weight of the device once; distinct experts only"),
        "kv_read": Given(work.kv_read, "B", "cache entries attended to, each once"),
        "kv_write": Given(work.kv_write, "B", "cache entries of the new tokens"),
    }
    n.put(
        f"{prefix}memory_s", time.memory, "s", "seconds of HBM traffic at peak bandwidth",
        "(weights + kv_read + kv_write) / bandwidth", **reads, bandwidth=bandwidth,
    )  # fmt: skip
    sent: dict[str, Given] = {}
    for layer in result.layers:
        for message, seconds in layer.messages:
            key = message.name.replace(" ", "_").replace("-", "_")
            total = (sent[key].value if key in sent else 0.0) + seconds * layer.count
            sent[key] = Given(total, "s", f"{message.kind}, all layers; {source(found, 'domain.bandwidth')}")
    used = {key: given for key, given in sent.items() if _any(given.value)}
    n.put(f"{prefix}comms_s", time.comms, "s", "seconds of messages between chips", " + ".join(used) or "0", **used)
    terms = {term: f"{prefix}{term}_s" for term in ("math", "memory", "comms")}
    n.put(
        f"{prefix}floor_s", time.lower, "s", "physical bound: the longest term, all else hidden behind it",
        "max(math, memory, comms)", **terms,
    )  # fmt: skip
    n.put(
        f"{prefix}upper_s", time.upper, "s", "if nothing overlapped, still at peak rates",
        "math + memory + comms", **terms,
    )  # fmt: skip
    n.put(
        f"{prefix}tokens_per_s", result.tokens / time.lower, "tok/s", "tokens computed per second by one replica at the floor",
        "tokens / floor", tokens=Given(result.tokens, "tok", "all sequences' new tokens"), floor=f"{prefix}floor_s",
    )  # fmt: skip
    return n


def memory_numbers(found: Subject, held: DeviceMemory, scenario: Scenario) -> Numbers:
    """What one device holds."""
    n = _Ledger()
    capacity = Given(held.capacity, "B", source(found, "chip.hbm_capacity"))
    put = n.put
    weights = Given(held.weights, "B", "the device's share of the fullest stage")
    put("memory_weights_bytes", held.weights, "B", "weights on the fullest device", "weights", weights=weights)
    put(
        "memory_cache_bytes", held.cache, "B", "cache on the fullest device", "sequences * cache_per_sequence",
        sequences=Given(held.sequences, "1", "batch / dp"),
        cache_per_sequence=Given(held.cache_per_sequence, "B", f"at context {scenario.decode_context} tok"),
    )  # fmt: skip
    put(
        "memory_activations_bytes", held.activations + held.sequences * held.logits_per_sequence, "B",
        "activations of the largest step, and logits", "activations + sequences * logits_per_sequence",
        activations=Given(held.activations, "B", "a few hidden vectors of a chunk"),
        sequences=Given(held.sequences, "1", "batch / dp"),
        logits_per_sequence=Given(held.logits_per_sequence, "B", "fp32"),
    )  # fmt: skip
    put(
        "memory_reserve_bytes", held.reserve, "B", "kept free for the runtime", "(1 - utilisation) * capacity",
        utilisation=Given(scenario.memory_utilisation, "1", "--memory-utilisation"), capacity=capacity,
    )  # fmt: skip
    parts = {key: f"memory_{key}_bytes" for key in ("weights", "cache", "activations", "reserve")}
    put("memory_used_bytes", held.used, "B", "all of it", " + ".join(parts), **parts)
    put("memory_capacity_bytes", held.capacity, "B", "HBM of one device", "capacity", capacity=capacity)
    return n


def serving_numbers(
    found: Subject, scenario: Scenario, serving: Serving, decode: Step, prefill: Step | None, price: float | None
) -> Numbers:
    """Speed of one replica, and what it costs if a price per chip and second is known."""
    n = _Ledger()
    s = scenario
    batch, accepted = Given(s.batch, "1", "--batch"), Given(s.accepted, "1", "--accepted")
    osl, isl = Given(s.osl, "tok", "--osl"), Given(s.isl, "tok", "--isl")
    replicas = found.chips // s.layout.chips
    chips = Given(found.chips / replicas, "1", f"{found.chips} chips for {replicas} replicas, idle ones shared out")
    used = Given(s.utilisation, "1", "--utilisation")
    request: Time = serving.request
    terms = {
        key: Given(getattr(request, key), "s", f"per request: decode_{key}_s osl / (accepted batch) + prefill_{key}_s / prompts")
        for key in ("math", "memory", "comms")
    }
    n.put("request_s", request.lower, "s", "seconds of the replica per request", "max(math, memory, comms)", **terms)
    n.put(
        "tpot_s", serving.tpot, "s", "time per output token of a user, prefills of others included",
        "batch * request / osl", batch=batch, request="request_s", osl=osl,
    )  # fmt: skip
    n.put(
        "decode_tpot_s", serving.decode_tpot, "s", "time per output token if prefills run elsewhere",
        "decode_floor / accepted", decode_floor=Given(decode.time.lower, "s", "see decode_floor_s"), accepted=accepted,
    )  # fmt: skip
    if prefill is not None:
        alone = Given(serving.ttft, "s", "one prompt, nothing else running")
        n.put("ttft_s", serving.ttft, "s", "prefill of one prompt alone, without waiting", "prefill_alone", prefill_alone=alone)
    n.put(
        "output_tokens_per_s", serving.output_rate, "tok/s", "output tokens per second of one replica",
        "batch / tpot", batch=batch, tpot="tpot_s",
    )  # fmt: skip
    n.put(
        "output_tokens_per_s_per_chip", serving.output_rate_per_chip, "tok/s", "the same per paid chip",
        "output_tokens_per_s / chips", output_tokens_per_s="output_tokens_per_s", chips=chips,
    )  # fmt: skip
    n.put("tokens_per_s_per_user", serving.user_rate, "tok/s", "tokens per second a user sees", "1 / tpot", tpot="tpot_s")
    if found.system.chip.power is not None:
        power = Given(found.system.chip.power, "W", source(found, "chip.power"))
        joules = power.value * chips.value * serving.decode_tpot / s.batch
        n.put(
            "joules_per_output_token", joules, "J/tok", "energy per output token at full power, decode alone",
            "power * chips * decode_tpot / batch", power=power, chips=chips, decode_tpot="decode_tpot_s", batch=batch,
        )  # fmt: skip
    if price is None:
        return n
    n.put("usd_per_chip_s", price, "USD/s", "price of a chip", "price", price=Given(price, "USD/s", _price_source(found, s)))
    money: dict[str, Given | str] = {"price": "usd_per_chip_s", "chips": chips, "utilisation": used}
    if prefill is not None:
        per_prompt = Given(serving.chip_seconds_per_input * s.isl * s.utilisation / chips.value, "s", "prefill_floor_s / prompts")
        n.put(
            "usd_per_input_token", price * serving.chip_seconds_per_input, "USD/tok", "dollars per prompt token, prefill alone",
            "price * chips * prefill_per_prompt / isl / utilisation", prefill_per_prompt=per_prompt, isl=isl, **money,
        )  # fmt: skip
    n.put(
        "usd_per_output_token", price * serving.chip_seconds_per_output, "USD/tok", "dollars per output token, decode alone",
        "price * chips * decode_tpot / batch / utilisation", decode_tpot="decode_tpot_s", batch=batch, **money,
    )  # fmt: skip
    n.put(
        "usd_per_request", price * serving.chip_seconds, "USD", "dollars per request, prefill and decode overlapped",
        "price * chips * request / utilisation", request="request_s", **money,
    )  # fmt: skip
    if prefill is not None:
        n.put(
            "usd_per_token", price * serving.chip_seconds / (s.isl + s.osl), "USD/tok",
            "dollars per token of a request, input and output alike",
            "usd_per_request / (isl + osl)", usd_per_request="usd_per_request", isl=isl, osl=osl,
        )  # fmt: skip
    return n


def _price_source(found: Subject, scenario: Scenario) -> str:
    """Where the price is from: the option, or the entry of the system's price list."""
    given = scenario.price
    if given.startswith("$") or given[:1].isdigit():
        return f"--price {given}"
    price = found.system.price(given)
    return f"{price.kind}, {'; '.join(found.catalog.citations(price.source))}, {price.date}"


def _any(value: Any) -> bool:
    return bool(value > 0) if isinstance(value, (int, float)) else bool((value > 0).any())
