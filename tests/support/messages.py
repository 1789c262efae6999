"""What the pack's code can say of an input, read from the code: each sentence with {} for what it fills in."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

from scripts.paths import CHECKOUT

SAYS = {
    "require": 2,
    "_check": 1,
    "LeditsInputError": 1,
    "InversionFileError": 0,
    "UnstorableError": 0,
    "ValueError": 0,
    "AttentionNotSeenError": 1,
    "check_text": 1,
    "check_attention": 1,
    "read_prompt": 2,
    "check_conditioning": 3,
    "_not_finite": slice(0, 2),
}
"""Which arguments of a call are sentences, or parts of them."""

Values = dict[str, list[ast.AST]]


def messages() -> set[str]:
    trees = [_tree(file) for folder in ("ledits", "nodes") for file in sorted((CHECKOUT / folder).rglob("*.py"))]
    everywhere: Values = {}
    for tree in trees:
        everywhere |= {name: values for name, values in _values(tree).items() if name.isupper()}
    found: set[str] = set()
    for tree in trees:
        values = everywhere | _values(tree)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            place = SAYS.get(getattr(call.func, "id", getattr(call.func, "attr", "")))
            if place is not None:
                for said in call.args[place if isinstance(place, slice) else slice(place, place + 1)]:
                    found.update(_sentences(said, values, set()))
    return found


@functools.cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def _values(tree: ast.Module) -> Values:
    """What each name of a file can stand for, and what its functions return."""
    found: Values = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value):
                pass
            case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.For(target=target, iter=value):
                targets = [target]
            case ast.FunctionDef(name=name):
                found.setdefault(name, []).extend(one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value)
                continue
            case _:
                continue
        # Not the "self" of an attribute, which is loaded.
        stored = (name for target in targets for name in ast.walk(target) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store))
        for name in stored:
            found.setdefault(name.id, []).append(value)
    return found


def _sentences(node: ast.AST, values: Values, seen: set[str]) -> Iterator[str]:
    """The texts of an expression, and of the names in it."""
    if isinstance(node, ast.Name) and node.id not in seen:
        seen.add(node.id)
        for value in values.get(node.id, ()):
            yield from _sentences(value, values, seen)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from _whole(node.value)
    elif isinstance(node, ast.JoinedStr):
        yield from _whole("".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                yield from _sentences(part.value, values, seen)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _sentences(child, values, seen)


def _whole(text: str) -> Iterator[str]:
    if " " in text and any(letter.isalpha() for letter in text.replace("{}", "")):
        yield text.strip()
