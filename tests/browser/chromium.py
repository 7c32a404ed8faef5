"""A headless Chromium, driven by its DevTools protocol: load a page, emulate a screen, evaluate."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
START_S, ANSWER_S = 60.0, 120.0
LISTENING = re.compile(r"DevTools listening on (ws://\S+)")


class Tab:
    """One tab. ``messages`` are errors and warnings of the console, and failed loads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: Any) -> None:
        self._loop, self._socket = loop, socket
        self._number = 0
        self._session = ""
        self.messages: list[str] = []
        self.requested: list[str] = []
        self._loaded = False

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        waiting = asyncio.wait_for(self._call(method, parameters), ANSWER_S)
        return self._loop.run_until_complete(waiting)

    def begin(self) -> None:
        """Open the tab and listen to its events."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def show(self, path: Path, width: int, dark: bool = False, media: str = "screen") -> None:
        """Load a file on a screen of this width in CSS pixels."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        self._loaded = False
        self.call("Page.navigate", url=path.as_uri())
        waiting = asyncio.wait_for(self._until_loaded(), ANSWER_S)
        self._loop.run_until_complete(waiting)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, of its promise if it is one."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def screenshot(self, target: Path, highest: int = 12000) -> None:
        """Write a picture of the whole page, or of its first ``highest`` pixels."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {
            "x": 0, "y": 0, "scale": 1,
            "width": size["width"], "height": min(size["height"], highest),
        }  # fmt: skip
        answer = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        target.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self, target: Path) -> None:
        """Print the page as PDF with its own page size."""
        answer = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        target.write_bytes(base64.b64decode(answer["data"]))

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        request = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            request["sessionId"] = self._session
        await self._socket.send_json(request)
        while True:
            answer = await self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    async def _until_loaded(self) -> None:
        while not self._loaded:
            await self._receive()

    async def _receive(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads((await self._socket.receive()).data)
        self._note(str(answer.get("method")), answer.get("params") or {})
        return answer

    def _note(self, method: str, parameters: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.messages.append(json.dumps(parameters)[:500])
        elif method == "Network.requestWillBeSent":
            self.requested.append(parameters["request"]["url"])


def program() -> str | None:
    """Return the path of an installed Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browser() -> Iterator[Tab]:
    """Start Chromium with an empty profile, and end it with the block."""
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            str(program()), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-dev-shm-usage", "--disable-background-networking", "--hide-scrollbars",
            "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            with _connected(loop, _address(process)) as tab:
                yield tab
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(30)
            loop.close()


def _address(process: subprocess.Popen[str]) -> str:
    """Return the address of the protocol, which Chromium prints when it listens."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        listening = LISTENING.search(line)
        if listening:
            return listening.group(1)
    raise RuntimeError(f"Chromium did not start: {''.join(lines)[-2000:]}")


@contextmanager
def _connected(loop: asyncio.AbstractEventLoop, address: str) -> Iterator[Tab]:
    async def connect() -> tuple[aiohttp.ClientSession, Any]:
        session = aiohttp.ClientSession()
        return session, await session.ws_connect(address, max_msg_size=0)

    session, socket = loop.run_until_complete(asyncio.wait_for(connect(), START_S))
    try:
        tab = Tab(loop, socket)
        tab.begin()
        yield tab
    finally:
        loop.run_until_complete(socket.close())
        loop.run_until_complete(session.close())
