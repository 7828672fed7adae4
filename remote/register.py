"""The communication between a comparison and the nodes of a cluster. It imports little, because every node loads it."""

import asyncio
from collections.abc import Iterable
from pathlib import Path


class Register:
    """The record of where runs are and whether they should stop: one actor per comparison, on the comparison's node."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[str, str]] = {}
        self._stopping = False
        self._leaving: set[str] = set()
        self._changed = asyncio.Condition()

    async def begin(self, run: str, node: str, address: str) -> bool:
        """Record that a run is on a node; return False if it must not begin."""
        if self._is_to_stop(node):
            return False
        self._places[run] = (node, address)
        return True

    async def forget(self, run: str) -> None:
        """Record that a run waits for a node again."""
        self._places.pop(run, None)

    async def places(self) -> dict[str, tuple[str, str]]:
        """Return the node of every run that has begun, and the node's address."""
        return self._places

    async def told_to_stop(self, node: str) -> None:
        """Return as soon as the runs of this node should stop."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_to_stop(node))

    async def stop(self) -> dict[str, tuple[str, str]]:
        """Let no more runs begin, ask those that have begun to stop, and return where they are."""
        async with self._changed:
            self._stopping = True
            self._changed.notify_all()
        return self._places

    async def leave(self, nodes: Iterable[str]) -> None:
        """Ask the runs of these nodes to stop, so that they continue on other nodes."""
        async with self._changed:
            self._leaving.update(nodes)
            self._changed.notify_all()

    def _is_to_stop(self, node: str) -> bool:
        return self._stopping or node in self._leaving


def check_sight(address: str, directory: str, root: str, sign: str) -> None:
    """Raise ValueError if this node does not see the comparison's folders and files at the same paths."""
    for path in (directory, root, sign):
        if not Path(path).exists():
            raise ValueError(
                f"node {address} does not see {path}: the checkout, its Python environment and the folder of the runs "
                "have to be at the same paths on every node, on a file system that all of them share"
            )
