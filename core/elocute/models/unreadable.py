"""Why a file of weights can't be taken."""

from __future__ import annotations


class Unreadable(Exception):
    """A file that can't be taken: `code` as in errors, `reason` continues a sentence that starts with its name."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


def damaged(detail: str) -> Unreadable:
    """What is cut short or inconsistent."""
    return Unreadable("import_damaged", f"is damaged or cut short ({detail}): download it again")


def unsafe(name: str) -> Unreadable:
    """What no model file needs."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)[:80]
    return Unreadable("import_unsafe", f"would run {shown}, which no model file needs: don't trust where it came from")


def too_large() -> Unreadable:
    """What would fill the machine's memory."""
    return Unreadable("import_too_large", "is larger inside than any model file: don't trust where it came from")


class Room:
    """How much a walk may still come across: a pickle may hold one object in many places, and each is walked."""

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, amount: int) -> None:
        """Raises Unreadable import_too_large when there is no more."""
        self.left -= amount
        if self.left < 0:
            raise too_large()
