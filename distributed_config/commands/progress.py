"""How far long work is."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from click.termui import progressbar


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows a bar of the work done and of all work.

    The bar is on standard error, and only where that is a terminal: a log has no use for it.
    """
    hidden = not sys.stderr.isatty()
    with progressbar(length=1, label=label, file=sys.stderr, hidden=hidden) as bar:

        def show(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield show
