"""The pages in Chromium: each draws, a link reproduces its view, keyboard, phone, dark, nothing from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, FilePayload, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    print("\nSKIPPED: no chromium, so the explorer's pages are not tested (apt-get install chromium)", file=sys.stderr)
    pytest.skip("no chromium: apt-get install chromium", allow_module_level=True)

PAGES = (
    "board",
    "plan?model=llama-3-8b&system=hgx-h100&chips=2&top=2",
    "traffic?requests=200",
    "prices?model=llama-3-8b&system=hgx-h100&chips=1",
    "prices?part=sheet&draws=16384",
    "training?model=llama-3-8b&chips=8",
    "training?part=pipeline&stages=4&micro_batches=8",
    "training?part=lifetime&model=llama-3-8b&chips=8",
    "lecture?chapter=wall&pin=C001&pin=C002",
    "accuracy?pin=online+TPOT",
    "catalogue?kind=media",
)
SHOTS = Path(__file__).parents[2] / "screenshots"
POINT = "model=llama-3-70b&system=hgx-h100&tp=8&dp=1&ep=1&batch=64&context=8k"
OWN = re.compile(r"http://127\.0\.0\.1|data:|blob:")
AXE = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "ridgeline", "web", "--port", "0", "--no-browser"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = re.search(r"http://\S+/", process.stdout.readline())
        assert said is not None
        yield said[0]
        process.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with warnings.catch_warnings(), sync_playwright() as playwright:
        warnings.simplefilter("ignore", ResourceWarning)
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which an error in a script, or a request to elsewhere, fails the test."""
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    found, wrong = context.new_page(), list[str]()
    found.set_default_timeout(30_000)
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("console", lambda message: wrong.append(message.text) if "Content Security" in message.text else None)
    found.on("request", lambda request: None if OWN.match(request.url) else wrong.append(request.url))
    yield found
    context.close()
    assert not wrong


def opened(page: Page, url: str) -> None:
    page.goto(url)
    page.wait_for_selector("[data-drawn]", state="attached")
    page.wait_for_load_state("networkidle")


def json_file(content: bytes) -> FilePayload:
    return FilePayload(name="config.json", mimeType="application/json", buffer=content)


