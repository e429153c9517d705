"""A studio with the shipped model: as an application in this process, or as a server that a Chromium opens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from live import CHROMIUM, Open, Server, Tab
from studio_client import Studio, studio_of

from mmt.sampling.model import Model, load_model


@pytest.fixture(scope="session")
def shipped_model() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def studio(shipped_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    yield from studio_of(shipped_model, tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("sessions"), "--port", "0") as running:
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    made = browser.new_context(viewport={"width": 1280, "height": 850}, accept_downloads=True)
    yield made
    made.close()


@pytest.fixture
def open_tab(context: Any, server: Server) -> Iterator[Open]:
    """Opens tabs; none of them may have had an error."""
    tabs: list[Tab] = []

    def open_one(url: str = "") -> Tab:
        tabs.append(Tab(context, url or server.url))
        return tabs[-1]

    yield open_one
    for tab in tabs:
        assert tab.troubles == []
