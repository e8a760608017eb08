"""A page in headless Chromium, driven over its DevTools protocol: real events, no network."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import statistics
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from tornado.websocket import websocket_connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--remote-debugging-port=0", "--window-size=1400,1200",
)  # fmt: skip


class Page:
    """One page; use as a context manager."""

    def __init__(self, path: Path, folder: Path):
        self.path, self.folder, self.number = path, folder, 0
        self.errors: list[str] = []

    def __enter__(self) -> Page:
        assert CHROMIUM is not None
        self.process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={self.folder / 'profile'}", self.path.as_uri()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.loop = asyncio.new_event_loop()
        try:
            self._connect()
        except BaseException:
            self._stop()
            raise
        return self

    def _connect(self) -> None:
        port = self._until(self._port)
        target = self._until(lambda: self._target(port))

        async def connect() -> Any:
            return await websocket_connect(target, max_message_size=1 << 28)

        self.socket = self.loop.run_until_complete(connect())
        self("Runtime.enable")
        self("Page.enable")
        self._until(lambda: self.js("location.protocol == 'file:' && document.readyState")
                    == "complete")  # fmt: skip

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self._stop()

    def _stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
        self.loop.run_until_complete(asyncio.sleep(0.05))
        self.loop.close()

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command; errors of the page meanwhile are kept."""
        self.number += 1
        text = json.dumps({"id": self.number, "method": method, "params": parameters})

        async def send() -> None:
            await self.socket.write_message(text)

        async def receive() -> Any:
            return await asyncio.wait_for(self.socket.read_message(), timeout=60)

        self.loop.run_until_complete(send())
        while True:
            answer = json.loads(self.loop.run_until_complete(receive()))
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(answer["params"]))
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                found: dict[str, Any] = answer["result"]
                return found

    def js(self, expression: str) -> Any:
        """The value of an expression in the page."""
        found = self(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def settle(self) -> None:
        """Wait until the page has drawn what it has been told."""
        self.js("new Promise(r => requestAnimationFrame(() => setTimeout(r, 0)))")

    def mouse(
        self, kind: str, x: float, y: float, pressed: bool = False, button: str = "left"
    ) -> None:
        """A real mouse event: mousePressed, mouseMoved or mouseReleased."""
        self(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y,
            button=button if kind != "mouseMoved" or pressed else "none",
            buttons={"left": 1, "right": 2}[button] if pressed else 0,
            clickCount=int(kind != "mouseMoved"),
        )  # fmt: skip

    def click(self, x: float, y: float, button: str = "left") -> None:
        """Move there, press, release."""
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, pressed=True, button=button)
        self.mouse("mouseReleased", x, y, button=button)

    def key(self, name: str) -> None:
        """A real key: down and up."""
        for kind in ("rawKeyDown", "keyUp"):
            self("Input.dispatchKeyEvent", type=kind, key=name, code=name)

    def frame_time(self, places: list[tuple[float, float]], pressed: bool = False) -> float:
        """The median time in milliseconds from a mouse move until its frame is drawn."""
        self.js(
            "globalThis.frames_ = []; addEventListener('pointermove', globalThis.watch = () => {"
            "const t = performance.now(); requestAnimationFrame(() => setTimeout(() =>"
            "frames_.push(performance.now() - t), 0)) }, true)"
        )
        for place in places:
            self.mouse("mouseMoved", *place, pressed=pressed)
            self.settle()
        self.js("removeEventListener('pointermove', watch, true)")
        times = self.js("frames_")
        assert len(times) >= len(places) / 2
        return statistics.median(times)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press at `start`, move to `end` in steps, release."""
        self.mouse("mouseMoved", *start)
        self.mouse("mousePressed", *start, pressed=True)
        for share in (0.3, 0.6, 1.0):
            x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
            self.mouse("mouseMoved", x, y, pressed=True)
        self.mouse("mouseReleased", *end)

    def screenshot(self, path: Path) -> None:
        """The page as a PNG file."""
        found = self("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def _port(self) -> str | None:
        file = self.folder / "profile" / "DevToolsActivePort"
        lines = file.read_text().splitlines() if file.exists() else []
        return lines[0] if lines else None

    def _target(self, port: str) -> str | None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as answer:
            pages = [t for t in json.load(answer) if t["type"] == "page"]
        return pages[0]["webSocketDebuggerUrl"] if pages else None

    @staticmethod
    def _until(probe: Any, seconds: float = 60.0) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = probe()
            if found:
                return found
            time.sleep(0.05)
        raise TimeoutError(str(probe))
