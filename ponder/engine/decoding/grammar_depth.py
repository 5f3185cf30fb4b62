"""How deep a grammar leads llguidance, which follows references and nesting on the C stack: too deep ends the process.

What is counted is never less than the real depth. A step is a list or an object of a schema, a rule or a bracket of a
Lark grammar. A stack of 8 MB ends after about 2,000 steps of a schema or 2,600 rules.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from ponder.core.errors import UserError

MAX_STEPS = 800  # of a schema, through its references
MAX_RULES = 1500  # rules and brackets of a Lark grammar, which may all follow each other
MAX_NAMED = 64  # subschemas with an $id or an anchor
_NAMES = ("$id", "$anchor", "$dynamicAnchor", "id")
_ASIDE = ("$defs", "definitions")  # of the root: reached by reference alone


def check_schema(schema: Any, param: str) -> None:
    """Raises UserError for a schema whose references lead too deep. A reference to what is open already ends there."""
    if (steps := _Graph(schema, param).steps()) > MAX_STEPS:
        raise UserError(
            f"the JSON schema leads {steps} steps deep through its $refs, {MAX_STEPS} are the limit; "
            "shorten the chain of references",
            param=param,
        )


def check_lark(text: str, param: str) -> None:
    """Raises UserError for a grammar of too many rules: how they refer to each other does not matter."""
    if (rules := sum(map(text.count, ":([{"))) > MAX_RULES:
        raise UserError(f"the grammar has {rules} rules and brackets, {MAX_RULES} are the limit", param=param)


class _Graph:
    """The lists and objects of a schema by number, and where each leads."""

    def __init__(self, schema: Any, param: str) -> None:
        self._nodes: list[Any] = []
        self._number: dict[int, int] = {}
        waiting = [schema]
        while waiting:
            node = waiting.pop()
            if isinstance(node, dict | list) and id(node) not in self._number:
                self._number[id(node)] = len(self._nodes)
                self._nodes.append(node)
                waiting += node.values() if isinstance(node, dict) else node
        draft4 = isinstance(schema, dict) and "draft-04" in str(schema.get("$schema"))
        names = _NAMES if draft4 else _NAMES[:-1]
        named = [n for n in self._nodes if isinstance(n, dict) and any(isinstance(n.get(k), str) for k in names)]
        if len(named) > MAX_NAMED:
            raise UserError(f"the JSON schema has more than {MAX_NAMED} subschemas with an $id or $anchor", param=param)
        self._bases = [schema, *named]
        self._resolved: dict[str, set[int]] = {}
        self._targets: set[int] = set()
        self._next = [list(self._leads_to(n)) for n in range(len(self._nodes))]

    def steps(self) -> int:
        """The longest way from any node. A cycle counts as if all its targets followed each other, each to its end."""
        longest: dict[int, int] = {}
        for members in self._components():
            inside = set(members)
            beyond = max((longest[n] for m in members for n in self._next[m] if n not in inside), default=0)
            own = 1
            if len(members) > 1:
                below = {n for m in members for n in self._children(m)}
                own = sum(self._height(n, inside) for n in (inside & self._targets) | (inside - below))
            for member in members:
                longest[member] = own + beyond
        return max(longest.values(), default=0)

    def _children(self, number: int) -> list[int]:
        node = self._nodes[number]
        items = node.items() if isinstance(node, dict) else enumerate(node)
        return [self._number[id(v)] for k, v in items if isinstance(v, dict | list) and (number or k not in _ASIDE)]

    def _leads_to(self, number: int) -> Iterator[int]:
        yield from self._children(number)
        node = self._nodes[number]
        for key in ("$ref", "$dynamicRef", "$recursiveRef"):
            if isinstance(node, dict) and isinstance(reference := node.get(key), str):
                if reference not in self._resolved:
                    self._resolved[reference] = self._resolve(reference.partition("#")[2])
                    self._targets |= self._resolved[reference]
                yield from self._resolved[reference]

    def _resolve(self, fragment: str) -> set[int]:
        """Every node that it may mean: a pointer from the root or a subschema with an $id, or one of these."""
        if not fragment.startswith("/"):
            return {self._number[id(base)] for base in self._bases if id(base) in self._number}
        parts = [unquote(part).replace("~1", "/").replace("~0", "~") for part in fragment.split("/")[1:]]
        found = set()
        for node in self._bases:
            for part in parts:
                if isinstance(node, dict):
                    node = node.get(part)
                elif isinstance(node, list) and part.isascii() and part.isdigit() and len(part) < 9:
                    node = node[int(part)] if int(part) < len(node) else None
                else:
                    node = None
                    break
            if id(node) in self._number:
                found.add(self._number[id(node)])
        return found

    def _height(self, start: int, inside: set[int]) -> int:
        """Levels of lists and objects from a node down, of those in its component."""
        height, level = 0, [start]
        while level:
            height += 1
            level = [c for n in level for c in self._children(n) if c in inside]
        return height

    def _components(self) -> Iterator[list[int]]:
        """Strongly connected components, what they lead to first (Tarjan, without recursion)."""
        order: dict[int, int] = {}
        low: dict[int, int] = {}
        stack: list[int] = []
        open_: set[int] = set()
        for start in range(len(self._nodes)):
            if start in order:
                continue
            path = [(start, iter(self._next[start]))]
            order[start] = low[start] = len(order)
            stack.append(start)
            open_.add(start)
            while path:
                node, rest = path[-1]
                after = next(rest, None)
                if after is None:
                    path.pop()
                    if path:
                        low[path[-1][0]] = min(low[path[-1][0]], low[node])
                    if low[node] == order[node]:
                        members = [stack.pop()]
                        while members[-1] != node:
                            members.append(stack.pop())
                        open_.difference_update(members)
                        yield members
                elif after not in order:
                    order[after] = low[after] = len(order)
                    stack.append(after)
                    open_.add(after)
                    path.append((after, iter(self._next[after])))
                elif after in open_:
                    low[node] = min(low[node], order[after])
