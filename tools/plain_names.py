"""Check that names and prose use standard terms: `python tools/plain_names.py`, part of `make check`.

Names that the project once invented for itself are listed with the term to use instead. Identifiers are taken from the
syntax tree, prose from comments, docstrings and Markdown. Migrations keep the names of their time.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("api", "benchmarks", "core", "examples", "tests", "tools", "worker")

# Words that no identifier may consist of or contain between underscores, and what to write instead.
IDENTIFIERS = {
    "aside": "best effort, in background",
    "bell": "notifier",
    "beside": "parallel",
    "bury": "reap, discard",
    "cellar": "infrastructure",
    "claim_held": "lease",
    "desk": "context",
    "door": "validation",
    "gate": "middleware",
    "house": "app_state",
    "lanes": "channel alignment",
    "leftovers": "file cleanup",
    "linger": "poll",
    "lookout": "queue poller",
    "misfit": "warning",
    "misfits": "warnings",
    "pace": "rate limiter, progress, learning-rate scale",
    "paces": "learning-rate scales",
    "postman": "webhook client",
    "presence": "heartbeat",
    "rung": "notified",
    "stranger": "anonymous client",
    "strangers": "anonymous clients",
    "strike": "failure",
    "strikes": "failures",
    "sweeping": "retention sweep",
    "teller": "metrics publisher",
    "unheard": "not yet notified",
    "unwell": "check failed",
}
# Identifiers that are wrong as a whole only.
WHOLE_IDENTIFIERS = {
    "Bounded": "TimedProbes",
    "Claim": "JobLease",
    "EVERYONES": "unscoped",
    "InHouse": "AppStateDep",
    "Listening": "Subscription",
    "News": "EventBroadcaster",
    "Places": "UploadLimiter",
    "Press": "Sampler",
    "Told": "StreamCursor",
    "_Press": "Sampler",
    "_Told": "StreamCursor",
    "_tell": "send, publish",
    "_told": "sent",
    "each": "parallel_map",
    "give_up": "abandon",
    "hand_back": "release",
    "held": "lease",
    "hold": "project, clamp",
    "lattice": "stride phase",
    "lay": "to_blocks",
    "nearest": "best state",
    "pull": "basis, gradient",
    "remarks": "warnings",
    "ring": "notify",
    "rooms": "processes",
    "seen_by": "scoped_to",
    "space": "disk_space",
    "take_up": "from_blocks",
    "tell": "publish, report",
    "told_until": "rows_until",
}
# Files that did not say what they contain.
MODULES = {
    "finite": "finite_numbers",
    "parts": "known_pixels",
    "refusals": "validation_messages",
    "steps": "sans_io",
}
# Words and phrases of the prose.
PROSE = {
    r"bells?": "notifier",
    r"cellar": "infrastructure",
    r"doorbell": "notifier",
    r"(?:rung|rings|ringing) (?:for|again)": "notified",
    r"lookout": "queue poller",
    r"misfits?": "warning",
    r"postman": "webhook client",
    r"strangers?": "anonymous client; another person",
    r"strikes?": "failure",
    r"unheard": "not yet notified",
    r"unwell": "check failed",
    r"hand(?:s|ed)? (?:it |the job |a job |jobs )?back": "release",
    r"who(?:ever)? asks": "the caller",
    r"comes? (?:in)?to being": "is created",
    r"the (?:gate|door|desk|house)\b": "the middleware, the validation, the job context, the app state",
    r"rooms": "processes",
    r"(?:events?|rows|status(?:es)?|end) (?:is|are|was|were|has been|have been|may be) told": "sent",
}
# Public names that clients rely on, standard library and third-party names.
ALLOWED = {"keep_nearest", "random_lattice", "NEAREST"}
MIGRATIONS = "core/storage/migrations/versions"


def main() -> int:
    found = [one for path in sources() for one in problems(path)]
    sys.stdout.writelines(f"{one}\n" for one in found)
    return bool(found)


def sources() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if MIGRATIONS not in path.as_posix() and path != Path(__file__).resolve():
                yield path
    yield from (path for path in sorted(ROOT.glob("*.md")) if path.name != "CHANGELOG.md")
    yield from sorted((ROOT / "docs").rglob("*.md"))
    yield from sorted((ROOT / "core").rglob("*.md"))
    yield ROOT / "benchmarks" / "README.md"


def problems(path: Path) -> Iterator[str]:
    """Return each wrong name or phrase of a file, with its line and what to write instead."""
    text = path.read_text(encoding="utf-8")
    where = path.relative_to(ROOT).as_posix()
    prose: list[tuple[int, str]]
    if path.suffix == ".py":
        if instead := MODULES.get(path.stem):
            yield f"{where}: file name: {instead}"
        tree = ast.parse(text)
        for line, name in sorted(set(identifiers(tree)) | {(1, path.stem)}):
            if instead := replacement(name):
                yield f"{where}:{line}: identifier {name!r}: {instead}"
        prose = [*comments(text), *docstrings(tree)]
    else:
        prose = list(enumerate(text.splitlines(), start=1))
    for line, words in prose:
        for pattern, instead in PROSE.items():
            if match := re.search(rf"\b{pattern}\b", words, re.IGNORECASE):
                yield f"{where}:{line}: {match.group()!r}: {instead}"


def replacement(name: str) -> str | None:
    """Return what to call it instead, or None if the name is plain."""
    if name in ALLOWED:
        return None
    if name in WHOLE_IDENTIFIERS:
        return WHOLE_IDENTIFIERS[name]
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return next((IDENTIFIERS[part] for part in snake.split("_") if part in IDENTIFIERS), None)


def identifiers(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Return every name that the file defines or uses, with its line. `file.tell()` is the standard library's."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and not node.args]
    file_tells = {id(call.func) for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "tell"}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute() if id(node) in file_tells:
                continue
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.alias(name=name):
                yield from ((node.lineno, part) for part in name.split("."))


def comments(text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            if docstring is not None:
                yield from enumerate(docstring.splitlines(), start=node.body[0].lineno)


if __name__ == "__main__":
    sys.exit(main())
