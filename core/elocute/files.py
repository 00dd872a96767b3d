"""Files that appear whole or not at all: written under a temporary name beside the target, renamed when complete."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path

from elocute.errors import BadInput, EnvironmentProblem

_PART = r"[a-z0-9_]{8}\.part"  # in the names of `Temporary`, between the target's name and its suffix
_TEMPORARY = re.compile(rf"\..+-{_PART}(\.\w+)?")
_ABANDONED = 3600.0  # seconds
_LEAST_ROOM = 2**16  # bytes: an empty file can be made on a full disk too
# What Pillow's decoders raise on damaged files (SyntaxError and struct.error are no slip: it really does that).
BROKEN_PICTURE = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, RuntimeError, OverflowError, struct.error,
)  # fmt: skip
_lock = threading.Lock()
_open: dict[Path, Temporary] = {}


class Temporary:
    """A target's stand-in while it is written: fill `path`, then `keep` it or `discard` it."""

    def __init__(self, target: Path) -> None:
        """Creates missing folders and an empty file. Raises EnvironmentProblem output_not_writable or disk_full."""
        self.target = target
        self._process: subprocess.Popen[bytes] | None = None
        self._folders = [place for place in (target.parent, *target.parent.parents) if not os.path.lexists(place)]
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # The target's own suffix stays last: encoders choose the container by it.
            handle, name = tempfile.mkstemp(f".part{target.suffix}", _prefix(target), target.parent)
        except BaseException as error:
            self._remove_folders()
            if isinstance(error, OSError):
                raise write_problem(target, error) from error
            raise
        os.close(handle)
        self.path = Path(name)
        with _lock:
            _open[self.path] = self

    def made_by(self, process: subprocess.Popen[bytes]) -> None:
        """Names the child process that has to end before the file can be thrown away."""
        self._process = process

    def keep(self) -> None:
        """Give the file its real name, in one step."""
        try:
            with contextlib.suppress(OSError):  # a network share or a stick may know no rights
                os.chmod(self.path, 0o666 & ~_umask())  # mkstemp's 0600 would surprise whoever shares the folder
            os.replace(self.path, self.target)
        except BaseException as error:
            self.discard()
            if isinstance(error, OSError):
                raise write_problem(self.target, error) from error
            raise
        with _lock:
            _open.pop(self.path, None)

    def discard(self) -> None:
        """Remove it, stopping its process first, and the folders made for it that nothing else is in. Harmless when
        already kept or discarded."""
        with _lock:
            waits = _open.pop(self.path, None) is not None
        if waits and self._process is not None and self._process.poll() is None:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)
        if waits:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
        self._remove_folders()  # of a kept one too, which `keep_all` may have taken back

    def _remove_folders(self) -> None:
        for folder in self._folders:
            with contextlib.suppress(OSError):  # something is in it, or it was never made
                folder.rmdir()


def keep_all(waiting: Sequence[Temporary]) -> None:
    """Give all of them their names; after an error what was there before has them again. Each appears in one step, so
    that a run that is killed meanwhile leaves every target whole. Raises EnvironmentProblem."""
    with contextlib.ExitStack() as back:
        for new in waiting:
            before = new.path.with_suffix(".old")  # a name that `remove_abandoned` knows
            replaces = new.target.is_file()
            back.callback(_put_back, new.target, before, replaces)
            if replaces:
                _keep_before(new.target, before)
            new.keep()
        back.pop_all()
    for new in waiting:
        with contextlib.suppress(OSError):
            new.path.with_suffix(".old").unlink(missing_ok=True)


def _keep_before(target: Path, before: Path) -> None:
    try:
        os.link(target, before)
    except OSError:  # a file system without second names
        try:
            shutil.copyfile(target, before)
        except OSError as error:
            raise write_problem(target, error) from error


def _put_back(target: Path, before: Path, replaced: bool) -> None:
    with contextlib.suppress(OSError):  # the other files go back all the same
        if not replaced:
            target.unlink(missing_ok=True)
        elif before.exists():
            os.replace(before, target)
            before.unlink(missing_ok=True)  # two names of one file stay two


def _prefix(target: Path) -> str:
    return f".{target.stem[:32]}-"  # a name may have 255 bytes: a long one has no room for more around it


def discard_all() -> None:
    """Remove every temporary file of this process; for the last moment before it ends by force."""
    with _lock:
        waiting = list(_open.values())
    for temporary in reversed(waiting):  # the first in a new folder made it
        temporary.discard()


def remove_abandoned(folder: Path, target: Path | None = None) -> None:
    """Remove what killed runs left half-written in `folder`: temporary files that nobody has touched for an hour. In a
    folder of the user's own, name the `target` to which they belong, or another one whose name begins alike."""
    name = _TEMPORARY if target is None else re.compile(re.escape(_prefix(target)) + _PART + re.escape(target.suffix))
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if name.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > _ABANDONED:
                        path.unlink()


