"""Every printed number, as tables of formulas, and the values that go into them.

Tables, `--json` and `ridgeline explain` all print these, so nothing is printed that cannot be explained.
"""

from __future__ import annotations

import math

from ridgeline.estimate import Estimate
from ridgeline.memory import DeviceMemory
from ridgeline.scenario import PHASES, Scenario
from ridgeline.serving.balance import balance
from ridgeline.serving.number import Given, Numbers, Row, evaluate, positive, renamed
from ridgeline.serving.request import Serving
from ridgeline.subject import Subject
from ridgeline.timing import Step

TERM_FORMULA = (
    "host + sequence * sequences + layer * small + kernels * (work + attention * attended) + launches * fixed"
    " + quantise * narrow"
    " + messages * sent + staged + sync * meetings + streamed"
)
ESTIMATE: tuple[Row, ...] = (
    (
        "estimate_s",
        "s",
        f"max(floor, {TERM_FORMULA})",
        "on a real engine, one after another",
    ),
    ("low_s", "s", "max(floor, estimate_s * low)", "a tenth of held-out measurements lie below"),
    ("high_s", "s", "estimate_s * high", "a tenth of held-out measurements lie above"),
)
EXPECTED: tuple[Row, ...] = (
    (
        "tpot_estimate_s",
        "s",
        "decode_estimate / accepted + batch * prefill_per_prompt / max(osl - 1, 1)",
        "prefills included",
    ),
    (
        "ttft_estimate_s",
        "s",
        "frontend + running + queue + own",
        "mean time to first token of prompts that come at random, places being free",
    ),
    ("output_tokens_per_s_per_chip_estimate", "tok/s", "batch / tpot_estimate_s / paid_chips", "per paid chip"),
    ("tokens_per_s_per_user_estimate", "tok/s", "1 / tpot_estimate_s", "tokens per second a user sees"),
)
EXPECTED_MONEY: tuple[Row, ...] = (
    ("usd_per_output_token_estimate", "USD/tok",
     "price * paid_chips * decode_estimate / (accepted * batch * utilisation)", "decode alone"),
    ("usd_per_request_estimate", "USD",
     "price * paid_chips * tpot_estimate_s * max(osl - 1, 1) / (batch * utilisation)",
     "prefill and decode one after the other"),
)  # fmt: skip
EXPECTED_PROMPTS: tuple[Row, ...] = (
    ("usd_per_input_token_estimate", "USD/tok", "price * paid_chips * prefill_per_prompt / isl / utilisation",
     "prefill alone"),
)  # fmt: skip
MODEL: tuple[Row, ...] = (
    ("parameters", "1", "N_total", "parameters of the language model"),
    ("active_parameters", "1", "N_active", "parameters one token uses"),
    ("weight_bytes", "B", "weights_of_all_layers", "weights that a step of many tokens reads"),
    ("kv_read_bytes_per_token", "B/tok", "k", "cache read per decoded and cached token, at long context"),
    ("ridge_flop_per_byte", "FLOP/B", "peak / bandwidth", "ridge point of the chip in the format of most weights"),
    ("ridge_tokens", "tok", "peak * bytes_per_weight / (2 * bandwidth)", "tokens per read weight at the ridge point"),
    (
        "balance_batch",
        "1",
        "weight_bytes / bandwidth / math_per_token",
        "B*: reading all weights takes as long as math",
    ),
    ("drain_s", "s", "capacity / bandwidth", "time to read the whole HBM once"),
    ("weight_read_s", "s", "weight_bytes / (chips * bandwidth)", "all weights read once by all chips"),
)
GROWING: tuple[Row, ...] = (
    ("balance_context_tok", "tok", "math_per_token * bandwidth / k", "L*: reading the cache takes as long as math"),
    ("attention_context_tok", "tok", "flop_per_token / attention_flop", "L_q: attention's FLOPs equal the weights'"),
)
STEP: tuple[Row, ...] = (
    ("memory_s", "s", "(weights + kv_read + kv_write) / bandwidth", "HBM traffic at peak bandwidth"),
    ("floor_s", "s", "max(math_s, memory_s, comms_s)", "physical bound: the longest term hides the others"),
    ("upper_s", "s", "math_s + memory_s + comms_s", "if nothing overlapped, at peak rates"),
    ("tokens_per_s", "tok/s", "tokens / floor_s", "tokens computed per second by one replica, at the floor"),
)
MEMORY: tuple[Row, ...] = (
    ("memory_weights_bytes", "B", "weights_of_the_device", "weights on the fullest device"),
    ("memory_cache_bytes", "B", "sequences * cache_per_sequence", "cache on the fullest device"),
    ("memory_activations_bytes", "B", "activations + sequences * logits", "of the largest step, and logits"),
    ("memory_reserve_bytes", "B", "(1 - memory_utilisation) * usable", "kept free for the runtime"),
    (
        "memory_used_bytes", "B",
        "memory_weights_bytes + memory_cache_bytes + memory_activations_bytes + memory_reserve_bytes", "all of it",
    ),
    ("memory_capacity_bytes", "B", "usable", "HBM of one device that software sees"),
)  # fmt: skip
SPEED: tuple[Row, ...] = (
    ("request_s", "s", "max(request_math, request_memory, request_comms)", "replica time per request"),
    (
        "tpot_s",
        "s",
        "batch * request_s / max(osl - 1, 1)",
        "time per output token of a user, prefills of others included",
    ),
    ("decode_tpot_s", "s", "decode_floor / accepted", "time per output token if prefills run elsewhere"),
    ("output_tokens_per_s", "tok/s", "batch / tpot_s", "output tokens per second of one replica"),
    ("output_tokens_per_s_per_chip", "tok/s", "output_tokens_per_s / paid_chips", "the same per paid chip"),
    ("tokens_per_s_per_user", "tok/s", "1 / tpot_s", "tokens per second a user sees"),
)
FIRST: tuple[Row, ...] = (("ttft_s", "s", "prefill_alone", "prefill of one prompt alone, without waiting"),)
ENERGY: tuple[Row, ...] = (
    (
        "joules_per_output_token",
        "J/tok",
        "power * paid_chips * decode_tpot_s / batch / utilisation",
        "at full power, decode alone",
    ),
)
MONEY: tuple[Row, ...] = (
    ("usd_per_chip_s", "USD/s", "price", "price of a chip"),
    ("usd_per_request", "USD", "price * paid_chips * request_s / utilisation", "prefill and decode overlapped"),
    ("usd_per_output_token", "USD/tok", "price * paid_chips * decode_tpot_s / batch / utilisation", "decode alone"),
)
PROMPTS: tuple[Row, ...] = (
    ("usd_per_input_token", "USD/tok", "price * paid_chips * prefill_per_prompt / isl / utilisation", "prefill alone"),
    ("usd_per_token", "USD/tok", "usd_per_request / (isl + osl)", "per token of a request, input and output alike"),
)