@pytest.mark.parametrize("path", PAGES)
def test_each_page_draws_and_is_accessible(page: Page, server: str, path: str) -> None:
    """No error, its heading, numbers that open, no violation of WCAG 2.1 A and AA that axe finds; on phones too."""
    name = path.split("?")[0]
    shot = "-".join([name, *re.findall(r"part=(\w+)", path)])
    opened(page, server + path)
    assert page.locator(".error").all_inner_texts() == []
    assert page.locator("h1").inner_text().lower().startswith({"board": "blackboard"}.get(name, name))
    assert page.locator("svg.plot").count() >= (0 if name in ("lecture", "accuracy", "catalogue") else 1)
    number = page.locator("button.number").first
    number.click()
    page.wait_for_selector("dialog[open]")
    assert "When not to trust it" in page.locator("dialog").inner_text()
    page.keyboard.press("Escape")
    SHOTS.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page, options=AXE if scheme == "light" else CONTRAST)
        assert found.violations_count == 0, found.generate_report()
        page.screenshot(path=SHOTS / f"{shot}-{scheme}.png", full_page=True)
    page.set_viewport_size({"width": 375, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375, "the page is wider than a phone"
    page.screenshot(path=SHOTS / f"{shot}-phone.png", full_page=True)


OPENED = (
    "board",
    "plan?model=llama-3-8b&system=hgx-h100&chips=2&top=2",
    "plan?model=llama-3-70b&system=hgx-h100&chips=64&ttft=2s&top=2",
    "traffic?requests=200&slo=",
    "traffic?requests=200",
    "prices?model=llama-3-8b&system=hgx-h100&chips=1&beside=deepseek-chat",
    *PAGES[4:-3],
    "lecture?chapter=wall",
    "accuracy",
    "catalogue?kind=media",
)


@pytest.mark.parametrize("path", OPENED)
def test_every_number_opens(page: Page, server: str, path: str) -> None:
    """In lists and tables: each has a formula with the values put in, or its source, and when not to trust it."""
    opened(page, server + path)
    if "board" in path:
        page.locator("summary:has-text('Every number')").click()
        page.wait_for_selector("#every .facts")
    closed = page.evaluate(
        """() => [...document.querySelectorAll("main .facts b, main td.n")]
            .filter((cell) => /^[-−$<]?\\d(?!f1b)/.test(cell.innerText) && !cell.querySelector("button.number"))
            .map((cell) => `${cell.closest("li,tr").innerText}`)"""
    )
    assert closed == []
    poor = page.evaluate(
        """async (listed) => {
            const dialog = document.getElementById("explain"), poor = [];
            for (const button of document.querySelectorAll("main button.number")) {
                dialog.replaceChildren();
                button.click();
                for (let i = 0; i < 400 && !dialog.firstChild; i++) await new Promise((done) => setTimeout(done, 5));
                const lines = dialog.querySelector("pre")?.textContent.split("\\n  = ") ?? [];
                const put = lines.length > 3 && /\\d/.test(lines[2]);
                const sources = [...dialog.querySelectorAll("tbody td:last-child")].map((cell) => cell.textContent);
                const given = (lines.length < 3 || listed) && sources.length && sources.every(Boolean);
                const doubt = dialog.textContent.includes("When not to trust it");
                if (!(put || given) || !doubt) poor.push(dialog.innerText);
                dialog.close();
            }
            return poor;
        }""",
        path.startswith("lecture"),  # its equations stand as they were said, with their inputs listed below
    )
    assert poor == []


def test_a_slider_redraws_and_the_link_reproduces_the_view(page: Page, server: str, browser: Browser) -> None:
    """Whole state in the address: another browser that opens it shows the same numbers, pins included."""
    opened(page, f"{server}board?{POINT}")
    before = page.locator(".facts").first.inner_text()
    page.get_by_role("button", name="Pin to compare").click()
    page.wait_for_selector("text=Compared")
    slider = page.get_by_role("slider", name=re.compile("Batch"))
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("text => document.querySelector('.facts').innerText !== text", arg=before)
    page.wait_for_url(re.compile("batch=23"))
    assert "%" in page.locator("table").first.inner_text()
    other = browser.new_page()
    opened(other, page.url)
    other.wait_for_selector("text=Compared")
    for part in (".facts", "table"):  # the first page may still be drawing its last step: it comes to the same view
        shown = other.locator(part).first.inner_text()
        expect(page.locator(part).first).to_have_text(shown, use_inner_text=True, timeout=20_000)
    other.close()


def test_a_long_run_is_shown_as_it_grows(page: Page, server: str) -> None:
    """One question, whose answer is drawn while it grows and says how much is behind; "Cancel" keeps what is known."""
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url) if "/api/simulate" in request.url else None)
    page.add_init_script(
        """new MutationObserver(() => {
            if (!document.querySelector(".facts") || !document.querySelector("progress[value]")) return;
            [...document.querySelectorAll("button")].find((button) => button.textContent === "Cancel").click();
        }).observe(document, { childList: true, subtree: true });"""
    )
    page.goto(f"{server}traffic?requests=200000&osl=1000&rate=8")
    page.wait_for_selector("text=/Cancelled: [1-9]/")
    assert page.locator(".facts").first.inner_text().startswith("requests 200,000")
    assert len(asked) == 1
    assert page.locator("progress").count() == 0


def test_a_slow_page_answers_each_change(page: Page, server: str) -> None:
    """What is changed while nothing runs is asked too: every second change once came to nothing but "Cancelled"."""
    opened(page, f"{server}traffic?requests=100")
    box = page.get_by_label("Chips of a replica")
    for text, shown in (("many", ".error:has-text('many')"), ("2", ".facts"), ("none", ".error:has-text('none')")):
        box.fill(text)
        box.press("Enter")
        page.wait_for_selector(shown)
    assert page.get_by_text("Cancelled").count() == 0


def test_records_are_pinned_and_taken_along(page: Page, server: str) -> None:
    """Chips side by side, in the address; CSV of all of them, numbers as numbers."""
    opened(page, f"{server}catalogue?kind=chips")
    for name in ("b200", "gb200"):
        page.get_by_role("button", name=f"Pin {name}", exact=True).click()
    assert "pin=b200&pin=gb200" in page.url
    assert "%)" in page.locator("table").first.inner_text()
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV", exact=True).click()
    assert saved.value.path().read_bytes().startswith(b"name,")
    page.reload()
    page.wait_for_selector("text=Compared")
    page.get_by_role("button", name="Take away gb200").click()
    assert page.url.endswith("pin=b200")


