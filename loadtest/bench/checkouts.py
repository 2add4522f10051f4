"""Another revision of the guard beside this one: taken out of git into a temporary folder, run by the same interpreter.

`product` is that revision's guard, to be started there. `mixed` is a folder with this checkout's `loadtest` and that
revision's `roomguard`: both revisions are measured by the same code. Nothing is written to the repository, so nothing
is left behind by a run that is killed.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

HERE = Path(__file__).resolve().parent.parent.parent
PARTS = ("roomguard", "config.toml")
"""What a guard is made of. Its dependencies are those of the interpreter that runs it."""


class CheckoutFailed(Exception):
    """That revision cannot be taken out; the message is git's."""


@attrs.frozen
class Checkout:
    """A revision, and the folders to run things in."""

    name: str
    product: Path
    mixed: Path


OWN = Checkout("this", HERE, HERE)


@contextlib.contextmanager
def checked_out(revision: str) -> Iterator[Checkout]:
    """That revision, until the block is left.

    Raises:
        CheckoutFailed: there is no such revision, or this is no checkout of git.
    """
    commit = _git("rev-parse", "--verify", "--short", "--end-of-options", f"{revision}^{{commit}}").decode().strip()
    with tempfile.TemporaryDirectory(prefix="bench-against-") as folder:
        product, mixed = Path(folder).resolve() / "product", Path(folder).resolve() / "mixed"
        with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", commit, *PARTS))) as archive:
            # Python before 3.11.4 has no filters and takes this for any other attribute; the archive is git's own.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(product)  # noqa: S202 - filtered, see above
        mixed.mkdir()
        (mixed / "loadtest").symlink_to(HERE / "loadtest")
        for part in PARTS:
            (mixed / part).symlink_to(product / part)
        yield Checkout(commit if commit.startswith(revision) else f"{revision} ({commit})", product, mixed)


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, check=True).stdout  # noqa: S607 - git from PATH
    except subprocess.CalledProcessError as error:
        raise CheckoutFailed(f"git {arguments[0]}: {error.stderr.decode(errors='replace').strip()}") from None
    except OSError as error:
        raise CheckoutFailed(f"git cannot be run: {error}") from None