def number_names() -> tuple[str, ...]:
    """Names of all numbers that a point may have: those of its step and prefill under their prefixes, and the rest."""
    prefixed = [name for name, *_ in (*STEP, *ESTIMATE)] + ["math_s", "comms_s"]
    tables = (EXPECTED, EXPECTED_MONEY, EXPECTED_PROMPTS, MODEL, GROWING, MEMORY, SPEED, FIRST, ENERGY, MONEY, PROMPTS)
    return (
        *(f"{phase}_{name}" for phase in PHASES for name in prefixed),
        *(name for rows in tables for name, *_ in rows),
    )


def model_numbers(found: Subject) -> Numbers:
    """What follows from model, chip and number formats alone: sizes, ridge, balance batch and context, drain.

    Kept with the subject, which many points share.
    """
    kept = vars(found)
    if "model_numbers" not in kept:
        kept["model_numbers"] = _model_numbers(found)
    return kept["model_numbers"]


def _model_numbers(found: Subject) -> Numbers:
    model, chip, formats = found.model, found.system.chip, found.precision
    b = balance(model, found.system, formats, found.chips)
    config = model.source or "the model's file"
    main, held = formats.of("expert")
    given = {
        "N_total": Given(model.parameters, "1", config),
        "N_active": Given(model.active_parameters, "1", config),
        "weights_of_all_layers": Given(b.weight_bytes, "B", f"all matrices, stored as {_formats(found)}"),
        "k": Given(b.kv_read_per_token, "B/tok", f"all layers' caches in {formats.kv}"),
        "flop_per_token": Given(b.flop_per_token, "FLOP", "2 per active parameter"),
        "attention_flop": Given(b.attention_flop, "FLOP", "scores and values of one cached token, all layers"),
        "math_per_token": Given(b.math_per_token, "s", "FLOPs of a token, each part at the peak of its format"),
        "peak": Given(chip.math_rate(held), "FLOP/s", source(found, f"chip.peak.{held}")),
        "bytes_per_weight": Given(main, "1", formats.stored.get("expert", formats.stored["default"])),
        "chips": Given(found.chips, "1", "--chips"),
        **_chip(found),
    }
    return evaluate(MODEL + (GROWING if b.kv_read_per_token else ()), given)


