"""A long answer written as it is computed: batches of queries appended to one file in bounded memory."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from genprob import atomic
from genprob.errors import UsageError
from genprob.results.archive import Archive
from genprob.results.worst import Worst

if TYPE_CHECKING:
    import xarray as xr


class AnswerStream:
    """Appends answers to consecutive batches of queries; the file appears when the `with` block ends well.

    Arguments:
        path: the file; what is there stays until the end.
        queries: how many there will be in all, if known (the file is then a little smaller and faster to read).

    The file is the one that `write` would make of the whole answer: the same groups, dimensions and digest. Every
    batch is the tree of a batched answer with the same variables; its queries are numbered on.

    Raises `ResourceError` when the disk is full, `UsageError` for batches that do not go together or do not add up
    to `queries`; then, and when the block is left by any other exception, nothing is written.
    """

    def __init__(self, path: str | Path, queries: int | None = None) -> None:
        self.path, self.queries = Path(path), queries
        self._worst = Worst()
        self._attrs: dict[str, Any] = {}
        self._seconds = 0.0
        self._place: Any = None
        self._archive: Archive | None = None

    def __enter__(self) -> AnswerStream:
        self._place = atomic.replacing(self.path)
        temporary = self._place.__enter__()
        self._archive = Archive(temporary, self.path, "tree", "query", self.queries)
        return self

    def append(self, tree: xr.DataTree) -> None:
        """Writes the next batch."""
        if self._archive is None:
            raise UsageError(f"{self.path}: is written in a `with` block only")
        groups = {node.path: node.to_dataset(inherit=False) for node in tree.subtree}
        if "query" not in groups["/posterior"].dims:
            raise UsageError(f"{self.path}: a single query cannot be appended; ask a batch of one")
        self._archive.append(groups)
        statistics = groups["/sample_stats"]
        self._worst.add({str(name): v.values for name, v in statistics.data_vars.items()})
        self._seconds += float(tree.attrs.get("seconds", 0.0))
        self._attrs = self._attrs or {str(name): value for name, value in tree.attrs.items()}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        archive, self._archive = self._archive, None
        assert archive is not None
        if error is None:
            try:
                if not archive.done:
                    raise UsageError(f"{self.path}: no query was answered, so there is nothing to write")
                archive.finish(self._final())
            except BaseException as late:
                archive.abandon()
                self._place.__exit__(type(late), late, late.__traceback__)
                raise
            self._place.__exit__(None, None, None)
            return
        archive.abandon()
        self._place.__exit__(kind, error, trace)

    def _final(self) -> dict[str, Any]:
        """The attributes of the whole: constants of the first batch, the worst diagnostics of all."""
        return (
            self._attrs
            | self._worst.attrs()
            | {
                "seconds": self._seconds,
                "queries": self._worst.queries,
                "reliable_queries": self._worst.reliable,
            }
        )
