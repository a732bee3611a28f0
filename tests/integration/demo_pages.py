"""The demo as its visitors see it: a real headless Chromium, and what a person does with a page.

Not a test. Nothing here sleeps for a fixed time: `Visitor.wait` looks again until a condition
holds, and says what the page showed when it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = Path("/usr/bin/chromium")
CHROMEDRIVER = Path("/usr/bin/chromedriver")
PATIENCE = 15.0  # seconds: a browser on two shared cores may take a while
LOOK_EVERY = 0.05  # seconds between two looks at a page
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Root's shared memory may be as small as a container's 64 MB.
    "--disable-dev-shm-usage",
)
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}

Seen = TypeVar("Seen")


def open_chromium(profile: Path) -> webdriver.Chrome:
    """Start a browser of its own: own process, own cookies, nothing fetched from outside."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # The path is given, so that selenium looks for no driver and downloads none.
    service = webdriver.ChromeService(executable_path=str(CHROMEDRIVER))
    return webdriver.Chrome(options=options, service=service)


class Visitor:
    """One person at one browser."""

    def __init__(self, browser: webdriver.Chrome, site: str) -> None:
        self.browser = browser
        self.site = site

    # What a person does.

    def visit(self, path: str) -> None:
        """Load a page, and wait until its connections stand."""
        self.browser.get(self.site + path)
        self.wait_for_connection()

    def sign_in(self, name: str) -> None:
        """Sign in with the form of the home page, as somebody who has not been here before."""
        self.browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.visit("/")
        self.find("#name").send_keys(name)
        self.find("main form.stack button").click()
        self.wait(lambda: self.texts(".my-name") == [name], "the name in the masthead")

    def enter(self, room: str) -> None:
        """Open a room, and wait until it lists this person."""
        self.visit(f"/room/{room}")
        self.wait(lambda: self.texts("#people .you"), "the room to list its visitor")

    def say(self, text: str) -> None:
        """Type a line into the room's composer and send it."""
        self.find("#say").send_keys(text)
        self.find("#composer button").click()

    def deploy(self) -> None:
        """Press the room's button that redeploys the site; does not wait for that."""
        self.wait(lambda: self.find("#deploy button").is_enabled(), "the button to be offered")
        self.find("#deploy button").click()

    def post_notice(self, text: str) -> None:
        """Post a notice with the form of the notice board."""
        self.visit("/notices")
        self.find("#text").send_keys(text)
        self.find("main form.stack button").click()

    def use_phone(self) -> None:
        """Give the window a phone's size, and a phone's way of laying out."""
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)

    def use_desktop(self) -> None:
        """Undo `use_phone`."""
        self.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    # What a person sees.

    def find(self, selector: str) -> WebElement:
        """Return the first element that matches."""
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """Return the text of each element that matches, in order, read at one moment."""
        script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
        return list(self.run(script, selector))

    def number(self, selector: str) -> float:
        """Return the number that an element shows; 0 while it shows none."""
        text = self.texts(selector)[0]
        return float(text) if text.replace(".", "", 1).isdigit() else 0.0

    def figure(self, part: str) -> int:
        """Return a figure of the account that a room's page keeps."""
        return int(self.number(f"#release [data-part={part}]"))

    def attribute(self, selector: str, name: str) -> str:
        """Return an attribute as it is now, or an empty string."""
        script = "return document.querySelector(arguments[0])?.getAttribute(arguments[1])"
        return self.run(script, selector, name) or ""

    def connection(self) -> str:
        """Return the state that the masthead shows: connecting, open or waiting."""
        return self.attribute("#state", "data-state")

    def overflow(self) -> int:
        """Return by how many CSS pixels the page is wider than its window."""
        script = "const e = document.documentElement; return e.scrollWidth - e.clientWidth"
        return int(self.run(script))

    def complaints(self) -> list[str]:
        """Return what the browser logged since it was last asked: exceptions, refused resources."""
        log = self.browser.get_log("browser")
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def run(self, script: str, *arguments: object) -> Any:
        """Run JavaScript in the page and return what it returns; a promise is awaited."""
        return self.browser.execute_script(script, *arguments)

    # Waiting.

    def wait_for_connection(self) -> None:
        """Wait until the masthead says that all connections of the page stand."""
        self.wait(lambda: self.connection() == "open", "the connections to stand")

    def wait(self, condition: Callable[[], Seen], what: str, *, patience: float = PATIENCE) -> Seen:
        """Look until `condition` gives something true, and return that."""
        waiting = WebDriverWait(self.browser, patience, poll_frequency=LOOK_EVERY)
        try:
            return waiting.until(lambda _: condition())
        except TimeoutException:
            shown = self.run("return document.body.innerText")
            complaints = self.complaints()
            raise AssertionError(
                f"waited {patience} s for {what}; {self.browser.current_url} showed:\n{shown}\n"
                f"and the browser complained of {complaints}"
            ) from None