def write_whole(target: Path, data: bytes) -> None:
    """Write a file so that a reader, or a crash, sees all of it or none. Raises EnvironmentProblem."""
    temporary = Temporary(target)
    try:
        temporary.path.write_bytes(data)
    except OSError as error:
        temporary.discard()
        raise write_problem(target, error) from error
    except BaseException:
        temporary.discard()
        raise
    temporary.keep()


def write_all(contents: dict[Path, bytes]) -> None:
    """Write files as `write_whole` does, all of them or none: no file has its name before all are written."""
    with contextlib.ExitStack() as undo:
        waiting = []
        for target, data in contents.items():
            waiting.append(Temporary(target))
            undo.callback(waiting[-1].discard)
            try:
                waiting[-1].path.write_bytes(data)
            except OSError as error:
                raise write_problem(target, error) from error
        keep_all(waiting)


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """A file the user named, to read. Raises OSError, EINVAL for what is no file: a pipe or a device could keep us
    reading for ever."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a file", str(path))
        yield stream


def read_input(path: Path, limit: int) -> bytes:
    """A file the user named, up to `limit` bytes. Raises OSError as `open_regular` does, EFBIG for a larger one."""
    with open_regular(path) as stream:
        if os.fstat(stream.fileno()).st_size > limit:
            raise OSError(errno.EFBIG, f"larger than {limit // 2**20} MB", str(path))
        return stream.read()


def check_not_input(target: Path | None, *inputs: Path | str | None) -> None:
    """Refuse an output that would replace one of its own inputs. Raises BadInput output_is_input."""
    for source in inputs:
        with contextlib.suppress(OSError):
            if target is not None and source is not None and os.path.samefile(target, source):
                raise BadInput("output_is_input", f"{target} would replace its own input. Choose another output name.")


def check_writable(folder: Path, room: int = _LEAST_ROOM) -> None:
    """Make sure, before any work, that files can be made in `folder` (which may not exist yet), of `room` bytes.

    Raises EnvironmentProblem output_not_writable or disk_full, BadInput output_not_a_folder.
    """
    existing = folder
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if existing.is_symlink() and not existing.exists():
        raise _leads_nowhere(f"{existing} is a link to {os.readlink(existing)}")
    if not existing.is_dir():
        raise BadInput("output_not_a_folder", f"{existing} is a file, not a folder. Choose another output folder.")
    try:  # asking for permission bits or free space is not enough: read-only file systems, quotas, Windows
        with contextlib.ExitStack() as made:
            place = str(existing)
            if existing != folder:  # who may make folders there may not be allowed to make files beside them
                place = made.enter_context(tempfile.TemporaryDirectory(dir=existing))
            with tempfile.TemporaryFile(dir=place) as probe:
                probe.write(os.urandom(room))  # zeros may be kept for nothing
                probe.flush()
    except OSError as error:
        raise write_problem(folder if folder.name else folder.absolute(), error) from error


def through_link(target: Path) -> Path:
    """The file to write, before any work, where the user named `target`: what it leads to if it is a link, which then
    stays one. Not where that is of another kind by its name, as in a store that names files by their content: such a
    link is replaced. Nor for the files of a folder (frames, avatars): nobody named what a link among them leads to.

    Raises EnvironmentProblem output_not_writable: a link into a folder that isn't there, or one not to be followed.
    """
    if not target.is_symlink():
        return target
    try:
        target.stat()  # the system follows no stranger's link in a folder where everybody may write, such as /tmp
    except FileNotFoundError:
        pass  # the file will be made
    except OSError as error:
        raise write_problem(target, error) from error
    real = Path(os.path.realpath(target))
    if not real.parent.is_dir():
        raise _leads_nowhere(f"{target} is a link into {real.parent}")
    return real if real.suffix.lower() == target.suffix.lower() else target


def _leads_nowhere(link: str) -> EnvironmentProblem:
    why = f"{link}, which is not there (not mounted?)"
    return EnvironmentProblem("output_not_writable", f"{why}. Bring that back, or choose another place.")


def write_problem(target: Path, error: OSError) -> EnvironmentProblem:
    """An OSError on writing as a sentence that names the remedy."""
    if is_disk_full(error):
        return EnvironmentProblem("disk_full", f"the disk is full: can't write {target}. Free some space.")
    why = error.strerror or type(error).__name__
    return EnvironmentProblem("output_not_writable", f"can't write {target} ({why}). Choose another folder.")


def is_disk_full(error: OSError) -> bool:
    """Whether there is no room: disk, quota, or on Windows."""
    return error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)) or getattr(error, "winerror", 0) == 112


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """What native libraries print on the process's stderr goes nowhere: it would tear progress bars, and make two
    sentences of the one that an error is. For short calls; other threads are silenced too."""
    try:
        kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except OSError:  # no stderr at all, as under pythonw
        yield
        return
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _umask() -> int:
    current = os.umask(0)  # there is no way to read it without setting it
    os.umask(current)
    return current
