"""The house stays legible: limits on its structure, read off the source."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("backend", "synctalk_blender", "ops", "panels", "install")
MAX_LINES = 400
MAX_LONG_FILES = 2
MAX_LOOSE_MODULES = 8
MAX_FILES_PER_OPTION = 3
MAX_LOCK_FILES = 4

Module = tuple[str, ...]


@cache
def sources() -> dict[Path, str]:
    """Every Python file of the product and its text; made-up and built folders have none."""
    found = [ROOT / "__init__.py", *(path for room in PRODUCT for path in sorted((ROOT / room).rglob("*.py")))]
    return {path: path.read_text(encoding="utf-8") for path in found}


def module_of(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


@cache
def imports() -> dict[Module, set[Module]]:
    """What each module imports of the product when it is itself imported: not inside functions, not for types alone."""
    modules = {module_of(path): path for path in sources()}
    found: dict[Module, set[Module]] = {}
    for module, path in modules.items():
        package = module if path.name == "__init__.py" else module[:-1]
        found[module] = set()
        for node in _at_import(ast.parse(sources()[path])):
            for target in _targets(node, package):
                inner = max(
                    (target[:length] for length in range(1, len(target) + 1) if target[:length] in modules),
                    default=None,
                    key=len,
                )
                if inner is not None and inner != module:
                    found[module].add(inner)
    return found


def _at_import(tree: ast.Module) -> list[ast.stmt]:
    waiting, found = list(tree.body), []
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return found


def _targets(node: ast.stmt, package: Module) -> list[Module]:
    if isinstance(node, ast.Import):
        return [tuple(alias.name.split(".")) for alias in node.names]
    assert isinstance(node, ast.ImportFrom)
    base = package[: len(package) - node.level + 1] if node.level else ()
    base += tuple(node.module.split(".")) if node.module else ()
    return [(*base, alias.name) for alias in node.names]


def test_no_module_imports_itself_by_way_of_others():
    graph, state, circles = imports(), {}, []

    def visit(module: Module, trail: list[Module]) -> None:
        state[module] = "open"
        for target in sorted(graph.get(module, ())):
            if state.get(target) == "open":
                circles.append(" -> ".join(".".join(part) for part in [*trail[trail.index(target) :], target]))
            elif target not in state:
                visit(target, [*trail, target])
        state[module] = "done"

    for module in sorted(graph):
        if module not in state:
            visit(module, [module])
    assert not circles


def test_a_stage_knows_no_other_stage_and_nothing_above_it():
    stages = {"media", "head_sync", "face_sync", "portrait_sync"}
    above = {"renderer", "training", "evaluation", "commands", "benchmarks", "actor", "live", "server", "cli"}
    wrong = {
        f"{'.'.join(module)} imports {'.'.join(target)}"
        for module, targets in imports().items()
        for target in targets
        if module[:1] == ("backend",) and module[1:2] and module[1] in stages and len(target) > 1
        if target[1] in (stages - {module[1], "media"}) | above and "research" not in module
    }
    assert not wrong


def test_blender_imports_the_protocol_and_the_workspace_of_the_backend_alone():
    wrong = {
        f"{'.'.join(module)} imports {'.'.join(target)}"
        for module, targets in imports().items()
        for target in targets
        if module[:1] in {("synctalk_blender",), ("ops",), ("panels",)} and target[:1] == ("backend",)
        if target[:2] not in {("backend", "protocol"), ("backend", "workspace")}
    }
    assert not wrong


def test_few_files_are_longer_than_one_sitting():
    long = {
        str(path.relative_to(ROOT)): count
        for path, text in sources().items()
        if (count := text.count("\n")) > MAX_LINES
    }
    assert len(long) <= MAX_LONG_FILES, long


def test_few_modules_lie_loose_in_the_backend():
    loose = {path.name for path in (ROOT / "backend").glob("*.py")} - {"__init__.py", "__main__.py"}
    assert len(loose) <= MAX_LOOSE_MODULES, sorted(loose)


@pytest.mark.parametrize("name", ["smoothing_ms", "close_in_silence"])
def test_an_option_is_named_in_few_files(name):
    """As an argument, field or key; a module, function or file that only bears the word is not the option."""
    named = re.compile(rf"(?<![\w./]){name}(?![\w(/.])|\.{name}\b(?!\()")
    files = [
        str(path.relative_to(ROOT))
        for path, text in sources().items()
        if any(named.search(line) and not re.match(r"\s*(from|import) ", line) for line in text.splitlines())
    ]
    assert len(files) <= MAX_FILES_PER_OPTION, files


def test_the_options_of_speech_are_the_same_in_the_backend_and_in_blender():
    """By name, default and order: Blender sends its `Delivery` by these names, and draws it in this order."""
    backend = _fields_of("backend/commands/speak.py", "Delivery")
    assert len(backend) >= 4
    assert _fields_of("synctalk_blender/properties.py", "Delivery") == backend


def test_the_options_of_fitting_are_the_same_in_the_backend_and_in_blender():
    """By name and order; tests/blender/test_capture.py compares the defaults, which Blender has by part."""
    backend = [name for name, _ in _fields_of("backend/commands/capture/fitting.py", "Fitting")]
    assert len(backend) >= 4
    assert [name for name, _ in _fields_of("synctalk_blender/capture_settings.py", "Fitting")] == backend


def _fields_of(file: str, name: str) -> list[tuple[str, str]]:
    """The fields of a class and their defaults as written: `x: float = option("…", 1.0)` or `x: FloatProperty(default=1.0)`."""
    (found,) = (
        node for node in ast.parse(sources()[ROOT / file]).body if isinstance(node, ast.ClassDef) and node.name == name
    )
    return [
        (ast.unparse(field.target), _default_of(field.value or field.annotation))
        for field in found.body
        if isinstance(field, ast.AnnAssign)
    ]


def _default_of(field: ast.expr) -> str:
    assert isinstance(field, ast.Call)
    named = [ast.unparse(keyword.value) for keyword in field.keywords if keyword.arg == "default"]
    if ast.unparse(field.func) == "option":
        return named[0] if named else ast.unparse(field.args[1])
    unset = "False" if "BoolProperty" in ast.unparse(field.func) else "0.0"
    return named[0] if named else unset


def test_the_type_checker_leaves_no_module_out():
    assert "ignore_errors" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_few_lock_files_hold_all_environments():
    locks = [path.name for path in (ROOT / "install" / "locks").iterdir() if path.suffix != ".in"]
    assert len(locks) <= MAX_LOCK_FILES, sorted(locks)
