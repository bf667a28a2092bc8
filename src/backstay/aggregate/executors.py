"""Where the shards of a fit live and work: in threads, in processes of this machine, or in a Ray cluster."""

import importlib
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from backstay.aggregate.shards import Shard
from backstay.errors import UsageError

T = TypeVar("T")


class Executor(Protocol):
    """Keeps shards and runs the same work on each of them.

    `work` is a method of `Shard` with its arguments bound, so that it can travel to another process.
    """

    def start(self, make: Sequence[Callable[[], Shard]]) -> None:
        """Make the shards where they are to live."""

    def map(self, work: Callable[[Shard], T]) -> list[T]:
        """Results of `work` on every shard, in their order."""

    def close(self) -> None:
        """Let the shards go."""


class ThreadExecutor:
    """Shards in this process; the kernels release the interpreter lock."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or os.cpu_count() or 1
        self.shards: list[Shard] = []

    def start(self, make: Sequence[Callable[[], Shard]]) -> None:
        """Make the shards."""
        self.shards = [one() for one in make]

    def map(self, work: Callable[[Shard], T]) -> list[T]:
        """Results of `work` on every shard, in their order."""
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(work, self.shards))

    def close(self) -> None:
        """Let the shards go."""
        self.shards = []


class ProcessExecutor:
    """Shards dealt out to processes of this machine, each of which keeps its own."""

    def __init__(self, processes: int | None = None) -> None:
        self.processes = processes or os.cpu_count() or 1
        self.pools: list[ProcessPoolExecutor] = []
        self.count = 0

    def start(self, make: Sequence[Callable[[], Shard]]) -> None:
        """Start the processes and make the shards in them."""
        context = multiprocessing.get_context("spawn")
        self.pools = [ProcessPoolExecutor(1, mp_context=context) for _ in range(min(self.processes, len(make)))]
        self.count = len(make)
        for future in [self._pool(k).submit(_hold, k, one) for k, one in enumerate(make)]:
            future.result()

    def map(self, work: Callable[[Shard], T]) -> list[T]:
        """Results of `work` on every shard, in their order."""
        futures = [self._pool(k).submit(_apply, k, work) for k in range(self.count)]
        return [future.result() for future in futures]

    def close(self) -> None:
        """End the processes."""
        for pool in self.pools:
            pool.shutdown()
        self.pools = []

    def _pool(self, number: int) -> ProcessPoolExecutor:
        return self.pools[number % len(self.pools)]


_held: dict[int, Shard] = {}


def _hold(number: int, make: Callable[[], Shard]) -> None:
    _held[number] = make()


def _apply(number: int, work: Callable[[Shard], T]) -> T:
    return work(_held[number])


class RayExecutor:
    """Shards as Ray actors; joins the cluster that Ray finds, or is told of by options of `ray.init`.

    Ray's usage statistics are off unless RAY_USAGE_STATS_ENABLED says otherwise.
    """

    def __init__(self, **init: Any) -> None:
        try:
            self.ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise UsageError("Ray is not installed", cure="pip install 'backstay[ray]'") from error
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if not self.ray.is_initialized():
            self.ray.init(**init)
        self.actors: list[Any] = []

    def start(self, make: Sequence[Callable[[], Shard]]) -> None:
        """Start an actor a shard."""
        actor = self.ray.remote(_Actor)
        self.actors = [actor.remote(one) for one in make]

    def map(self, work: Callable[[Shard], T]) -> list[T]:
        """Results of `work` on every shard, in their order."""
        sent = self.ray.put(work)
        results: list[T] = self.ray.get([actor.apply.remote(sent) for actor in self.actors])
        return results

    def close(self) -> None:
        """End the actors; the connection to the cluster stays."""
        for actor in self.actors:
            self.ray.kill(actor)
        self.actors = []


class _Actor:
    def __init__(self, make: Callable[[], Shard]) -> None:
        self.shard = make()

    def apply(self, work: Callable[[Shard], T]) -> T:
        return work(self.shard)
