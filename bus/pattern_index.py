"""Which of many patterns match a subject, without asking each: a tree whose branches are words.

The subject's words are followed down the tree, at each level by the word itself and by `*`; a `**` stands at the node above the
words it takes in. So the cost depends on the words of the subject and on how many branches fit, and not on how many patterns
there are: among 10,000 that begin differently, four words are four steps.
"""

from typing import Generic, TypeVar

from desk.bus.subjects import Pattern

T = TypeVar("T")


class _Node(Generic[T]):
    __slots__ = ("any", "below", "endless", "here")

    def __init__(self) -> None:
        self.below: dict[str, _Node[T]] = {}
        self.any: _Node[T] | None = None
        """Below `*`; it is among those `below` as well."""
        self.here: list[T] = []
        """What listens to exactly this path."""
        self.endless: list[T] = []
        """What listens to everything below."""


class PatternIndex(Generic[T]):
    """Things by their patterns; several may have the same."""

    def __init__(self) -> None:
        self._root = _Node[T]()

    def add(self, pattern: Pattern, item: T) -> None:
        """Let `find` give `item` for subjects that match."""
        node = self._root
        words = pattern.words[:-1] if pattern.endless else pattern.words
        for word in words:
            below = node.below.get(word)
            if below is None:
                below = node.below[word] = _Node[T]()
                if word == "*":
                    node.any = below
            node = below
        (node.endless if pattern.endless else node.here).append(item)

    def remove(self, pattern: Pattern, item: T) -> None:
        """Take out what was added with the same pattern. Raises `ValueError` if it was not."""
        words = pattern.words[:-1] if pattern.endless else pattern.words
        path: list[tuple[_Node[T], str]] = []
        node = self._root
        for word in words:
            path.append((node, word))
            node = node.below.get(word) or _Node[T]()
        (node.endless if pattern.endless else node.here).remove(item)
        for above, word in reversed(path):
            if node.below or node.here or node.endless:
                break
            del above.below[word]
            if word == "*":
                above.any = None
            node = above

    def find(self, subject: str) -> list[T]:
        """All whose pattern matches a checked subject, in no particular order."""
        found: list[T] = []
        nodes = [self._root]
        for word in subject.split("."):
            deeper: list[_Node[T]] = []
            for node in nodes:
                if node.endless:
                    found += node.endless
                below = node.below.get(word)
                if below is not None:
                    deeper.append(below)
                if node.any is not None:
                    deeper.append(node.any)
            if not deeper:
                return found
            nodes = deeper
        for node in nodes:
            found += node.here
        return found
