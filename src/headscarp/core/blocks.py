"""The one loop for long work: named blocks, a journal of what is finished, progress, interruption, resume.

Building a stack, predicting a raster, comparing nets: all run here, on threads of this machine or on the workers of a
`dask.distributed` client. Refuses to go on with the journal of another job. A block must be safe to do twice.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from headscarp.core.artefact import clear_os_errors
from headscarp.core.errors import JournalError
from headscarp.core.progress import progress


class Block(Protocol):
    """Anything with a name that stays the same from run to run."""

    @property
    def id(self) -> str: ...


B = TypeVar("B", bound=Block)


@dataclass(frozen=True)
class Done:
    """What a finished block leaves in the journal: the checksum of what it wrote, and small facts as plain JSON."""

    checksum: str
    facts: dict[str, Any] = field(default_factory=dict)


def run_blocks(
    work: Callable[[B], Done],
    blocks: Sequence[B],
    *,
    journal: "Journal | None" = None,
    workers: Any = 1,
    label: str = "blocks",
    note: Callable[[], str] | None = None,
) -> dict[str, Done]:
    """Does every block that the journal does not hold yet; returns what each block left, by id, in the order given.

    work: runs in a thread, or on a dask worker, where it has to be picklable. workers: a number of threads, or a
    `dask.distributed.Client`; there a block lost with its worker is done again. A block that raises stops the rest;
    what was finished stays in the journal and the error is raised with the block's name as a note. Ctrl-C waits for the
    running blocks, journals them and raises KeyboardInterrupt. note: what to show behind the bar, asked after each.
    """
    done = dict(journal.done) if journal else {}
    todo = [block for block in blocks if block.id not in done]
    submit, close, width = _pool(workers)
    with progress(label, len(blocks)) as bar:
        bar.advance(len(blocks) - len(todo), "resumed" if len(todo) < len(blocks) else "")
        running: dict[Any, B] = {}
        queue = iter(todo)
        try:
            while True:
                _fill(running, queue, submit, work, width)
                if not running:
                    break
                for future in _first_done(running):
                    block = running.pop(future)
                    done[block.id] = _result(future, block)
                    if journal:
                        journal.record(block.id, done[block.id])
                    bar.advance(text=note() if note else None)
        except BaseException:
            _drain(running, done, journal)
            raise
        finally:
            close()
    return {block.id: done[block.id] for block in blocks}


class Journal:
    """The finished blocks of one job, one JSON line each, on disk as soon as each is finished.

    job: whatever decides the result (inputs, settings, versions); a journal of another job is refused. resume: go on
    with what is there; otherwise start afresh. A line torn by a crash is dropped.
    """

    def __init__(self, path: str | Path, job: dict[str, Any], *, resume: bool = False) -> None:
        self.path = Path(path)
        self.job = json.loads(json.dumps(job, sort_keys=True, default=str))
        self.done: dict[str, Done] = {}
        with clear_os_errors(self.path):
            if resume and self.path.exists():
                self._read()
            else:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._append({"headscarp_journal": 1, "job": self.job}, mode="w")

    def record(self, block_id: str, done: Done) -> None:
        """Adds a finished block; it survives whatever happens after this returns."""
        with clear_os_errors(self.path):
            self._append({"id": block_id, "checksum": done.checksum, "facts": done.facts}, mode="a")
        self.done[block_id] = done

    def keep(self, still_good: Callable[[str, Done], bool]) -> None:
        """Forgets blocks whose bytes are no longer what the journal says, so that they are done again."""
        self.done = {block_id: done for block_id, done in self.done.items() if still_good(block_id, done)}

    def _read(self) -> None:
        text = self.path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        lines = [json.loads(line) for line in whole.splitlines()]
        if not lines:
            self._append({"headscarp_journal": 1, "job": self.job}, mode="w")
            return
        theirs = lines[0].get("job")
        if theirs != self.job:
            differs = sorted(k for k in {*self.job, *(theirs or {})} if self.job.get(k) != (theirs or {}).get(k))
            raise JournalError(
                f"{self.path} belongs to another job (differs in: {', '.join(differs) or 'format'}); "
                "run with the same inputs and settings, or start afresh with --overwrite"
            )
        if len(whole) < len(text):
            with self.path.open("r+b") as file:
                file.truncate(len(whole))
        for line in lines[1:]:
            self.done[line["id"]] = Done(line["checksum"], line["facts"])

    def _append(self, line: dict[str, Any], mode: str) -> None:
        with self.path.open(mode, encoding="utf-8") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _pool(workers: Any) -> tuple[Callable[..., Any], Callable[[], None], int]:
    if hasattr(workers, "scheduler_info"):  # a dask.distributed client
        threads = sum(workers.nthreads().values()) or 1

        def submit(work: Callable[..., Any], block: Any) -> Any:
            return workers.submit(work, block, pure=False, retries=3)

        return submit, lambda: None, 2 * threads
    count = max(1, int(workers))
    pool = ThreadPoolExecutor(count, thread_name_prefix="block")
    return pool.submit, lambda: pool.shutdown(wait=True, cancel_futures=True), count + 1


def _fill(running: dict[Any, Any], queue: Iterator[Any], submit: Callable[..., Any], work: Any, width: int) -> None:
    while len(running) < width:
        block = next(queue, None)
        if block is None:
            return
        running[submit(work, block)] = block


def _first_done(running: dict[Any, Any]) -> list[Any]:
    if isinstance(next(iter(running)), Future):
        return list(wait(running, return_when=FIRST_COMPLETED).done)
    from distributed import wait as dask_wait

    return list(dask_wait(list(running), return_when="FIRST_COMPLETED").done)


def _result(future: Any, block: Block) -> Done:
    try:
        done: Done = future.result()
    except Exception as error:
        error.add_note(f"in block {block.id}")
        raise
    return done


def _drain(running: dict[Any, Any], done: dict[str, Done], journal: Journal | None) -> None:
    """Lets running blocks finish after an interruption and keeps what they made."""
    for future in running:
        future.cancel()
    for future, block in running.items():
        if future.cancelled():
            continue
        try:
            done[block.id] = future.result()
        except Exception:
            continue
        if journal:
            journal.record(block.id, done[block.id])
