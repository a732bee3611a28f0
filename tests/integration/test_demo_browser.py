"""The demo in real browsers: sockets, forms, streams and charts as two visitors meet them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from selenium.webdriver import Chrome

from tests.integration.demo_pages import CHROMEDRIVER, CHROMIUM, Visitor, open_chromium
from tests.integration.demo_server import DemoServer

DEPLOYMENTS = 2  # that a chat is typed through
PAGES = ["/", "/room/lobby", "/notices", "/ticker", "/live", "/nowhere"]
MARKUP = "<img src=x onerror=\"document.title='run'\"><b>bold</b>"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.integration,
    pytest.mark.skipif(
        not (CHROMIUM.exists() and CHROMEDRIVER.exists()) and "CI" not in os.environ,
        reason="needs Chromium and its driver",
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    running = DemoServer(tmp_path_factory.mktemp("demo") / "gunicorn.log")
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(autouse=True)
def server_output(server: DemoServer) -> Iterator[None]:
    """Put what gunicorn wrote beside the failure of a test."""
    yield
    sys.stderr.write(server.log())


@pytest.fixture(scope="module")
def browsers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Chrome]]:
    with ExitStack() as stack:
        profiles = [tmp_path_factory.mktemp(name) for name in ("ada", "ben")]
        yield [stack.enter_context(open_chromium(profile)) for profile in profiles]


@pytest.fixture
def ada(browsers: list[Chrome], server: DemoServer) -> Iterator[Visitor]:
    yield from _visit(browsers[0], server, "Ada")


@pytest.fixture
def ben(browsers: list[Chrome], server: DemoServer) -> Iterator[Visitor]:
    yield from _visit(browsers[1], server, "Ben")


def _visit(browser: Chrome, server: DemoServer, name: str) -> Iterator[Visitor]:
    visitor = Visitor(browser, server.url)
    visitor.sign_in(name)
    visitor.complaints()
    yield visitor
    browser.get("about:blank")  # leaves the room, and ends streams and polls


def test_two_visitors_talk_and_see_each_other_come_and_go(ada: Visitor, ben: Visitor) -> None:
    ada.enter("galley")
    ben.enter("galley")
    for visitor in (ada, ben):
        visitor.wait(lambda v=visitor: len(v.texts("#people li")) == 2, "both to be listed")
    assert "Ben came in" in ada.texts(".event")

    ada.say("Is anybody there?")
    ben.wait(lambda: "Is anybody there?" in ben.texts(".said"), "Ada's line at Ben's")
    ben.say("Aye.")
    ada.wait(lambda: ada.texts(".said") == ["Is anybody there?", "Aye."], "both lines at Ada's")

    ben.visit("/")
    ada.wait(lambda: "Ben left" in ada.texts(".event"), "Ben to be seen leaving")
    assert ada.texts("#people li") == ["Ada (you)"]
    assert ada.complaints() == ben.complaints() == []


def test_a_newcomer_reads_what_was_said_before(ada: Visitor, ben: Visitor) -> None:
    ada.enter("lamp-room")
    for number in range(3):
        ada.say(f"line {number}")
    ada.wait(lambda: len(ada.texts(".said")) == 3, "the lines to be said")

    ben.enter("lamp-room")
    assert ben.texts(".said") == ["line 0", "line 1", "line 2"]


def test_a_second_page_of_one_person_is_not_a_second_person(ada: Visitor, ben: Visitor) -> None:
    ben.enter("twice")
    ada.enter("twice")
    ada.browser.switch_to.new_window("tab")
    ada.enter("twice")
    assert ben.texts("#people li") == ["Ada", "Ben (you)"]

    ada.browser.close()
    ada.browser.switch_to.window(ada.browser.window_handles[0])
    ada.say("still here")
    ben.wait(lambda: "still here" in ben.texts(".said"), "the line from the page that is left")
    assert "Ada left" not in ben.texts(".event")


def test_markup_is_shown_and_not_run(ada: Visitor, ben: Visitor) -> None:
    ada.enter("lobby")
    ben.enter("lobby")
    ben.say(MARKUP)
    ada.wait(lambda: MARKUP in ada.texts(".said"), "the line as it was typed")
    ben.post_notice(MARKUP)
    ada.wait(lambda: MARKUP in ada.texts(".toast p"), "the notice as it was typed")

    for visitor in (ada, ben):
        assert visitor.run("return document.querySelector('main img, main b, .toast b')") is None
        assert "run" not in visitor.browser.title


def test_a_notice_from_a_plain_form_reaches_every_open_page(ada: Visitor, ben: Visitor) -> None:
    ada.visit("/live")
    ada.browser.switch_to.new_window("tab")
    ada.visit("/notices")
    ben.post_notice("The bridge is open.")

    ada.wait(lambda: "The bridge is open." in ada.texts(".toast p"), "the notice on the board")
    assert ada.texts("#board li p:first-child")[0] == "The bridge is open."
    ada.browser.close()
    ada.browser.switch_to.window(ada.browser.window_handles[0])
    ada.wait(lambda: "The bridge is open." in ada.texts(".toast p"), "the notice on the figures")
    ben.wait(lambda: "The bridge is open." in ben.texts("#board p"), "the notice on Ben's board")


def test_events_and_long_polls_bring_the_same_readings(ada: Visitor) -> None:
    ada.visit("/ticker")
    for gauge in ("#events", "#poll"):
        readings = f"{gauge} [data-part=readings]"
        ada.wait(lambda it=readings: ada.number(it) >= 4, f"four readings in {gauge}")

    assert ada.number("#events [data-part=requests]") == 1
    assert ada.number("#poll [data-part=requests]") >= 4
    levels = "#events [data-part=level], #poll [data-part=level]"
    ada.wait(lambda: len(set(ada.texts(levels))) == 1, "both gauges to agree")


def test_the_charts_move_and_show_what_is_stirred_up(ada: Visitor) -> None:
    ada.visit("/live")
    ada.wait(lambda: ada.number("#sockets [data-part=value]") >= 2, "the sockets to be counted")
    still = ada.attribute("#messages .trace", "d")
    ada.wait(lambda: ada.number("#round-trip [data-part=value]") > 0, "a round trip")

    ada.find("#stir").click()
    ada.wait(lambda: ada.number("#messages [data-part=value]") >= 20, "the messages to be counted")
    assert ada.attribute("#messages .trace", "d") != still
    ada.wait(lambda: ada.find("#stir").is_enabled(), "the stirring to end")


def test_a_chat_goes_on_while_the_site_is_redeployed_under_it(ada: Visitor, ben: Visitor) -> None:
    ada.enter("drydock")
    ben.enter("drydock")
    for visitor in (ada, ben):
        visitor.wait(lambda v=visitor: v.figure("release"), "a release to answer")
    first, said = ada.figure("release"), []

    def say_until(release: int) -> bool:
        said.append(f"line {len(said)}")
        ada.say(said[-1])
        return ada.figure("release") == release

    for number in range(1, DEPLOYMENTS + 1):
        ada.deploy()
        ada.wait(lambda n=number: say_until(first + n), "new code to answer")

    ben.wait(lambda: ben.texts(".said") == said, "every line, in order")
    ben.say("What happened?")
    for visitor in (ada, ben):
        everything = [*said, "What happened?"]
        visitor.wait(lambda v=visitor, e=everything: v.texts(".said") == e, "every line, in order")
        visitor.wait(
            lambda v=visitor: v.figure("redeployed") == DEPLOYMENTS,
            "the redeployments to be counted",
        )
        sent = visitor.figure("sent")
        visitor.wait(lambda v=visitor, s=sent: v.figure("inorder") >= s, "every frame's answer")
        assert [visitor.figure(part) for part in ("closed", "misplaced", "lost")] == [0, 0, 0]
        assert visitor.connection() == "open"
        assert visitor.complaints() == []
    assert len(set(ada.texts(".deployed"))) == DEPLOYMENTS, "each release speaks in its own words"
    releases = {f"release {first + number}" for number in range(DEPLOYMENTS + 1)}
    assert set(ada.texts(".handled")) <= releases


def test_the_tide_goes_on_while_the_site_is_redeployed(ada: Visitor, ben: Visitor) -> None:
    ben.visit("/ticker")
    ada.enter("drydock")
    ada.wait(lambda: ada.figure("release"), "a release to answer")
    ben.wait(lambda: ben.number("#events [data-part=readings]") >= 1, "the stream to begin")
    ada.deploy()
    ben.wait(lambda: ben.number("#events [data-part=requests]") >= 2, "new code to be asked")
    for gauge in ("#events", "#poll"):
        readings = f"{gauge} [data-part=readings]"
        before = ben.number(readings)
        ben.wait(lambda it=readings, b=before: ben.number(it) > b + 1, f"more of {gauge}")
    assert ben.complaints() == []


def test_every_page_comes_back_with_the_server(
    ada: Visitor, ben: Visitor, server: DemoServer
) -> None:
    ada.enter("lobby")
    ben.visit("/ticker")
    took = server.stop()
    assert took < 6, f"stopping with open sockets took {took:.1f} s"
    for visitor in (ada, ben):
        visitor.wait(lambda v=visitor: v.connection() == "waiting", "the loss to be shown")
    assert not ada.find("#composer button").is_enabled()
    ada.find("#say").send_keys("kept while away\n")

    server.start()
    ada.wait(lambda: ada.connection() == "open", "Ada's page to come back", patience=40)
    ben.wait(lambda: ben.connection() == "open", "Ben's page to come back", patience=40)
    assert ada.texts("#people li") == ["Ada (you)"]
    ada.find("#composer button").click()
    ada.wait(lambda: "kept while away" in ada.texts(".said"), "the line that had waited")
    before = ben.number("#events [data-part=readings]")
    ben.wait(lambda: ben.number("#events [data-part=readings]") > before, "the stream to go on")


def test_the_delay_before_a_reconnection_doubles_and_is_jittered(ada: Visitor) -> None:
    script = """
        const { Backoff } = await import("/static/connection.js");
        const once = () => { const b = new Backoff(); return Array.from(Array(9), () => b.next()) };
        return [once(), once()];
    """
    ada.visit("/")
    first, second = ada.run(f"return (async () => {{{script}}})()")
    ceilings = [min(20_000, 500 * 2**attempt) for attempt in range(9)]
    for delays in (first, second):
        for delay, ceiling in zip(delays, ceilings, strict=True):
            assert ceiling / 2 <= delay <= ceiling
    assert first != second


def test_a_room_asks_a_stranger_for_a_name_first(ada: Visitor) -> None:
    ada.browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    ada.visit("/room/galley")
    assert ada.browser.current_url.endswith("/?room=galley")
    refused = """
        const socket = new WebSocket(location.origin.replace("http", "ws") + "/ws/room/galley");
        return new Promise((done) => {
            socket.onopen = () => done("open");
            socket.onclose = () => done("refused");
        });
    """
    assert ada.run(refused) == "refused"

    ada.find("#name").send_keys("Ada")
    ada.find("main form.stack button").click()
    ada.wait(lambda: ada.browser.current_url.endswith("/room/galley"), "the way into the room")


def test_the_log_follows_what_is_said_also_in_a_smaller_window(ada: Visitor) -> None:
    at_end = """
        const log = document.getElementById("log");
        const bottom = log.lastElementChild.getBoundingClientRect().bottom;
        return log.scrollHeight > log.clientHeight
            && bottom <= log.getBoundingClientRect().bottom;
    """
    ada.enter("long")
    for number in range(30):
        ada.say(f"line {number}")
    ada.wait(lambda: len(ada.texts(".said")) == 30, "the lines to be said")
    ada.wait(lambda: ada.run(at_end), "the log to show its end")
    ada.use_phone()
    try:
        ada.wait(lambda: ada.run(at_end), "the log to show its end on a phone")
    finally:
        ada.use_desktop()


@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_wider_than_a_phone(ada: Visitor, path: str) -> None:
    ada.use_phone()
    try:
        ada.visit(path)
        assert ada.overflow() == 0
    finally:
        ada.use_desktop()
