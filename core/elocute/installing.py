"""How far a set-up is: one bar over all of its steps, moved by what pip and the engine say (standard library only)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress

from .protocol import Message, Progress

# How long a step takes on a usual machine, in seconds: what the bar is divided by.
STEPS = {"environment": 8, "pip": 4, "torch": 60, "libraries": 60, "models": 15, "check": 8}
TITLES = {"environment": "Making the environment", "pip": "Updating pip", "torch": "Installing PyTorch",
          "libraries": "Installing libraries", "models": "Fetching models", "check": "Checking the engine"}  # fmt: skip
PARTS = 1000  # of the whole bar
USUAL_LIBRARIES = 40  # packages of the step "libraries", for its share of the bar only

Say = Callable[[Message], None]


class Bar:
    """The step that runs and how far it is, told as `progress` of PARTS."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self._step, self._part, self._done = "environment", 0, 0

    def begin(self, step: str) -> None:
        """One of STEPS, in their order."""
        self._step, self._part = step, 0
        self.tell(0.0)

    def tell(self, share: float | None = None, message: str | None = None) -> None:
        """Move to a share of the step, 0 to 1, and say what is done; without a share the bar stays."""
        names = list(STEPS)
        before = sum(STEPS[name] for name in names[: names.index(self._step)])
        if share is not None:
            self._done = int(PARTS * (before + share * STEPS[self._step]) / sum(STEPS.values()))
        self.say(Progress(self._step, self._done, PARTS, message=message or TITLES[self._step]))

    def heard(self, line: str) -> bool:
        """Tell what a line of pip or of the engine says about progress. Whether it is of no other use."""
        if found := re.match(r"Progress (\d+) of (\d+)\s*$", line):
            if self._step == "torch" and int(found[2]) > 2**24:  # PyTorch itself, not what it needs beside
                self.tell(int(found[1]) / int(found[2]))
            return True
        if found := re.match(r"\s*Downloading (\S+) \((\d[^)]*)\)", line):
            name = found[1].rpartition("/")[2].split("-")[0].replace("_", "-")
            self.tell(message=f"{TITLES[self._step]}: {name}, {found[2]}")
        elif line.startswith("Installing collected"):
            self.tell(0.8, f"{TITLES[self._step]}: unpacking")
        elif line.startswith("Collecting ") and self._step == "libraries":
            self._part += 1
            self.tell(min(self._part / USUAL_LIBRARIES, 0.75))
        elif self._step == "models" and line.startswith("{"):
            with suppress(ValueError):
                if message := json.loads(line).get("progress", {}).get("message"):
                    self.tell(message=f"{TITLES['models']}: {message}")
        return False
