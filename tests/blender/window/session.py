"""The half that sits outside: a screen, a Blender on it, somebody who clicks, types and looks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from PIL import Image, ImageGrab

SCREEN = (1600, 1500)
PATIENCE = 240.0  # seconds: software rendering on a busy machine
STEP = 7  # pixels between two places where a button is looked for; rows are 20 high
SETTLE = 0.25  # seconds that Blender is given to notice the pointer


class Session:
    """One Blender with a window. Coordinates are the screen's, from the top left."""

    def __init__(self, program: Path, folder: Path, environment: dict[str, str], arguments: list[str]) -> None:
        self.folder, self._asked = folder, 0
        self.about = "None"  # an expression that tells what is going on inside, for when something never comes
        self.display = f":{free_display()}"
        size = f"{SCREEN[0]}x{SCREEN[1]}x24"
        self._screen = subprocess.Popen(
            ["Xvfb", self.display, "-screen", "0", size, "-nolisten", "tcp"], stderr=subprocess.DEVNULL
        )
        self.environment = {**environment, "DISPLAY": self.display}
        self.log = folder / "blender.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(program), "--window-geometry", "0", "0", *map(str, SCREEN), "-setaudio", "None", *arguments,
                 "--python-exit-code", "4", "--python", str(Path(__file__).with_name("serve.py")), "--", str(folder)],
                env=self.environment, stdout=log, stderr=subprocess.STDOUT, cwd=folder,
            )  # fmt: skip

    def close(self) -> None:
        for process in (self.process, self._screen):
            if process.poll() is None:
                process.kill()
            process.wait()

    def run(self, code: str) -> Any:
        """Run statements inside; the value they give to `result`."""
        self._asked += 1
        part = self.folder / f"ask_{self._asked}.part"
        part.write_text(code)
        part.rename(self.folder / f"ask_{self._asked}.py")
        answer = self.folder / f"answer_{self._asked}.json"
        self._until(answer.exists, code)
        told = json.loads(answer.read_text())
        assert "error" not in told, told["error"]
        return told["result"]

    def value(self, expression: str) -> Any:
        return self.run(f"result = {expression}")

    def wait(self, expression: str, seconds: float = PATIENCE) -> Any:
        """Until an expression is true inside; its value."""
        end = time.monotonic() + seconds
        while not (found := self.value(expression)):
            assert time.monotonic() < end, f"it never was: {expression}\n{self.value(self.about)}\n{self._words()}"
            time.sleep(0.15)
        return found

    def grab(self, name: str, box: tuple[int, int, int, int] | None = None) -> Image.Image:
        """A picture of the screen, or of a part (left, top, width, height), kept as NAME.png."""
        self.run("[area.tag_redraw() for window in bpy.context.window_manager.windows for area in window.screen.areas]")
        time.sleep(4 * SETTLE)
        self.value("1")  # the redraw before this answer is on the screen
        picture = ImageGrab.grab(xdisplay=self.display)
        if box is not None:
            picture = picture.crop((box[0], box[1], box[0] + box[2], box[1] + box[3]))
        picture.save(self.folder / f"{name}.png")
        keep = os.environ.get("ELOCUTE_SCREENSHOTS")
        if keep:
            shutil.copy(self.folder / f"{name}.png", keep)
        return picture

    def point(self, x: int, y: int) -> None:
        self._xdotool("mousemove", x - 1, y)
        self._xdotool("mousemove", x, y)

    def click(self, x: int, y: int) -> None:
        self.point(x, y)
        time.sleep(SETTLE)
        self._xdotool("click", 1)

    def press(self, key: str) -> None:
        self._xdotool("key", key)

    def scroll(self, x: int, y: int, clicks: int) -> None:
        """Positive is down."""
        self.point(x, y)
        time.sleep(SETTLE)
        self._xdotool("click", "--repeat", abs(clicks), "--delay", 40, 5 if clicks > 0 else 4)
        time.sleep(2 * SETTLE)

    def find_button(self, operator: str, box: tuple[int, int, int, int], upwards: bool = False) -> tuple[int, int]:
        """Where the button of an operator is, in a column of the screen: the pointer goes down it and copies, as a
        user does with Ctrl-C, the command under it."""
        left, top, width, height = box
        rows = range(top + 5, top + height, STEP)
        for across in (0.5, 0.2, 0.8):
            self.run("bpy.context.window_manager.clipboard = '-'")
            for y in reversed(rows) if upwards else rows:
                x = left + int(width * across)
                self.point(x, y)
                time.sleep(0.06)
                self.press("ctrl+c")
                time.sleep(0.06)
                if f"bpy.ops.{operator}(" in self.value("bpy.context.window_manager.clipboard"):
                    return x, y
        self.grab("no-button")
        raise AssertionError(f"no button for {operator} in {box}")

    def _xdotool(self, *arguments: object) -> None:
        subprocess.run(["xdotool", *map(str, arguments)], env=self.environment, check=True)

    def _words(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def _until(self, condition: Any, what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            ended = self.process.poll()
            assert ended is None, f"Blender ended with {ended} at {what!r}\n{self._words()}"
            assert time.monotonic() < end, f"Blender hangs at {what!r}\n{self._words()}"
            time.sleep(0.01)


def free_display() -> int:
    return next(number for number in range(91, 200) if not Path(f"/tmp/.X11-unix/X{number}").exists())