def step_numbers(found: Subject, result: Step, prefix: str) -> Numbers:
    """Terms of one step on one device, its floor, and what it achieves; names start with `prefix` ("decode_")."""
    chip, work = found.system.chip, result.work
    given = _chip(found) | {
        "weights": Given(work.weights, "B", "each weight of the device once; distinct experts only"),
        "kv_read": Given(work.kv_read, "B", "cache entries attended to, each once"),
        "kv_write": Given(work.kv_write, "B", "cache entries of the new tokens"),
        "tokens": Given(result.tokens, "tok", "new tokens of all sequences"),
    }
    for number, flop in work.flop.items():
        given[f"flop_{number}"] = Given(flop, "FLOP", "one device, one micro-batch, all layers")
        given[f"peak_{number}"] = Given(chip.math_rate(number), "FLOP/s", source(found, f"chip.peak.{number}"))
    sent: dict[str, Given] = {}
    for layer in result.layers:
        for message, seconds in layer.messages:
            key = message.name.replace(" ", "_").replace("-", "_")
            before = sent[key].value if key in sent else 0.0
            sent[key] = Given(before + seconds * layer.count, "s", f"{message.kind}, all layers")
    sent = {key: item for key, item in sent.items() if positive(item.value)}
    formula = " + ".join(f"flop_{name} / peak_{name}" for name in work.flop)
    terms = (
        ("math_s", "s", formula, "multiplications at peak"),
        ("comms_s", "s", " + ".join(sent) or "0", "messages between chips"),
    )
    own = evaluate(terms + STEP, given | sent)
    names = {name: f"{prefix}{name}" for name in own}
    return {names[name]: renamed(number, names) for name, number in own.items()}


def estimate_numbers(found: Estimate, prefix: str) -> Numbers:
    """What a step takes on a real engine and between which bounds; names start with `prefix`."""
    e, t = found.engine, found.terms
    fitted = f"constants of {'all engines' if e.engine == 'any' else e.engine}, fitted to {e.rows} measured numbers"
    given = {name: Given(getattr(e, name), "s", fitted) for name in ("host", "sequence", "sync")}
    given |= {
        name: Given(getattr(e, name), "1", fitted)
        for name in ("layer", "launches", "quantise", "messages", "attention")
    }
    given["kernels"] = Given(e.work_factor(t.prefill, t.mixed), "1", fitted)
    kernels = f"{found.provenance}; NVIDIA AIConfigurator's tables (Apache-2.0), fitted"
    given |= {
        name: Given(getattr(t, name), "s", kernels)
        for name in ("work", "attended", "fixed", "narrow", "small", "sent", "staged", "streamed")
    }
    given |= {name: Given(getattr(t, name), "1", "counted") for name in ("sequences", "meetings")}
    given["floor"] = Given(found.floor, "s", f"see {prefix}floor_s")
    for side in ("low", "high"):
        given[side] = Given(math.exp(getattr(found, f"log_{side}")), "1", f"held-out error, {found.provenance}")
    rows = ESTIMATE
    if positive(e.scores * t.scored):
        given |= {"scores": Given(e.scores, "1", fitted), "scored": Given(t.scored, "s", kernels)}
        rows = tuple(
            (name, unit, f.replace("+ streamed", "+ streamed + scores * scored"), text) for name, unit, f, text in rows
        )
    if positive(e.overlap):
        hidden = e.messages * t.sent + t.staged + e.sync * t.meetings - t.parts(e)["messages"]
        given["hidden"] = Given(hidden, "s", "messages behind the kernels of the other half of the batch")
        rows = tuple((name, unit, f.replace("+ streamed", "+ streamed - hidden"), text) for name, unit, f, text in rows)
    own = evaluate(rows, given)
    names = {name: f"{prefix}{name}" for name in own}
    return {names[name]: renamed(number, names) for name, number in own.items()}


def expected_numbers(found: Subject, s: Scenario, serving: Serving, decode: Estimate, price: float | None) -> Numbers:
    """Speed and cost with estimates in place of floors."""
    first, whole = serving.first, serving.first is not None
    given = _question(found, s, price) | {
        "decode_estimate": Given(decode.seconds, "s", "see decode_estimate_s"),
        "prefill_per_prompt": Given(serving.prefill_per_prompt, "s", "prefill_estimate_s / prompts of the step"),
    }
    if first is not None:
        told = "S u / (2 (1 - u)): prompts before it, S = prefill_per_prompt + decode / prompts, u = S * requests / s"
        given |= {
            "frontend": Given(decode.engine.client.frontend, "s", "per request outside the steps, fitted"),
            "running": Given(first.running, "s", "1.5 * accepted * tpot_estimate_s: the step that runs, and the next"),
            "queue": Given(first.queue, "s", told),
            "own": Given(first.own, "s", "estimate of a step of one prompt, and of the decode step that it shares"),
        }
    rows = EXPECTED if whole else tuple(row for row in EXPECTED if row[0] != "ttft_estimate_s")
    if price is not None:
        rows += EXPECTED_MONEY + (EXPECTED_PROMPTS if whole else ())
    return evaluate(rows, given)


