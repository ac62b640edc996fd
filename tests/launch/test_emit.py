"""Launch commands: every flag is one that the engine has, and together they start the layout that was planned."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline import InputError, Scenario, load_model, step
from ridgeline.catalog import BUILT_IN
from ridgeline.launch import ENGINES, Deployment, Role, deployed, emit
from ridgeline.launch.deployment import HUB
from ridgeline.launch.engine import engine
from ridgeline.layout import Layout

if TYPE_CHECKING:
    pass

HEADS = {
    "vllm": ("vllm", "serve"),
    "sglang": ("python", "-m", "sglang.launch_server"),
    "trtllm": ("trtllm-serve",),
    "dynamo": ("python", "-m", "dynamo.vllm"),
}
SLURM = ("--ntasks-per-node", "--mpi")
ROUTED = ("--prefill", "--decode", "--host", "--port", "--policy", "--vllm-pd-disaggregation", "--pd-disaggregation")


def _commands(text: str) -> list[list[str]]:
    """Words of each command, comments, files and environment left out."""
    text = re.sub(r"cat > .*?\nEOF\n", "", text, flags=re.DOTALL).replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [[w for w in shlex.split(line) if w != "&" and not re.match(r"[A-Z_]+=", w)] for line in lines]


def _flags(words: list[str]) -> dict[str, str]:
    """Flags of a command with their values; the word after one that takes none counts as empty."""
    found = [(w, words[i + 1] if i + 1 < len(words) else "") for i, w in enumerate(words) if w.startswith("--")]
    return {flag: "" if value.startswith("--") else value for flag, value in found}


def _number(flags: dict[str, str], name: str, key: str) -> int:
    return int(flags.get(engine(name).flags.get(key, ""), "") or 1)


degrees = st.sampled_from([1, 2, 4, 8])


@given(degrees, st.sampled_from([1, 2]), degrees, st.sampled_from(["one", "all"]), st.integers(1, 600), st.booleans())
def test_commands_start_the_layout(tp: int, pp: int, dp: int, ep: str, batch: int, apart: bool) -> None:
    """Ranks, sequences and experts as the engine counts them, multiplied out, are those of the layout."""
    layout = Layout(tp=tp, pp=pp, dp=dp, ep=tp * dp if ep == "all" else 1)
    role = Role(replicas=3, layout=layout, sequences=batch)
    roles = (Role(phase="prefill", replicas=2, layout=Layout(tp=8), sequences=8),
             Role(phase="decode", replicas=3, layout=layout, sequences=batch))  # fmt: skip
    asked = Deployment(model="org/a model", roles=roles if apart else (role,), length=5120, drafts=2, kv="fp8")
    for name in ENGINES:
        text = _emitted(asked, name)
        if not text.startswith("#"):
            assert "nearest" in text or "layout of" in text
            continue
        known = {*engine(name).flags.values(), *ROUTED, *SLURM}
        known |= {*engine("vllm").flags.values()} if name == "dynamo" else set()
        mine = [words for words in _commands(text) if _starts(words, HEADS[name])]
        mine = [words for words in mine if "org/a model" in words]
        assert mine
        for words in _commands(text):
            assert {w for w in words if w.startswith("--")} <= known
        flags = _flags(mine[-1])
        spelt = "vllm" if name == "dynamo" else name
        ranks = _number(flags, spelt, "tp") * _number(flags, spelt, "pp")
        seqs = _number(flags, spelt, "sequences")
        if spelt == "vllm":
            assert ranks * _number(flags, spelt, "dp") == layout.chips
            assert (engine("vllm").flags["ep"] in flags) == (layout.ep > 1)
            assert seqs * dp >= batch > (seqs - 1) * dp
            assert json.loads(flags["--speculative-config"]) == {"method": "mtp", "num_speculative_tokens": 2}
        else:
            assert ranks == layout.chips
            assert _number(flags, spelt, "ep") == layout.ep
            assert seqs * (dp if spelt == "trtllm" else 1) >= batch


def _emitted(deployment: Deployment, name: str) -> str:
    """The script, or why there is none."""
    try:
        return emit(deployment, name)
    except InputError as error:
        return str(error)


def _starts(words: list[str], head: tuple[str, ...]) -> bool:
    joined = " ".join(words)
    return f" {' '.join(head)} " in f" {joined} "


@pytest.mark.parametrize("name", ENGINES)
def test_scripts_are_shell(name: str) -> None:
    """Pasted into a shell, they parse; a name with spaces or quotes stays one word."""
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("no bash")
    prefill = Role(phase="prefill", replicas=2, layout=Layout(tp=8, pp=2), sequences=4)
    decode = Role(phase="decode", replicas=4, layout=Layout(tp=2), sequences=64)
    text = emit(Deployment(model="it's/a model", roles=(prefill, decode), length=9000), name)
    subprocess.run([shell, "-n"], input=text, encoding="utf-8", check=True)
    assert any("it's/a model" in words for words in _commands(text))
    assert engine(name).version in text.splitlines()[0]


@pytest.mark.parametrize("name", ENGINES)
def test_two_prefill_and_four_decode(name: str) -> None:
    """xPyD: a role of each kind, and a router that knows all of them (Dynamo's finds them itself)."""
    prefill = Role(phase="prefill", replicas=2, layout=Layout(tp=8), sequences=4)
    decode = Role(phase="decode", replicas=4, layout=Layout(tp=2), sequences=64)
    text = emit(Deployment(model="a/b", roles=(prefill, decode), length=9000), name)
    assert "# prefill: 2 replicas of tp8" in text
    assert "# decode: 4 replicas of tp2" in text
    if name != "dynamo":
        urls = set(re.findall(r"\$(?:PREFILL|DECODE)_\d:\d+", text))
        assert urls == {"$PREFILL_1:8000", "$PREFILL_2:8000", *(f"$DECODE_1:{8000 + i}" for i in range(4))}
    if name in ("vllm", "dynamo"):
        ports = re.findall(r"SIDE_CHANNEL_PORT=(\d+) .*\n(?:.*\n)*?.*kv_consumer", text)
        assert len(ports) == len(set(ports)) == 4  # servers of one host must not meet on one port
    told = {"vllm": "kv_consumer", "sglang": "--disaggregation-mode decode", "trtllm": "cache_transceiver_config",
            "dynamo": "--disaggregation-mode decode"}  # fmt: skip
    assert told[name] in text


def test_prefill_of_sglang_is_of_all_ranks() -> None:
    """SGLang divides chunk and requests by the attention ranks: the flags must be multiplied before."""
    role = Role(replicas=1, layout=Layout(dp=8, ep=8), sequences=100, tokens=4096)
    flags = _flags(_commands(emit(Deployment(model="a/b", roles=(role,), length=1000), "sglang"))[0])
    assert (flags["--chunked-prefill-size"], flags["--max-running-requests"]) == (str(8 * 4096), "104")
    assert (flags["--tp-size"], flags["--attn-dp-size"]) == ("8", "8")


REFUSED = {
    "context parallelism": ("vllm", {"layout": Layout(tp=2, cp=2)}, {}, "the nearest: cp=1, with tp=4"),
    "half the experts' ranks": ("vllm", {"layout": Layout(tp=4, dp=2, ep=4)}, {}, "the nearest: ep=8"),
    "mixed attention of TensorRT-LLM": ("trtllm", {"layout": Layout(tp=2, dp=4)}, {}, "the nearest: tp=1 dp=8"),
    "format of the cache": ("sglang", {}, {"kv": "int4"}, "--kv fp8"),
    "format of the weights": ("trtllm", {}, {"weights": "fp8"}, "--checkpoint"),
    "maker": ("trtllm", {"vendor": "AMD"}, {}, "the nearest: --emit vllm"),
    "hosts that are not filled": ("vllm", {"layout": Layout(tp=12)}, {}, "8 or 16 devices"),
    "unknown engine": ("vlm", {}, {}, "did you mean vllm"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refusals(what: str) -> None:
    """What an engine cannot do is said, with the nearest that it can; nothing is left out in silence."""
    name, role, rest, told = REFUSED[what]
    made = Role(**{"replicas": 1, "layout": Layout(tp=8), "sequences": 8, **role})
    with pytest.raises(InputError, match=re.escape(told)):
        emit(Deployment(**{"model": "a/b", "roles": (made,), "length": 1000, **rest}), name)


def test_memory_shares() -> None:
    """Three engines count memory from three ends; each leaves the plan's cache its place."""
    point = step(Scenario(model="llama-3.1-70b", system="hgx-h100", tp=8, batch=64, context="8k"))
    held, (role,) = point.memory, deployed(point).roles
    capacity = held.capacity
    assert role.memory == pytest.approx(0.9)
    assert role.static * capacity == pytest.approx(0.9 * capacity - held.activations, rel=1e-3)
    room = capacity - held.weights - held.activations
    assert role.free * room == pytest.approx(room - held.reserve, rel=2e-3)
    assert held.cache <= role.free * room


def test_names_on_the_hub() -> None:
    """A checkpoint is ORGANISATION/NAME; a model whose source is not on the hub is refused, not guessed."""
    wrong = []
    for name in BUILT_IN.names("models"):
        source = load_model(name).source
        if source.startswith(HUB) and not re.fullmatch(r"[\w.-]+/[\w.-]+", source.removeprefix(HUB)):
            wrong.append(source)
    assert not wrong
    point = step(Scenario(model="gpt-3-175b", system="hgx-h100", tp=8, context="1k"))
    with pytest.raises(InputError, match="--checkpoint"):
        deployed(point)
    assert deployed(point, checkpoint="here").model == "here"


def test_pools_of_two_systems() -> None:
    """Prefill on one kind of chip and decode on another: each role has its own hosts and numbers."""
    prefill = step(Scenario(model="llama-3-70b", system="hgx-h200", tp=4, phase="prefill", batch=4, chips=16))
    decode = step(Scenario(model="llama-3-70b", system="gb200-nvl72", tp=8, batch=64, context="4k", kv="fp8"))
    made = deployed(decode, prefill, replicas=2, tokens=4096)
    assert [(role.replicas, role.host, role.tokens) for role in made.roles] == [(4, 8, 4096), (2, 4, 4096)]
    assert "on 2 hosts for each replica" in emit(made, "sglang")


def test_drafts_need_layers_that_draft() -> None:
    """A separate draft model is not part of a plan."""
    point = step(Scenario(model="llama-3-70b", system="hgx-h100", tp=8, verify=3, accepted=2))
    with pytest.raises(InputError, match="no layers that draft"):
        deployed(point)


@pytest.mark.parametrize("name", ENGINES)
def test_flags_have_a_source(name: str) -> None:
    """A table of flags says which version, where it was read and when."""
    found = engine(name)
    assert "https://" in found.source
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found.date)
    assert all(re.fullmatch(r"--[a-z][a-z_-]+", flag) for flag in found.flags.values())