def test_a_number_opens_to_its_formula_by_keyboard(page: Page, server: str) -> None:
    """Enter on a number: formula, values put in, sources; Escape closes."""
    opened(page, f"{server}board?{POINT}")
    page.locator("button[data-number=decode_floor_s]").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    text = page.locator("dialog").inner_text()
    assert "max(math_s, memory_s, comms_s)" in text
    assert "When not to trust it" in text
    page.locator("dialog").get_by_role("button", name="decode_memory_s: open").click()
    page.wait_for_selector("dialog h2:has-text('decode_memory_s')")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


def test_what_is_refused_says_why_and_the_address_is_safe(page: Page, server: str) -> None:
    """The planner's message stands on the page; markup in an address is text."""
    opened(page, f"{server}board?{POINT.replace('tp=8', 'tp=7')}")
    assert "try 4 or 8" in page.locator(".error").inner_text()
    opened(page, f"{server}board?model=<img src=x onerror=alert(1)>&system=hgx-h100")
    assert page.locator("main img").count() == 0
    assert "unknown model" in page.locator(".error").inner_text()


def test_a_config_of_ones_own(page: Page, server: str) -> None:
    """A file from the disk becomes the model, stands in the link, and a broken one is refused."""
    opened(page, f"{server}board?model=llama-3-8b&system=hgx-h100&chips=1&dp=1&ep=1&batch=8")
    config = (
        b'{"model_type":"llama","hidden_size":2048,"num_hidden_layers":16,"num_attention_heads":16,"vocab_size":32000,'
        b'"num_key_value_heads":8,"intermediate_size":8192,"torch_dtype":"bfloat16"}'
    )
    page.set_input_files("input[type=file]", json_file(config))
    page.wait_for_selector("text=config.json (")
    assert "model_type" in page.url
    page.set_input_files("input[type=file]", json_file(config[:20]))
    page.wait_for_selector(".error:has-text('JSON')")


def test_a_chip_of_ones_own(page: Page, server: str, browser: Browser) -> None:
    """Values in place of the system's, by the rules of --set: they count, stand in the link, and can be refused."""
    opened(page, f"{server}board?{POINT}")
    before = page.locator("button[data-number=decode_floor_s]").first.inner_text()
    page.get_by_label("its bandwidth").fill("8 TB/s")
    page.get_by_label("its bandwidth").press("Enter")
    page.wait_for_function(
        "text => document.querySelector('button[data-number=decode_floor_s]').innerText !== text", arg=before
    )
    page.wait_for_url(re.compile("bandwidth=8"))
    other = browser.new_page()
    opened(other, page.url)
    assert other.locator(".facts").first.inner_text() == page.locator(".facts").first.inner_text()
    assert other.get_by_label("its bandwidth").input_value() == "8 TB/s"
    other.close()
    page.get_by_label("memory", exact=True).fill("288")
    page.get_by_label("memory", exact=True).press("Enter")
    page.wait_for_selector(".error:has-text('chip.hbm_capacity')")


def test_take_along(page: Page, server: str) -> None:
    """CSV, JSON, SVG and PNG are files that hold what the page shows; the command line is the one that prints it."""
    opened(page, f"{server}board?{POINT}")
    for kind, starts in {"CSV": b"batch,low_s", "JSON": b"{", "SVG": b"<svg", "PNG": b"\x89PNG"}.items():
        with page.expect_download() as saved:
            page.get_by_role("button", name=kind, exact=True).click()
        content = saved.value.path().read_bytes()
        assert content.startswith(starts), kind
        assert kind != "SVG" or b"var(" not in content
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.get_by_role("button", name="Copy CLI").click()
    assert page.evaluate("window.copied") == "ridgeline step llama-3-70b hgx-h100 --tp 8 --batch 64 --context 8000"


def test_another_system_brings_its_best_layout(page: Page, server: str) -> None:
    """A layout for one system need not exist on another: the planner's takes its place."""
    opened(page, f"{server}board?{POINT}")
    page.locator("select[data-name=system]").select_option("hgx-b200")
    page.wait_for_selector("text=chips of hgx-b200")
    assert page.locator(".error").count() == 0
    assert "system=hgx-b200" in page.url


def test_offline_a_drawn_page_says_so(page: Page, server: str) -> None:
    """Without the server the picture stays and the message says why; with it the next move draws again."""
    opened(page, f"{server}board?{POINT}")
    page.context.set_offline(True)
    slider = page.get_by_role("slider", name=re.compile("Batch"))
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".error:has-text('still running')")
    assert page.locator("svg.plot").count() == 3
    page.context.set_offline(False)
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".error", state="detached")