def memory_numbers(found: Subject, held: DeviceMemory, scenario: Scenario) -> Numbers:
    """What one device holds."""
    context = f"at a context of {scenario.decode_context} tokens"
    visible = "chip.hbm_visible" if found.system.chip.hbm_visible else "chip.hbm_capacity"
    given = {
        "usable": Given(held.capacity, "B", source(found, visible)),
        "weights_of_the_device": Given(held.weights, "B", "the device's share of the fullest stage"),
        "sequences": Given(held.sequences, "1", "batch / dp"),
        "cache_per_sequence": Given(held.cache_per_sequence, "B", context),
        "activations": Given(held.activations, "B", "a few hidden vectors of a chunk"),
        "logits": Given(held.logits_per_sequence, "B", "fp32, per sequence"),
        "memory_utilisation": Given(scenario.memory_utilisation, "1", "--memory-utilisation"),
    }
    return evaluate(MEMORY, given)


def serving_numbers(found: Subject, s: Scenario, serving: Serving, decode: Step, price: float | None) -> Numbers:
    """Speed of one replica, and what it costs if a price per chip and second is known."""
    whole = not positive(serving.ttft)
    given = _question(found, s, price) | {
        "decode_floor": Given(decode.time.lower, "s", "decode_floor_s"),
        "prefill_alone": Given(serving.ttft, "s", "a step of one prompt"),
        "prefill_per_prompt": Given(serving.prefill_per_prompt, "s", "prefill_floor_s / prompts of the step"),
        "power": Given(found.system.chip.power, "W", source(found, "chip.power")),
    }
    for term in ("math", "memory", "comms"):
        told = f"decode_{term}_s * (osl - 1) / (accepted * batch)" + ("" if whole else f" + prefill_{term}_s / prompts")
        given[f"request_{term}"] = Given(getattr(serving.request, term), "s", told)
    rows = SPEED + (() if whole else FIRST)
    rows += ENERGY if found.system.chip.power is not None else ()
    rows += MONEY if price is not None else ()
    rows += PROMPTS if price is not None and not whole else ()
    return evaluate(rows, given)


def source(found: Subject, path: str) -> str:
    """Who says a value of the system, by its dotted path: the value as written, source, date and note."""
    entry = found.sources.get(path)
    if entry is None:
        return ""
    parts = [entry.text, "; ".join(found.catalog.citations(entry.source)), entry.date, entry.note]
    return ", ".join(part for part in parts if part)


def _question(found: Subject, s: Scenario, price: float | None) -> dict[str, Given]:
    """What the scenario says of requests and money."""
    replicas = found.chips // s.layout.chips
    return {
        "batch": Given(s.batch, "1", "--batch"),
        "accepted": Given(s.gained, "1", "--acceptance" if s.acceptance else "--accepted"),
        "isl": Given(s.isl, "tok", "--isl"),
        "osl": Given(s.osl, "tok", "--osl"),
        "utilisation": Given(s.utilisation, "1", "--utilisation"),
        "paid_chips": Given(found.chips / replicas, "1", f"{found.chips} chips for {replicas} replicas, idle ones too"),
        "price": Given(price, "USD/s", "" if price is None else _price_source(found, s)),
    }


def _chip(found: Subject) -> dict[str, Given]:
    chip = found.system.chip
    return {
        "bandwidth": Given(chip.hbm_bandwidth, "B/s", source(found, "chip.hbm_bandwidth")),
        "capacity": Given(chip.hbm_capacity, "B", source(found, "chip.hbm_capacity")),
    }


def _formats(found: Subject) -> str:
    stored = found.precision.stored
    return ", ".join(name if part == "default" else f"{part} {name}" for part, name in stored.items())


def _price_source(found: Subject, scenario: Scenario) -> str:
    """Where the price is from: the option, or the entry of the system's price list."""
    given = scenario.price
    if given.startswith("$") or given[:1].isdigit():
        return f"--price {given}"
    price = found.system.price(given)
    return f"{price.kind}, {'; '.join(found.catalog.citations(price.source))}, {price.date}"
