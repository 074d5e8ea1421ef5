# SPDX-License-Identifier: Apache-2.0
"""Which files are read, and to which split each belongs."""

import glob
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, get_args

from sgatlin.errors import UserError
from sgatlin.input.manifest import Record
from sgatlin.input.records import SUFFIXES, is_readable

Split = Literal["validation", "test", "train"]
# Held-out splits first: of copies the first is kept, and nothing held out is trained on.
SPLITS: tuple[Split, ...] = get_args(Split)
_SPLIT_WORD = re.compile(r"(?<![a-z])(train|valid|val|dev|test)(?:ing|ation)?(?![a-z])")
_SPLIT_OF_WORD: dict[str, Split] = {
    "train": "train",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}


class Input(Record):
    """A file to read."""

    file: str
    """Its path below the folder that holds all files, which manifests and messages name."""
    path: str
    size: int
    """Bytes on disk."""
    modified: int
    """Nanoseconds of the epoch."""
    split: Split


class Found(NamedTuple):
    """Files to prepare."""

    source: str
    """Where they come from, for people; short, as stores and messages tell it."""
    inputs: list[Input]


def find_by_name(patterns: Sequence[str], include: Sequence[str]) -> Found:
    """Files that patterns name, or that lie in folders; their splits are seen from their paths.

    `include` keeps those whose name matches one of its patterns.

    Raises:
      UserError: when a pattern names nothing or a file that cannot be read, when no file is left
        or none to train on, and when only some of them say their split.
    """
    files = _named([path for pattern in patterns for path in _find(pattern)], include)
    return Found(_source(patterns), _inputs(files, split_by_name(files)))


def find_by_split(patterns: Mapping[Split, Sequence[str]], include: Sequence[str]) -> Found:
    """The same, the patterns given for each split; UserError also for a file in two splits."""
    split_of: dict[Path, Split] = {}
    for split, those in patterns.items():
        for path in [path for pattern in those for path in _find(pattern)]:
            if split_of.setdefault(path, split) != split:
                raise UserError(f"{path} is given for {split_of[path]} and for {split}")
    files = _named(split_of, include)
    splits = {name: split_of[path] for name, path in files.items()}
    return Found(_source([*itertools.chain(*patterns.values())]), _inputs(files, splits))


def find_on_hub(
    repo: str, revision: str | None, include: Sequence[str], *, tell: Callable[[str], None]
) -> Found:
    """Files of a data set on the hub, downloaded; UserError as `find_by_name` and on failure."""
    from sgatlin.input.hub import download_dataset

    patterns = include or [f"*{suffix}" for suffix in SUFFIXES]
    folder, commit = download_dataset(repo, revision, patterns, tell)
    names = {path.relative_to(folder).as_posix(): path for path in _readable_below(folder)}
    files = {name: path for name, path in sorted(names.items()) if _matches(name, patterns)}
    if not files:
        raise UserError(f"{repo} at {commit} has no file like {' or '.join(patterns)}")
    return Found(f"hub:{repo}@{commit}", _inputs(files, split_by_name(files)))


def split_by_name(names: Iterable[str]) -> dict[str, Split]:
    """The split of each file by the first part of its path that says one; all train if none does.

    UserError if only some of the files say theirs.
    """
    said = {name: _said_split(name) for name in names}
    silent = [name for name, split in said.items() if split is None]
    if silent and len(silent) < len(said):
        raise UserError(
            f"whether {silent[0]} is to train on or held out cannot be seen from its path, as it "
            "can from other files': name folders or files train, validation or test, or choose "
            "files with --include"
        )
    return {name: split or "train" for name, split in said.items()}


def _find(pattern: str) -> list[Path]:
    """Files that a path or pattern names, absolute."""
    named = [pattern]
    if not os.path.exists(pattern):  # noqa: PTH110 (Path.exists raises where a name is too long)
        named = glob.glob(pattern, recursive=True)  # noqa: PTH207 (Path.glob wants a folder)
    if not named:
        raise UserError(f"no such file or folder: {pattern}")
    found: list[Path] = []
    for path in map(Path, named):
        found += [path] if path.is_file() else _readable_below(path)
    for file in found:
        if not is_readable(file.name):
            raise UserError(f"cannot read {file}: its name must end in {', '.join(SUFFIXES)}")
    if not found:
        raise UserError(f"no file in {pattern} has a name that ends in {', '.join(SUFFIXES)}")
    return [_absolute(file) for file in found]


def _absolute(file: Path) -> Path:
    """The path from the root, by which a file has one name.

    Links stay as they are: their names are what tells, in the hub's cache for one. Only where `..`
    may stand behind a link to a folder must that be followed, to come to the right file.
    """
    if ".." in file.parts:
        return Path(os.path.realpath(file.parent), file.name)
    return Path(os.path.abspath(file))  # noqa: PTH100


def _source(patterns: Sequence[str]) -> str:
    """Patterns for people; a shell may have made thousands of one."""
    more = f" and {len(patterns) - 3} more" if len(patterns) > 3 else ""
    # The slash that a shell adds to a folder makes no other request of it.
    return " ".join(str(PurePosixPath(pattern)) for pattern in patterns[:3]) + more


def _named(paths: Iterable[Path], include: Sequence[str]) -> dict[str, Path]:
    """Paths by name, in its order: what is below the deepest folder that holds all of them."""
    paths = set(paths)
    root = os.path.commonpath([path.parent for path in paths])
    files = {path.relative_to(root).as_posix(): path for path in paths}
    kept = {name: files[name] for name in sorted(files) if not include or _matches(name, include)}
    if not kept:
        raise UserError(
            f"--include {' '.join(include)}: none of {len(files)} files matches, such as "
            f"{min(files)}"
        )
    return kept


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _inputs(files: Mapping[str, Path], splits: Mapping[str, Split]) -> list[Input]:
    """Files as they are now, held-out splits first.

    UserError if one is not there, if its name is no text, and if all are held out.
    """
    if "train" not in splits.values():
        name, split = next(iter(splits.items()))
        raise UserError(
            f"no file to train on: of {len(splits)} all are held out, such as {name} for {split}"
        )
    inputs = []
    for name, path in files.items():
        try:
            name.encode()
            status = path.stat()
        except UnicodeEncodeError:
            raise UserError(f"the name of {str(path)!a} is not UTF-8: rename it") from None
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from None
        inputs.append(
            Input(
                file=name,
                path=str(path),
                size=status.st_size,
                modified=status.st_mtime_ns,
                split=splits[name],
            )
        )
    return sorted(inputs, key=lambda file: SPLITS.index(file.split))


def _readable_below(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Files with readable names in a folder and below, hidden ones left out."""
    real = os.path.realpath(folder)
    if real in above:
        return  # a link led back
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}") from None
    for path in paths:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _readable_below(path, above | {real})
        # A link to nothing is told of later; a pipe or device is none of these, and waits.
        elif is_readable(path.name) and (path.is_file() or path.is_symlink()):
            yield path


def _said_split(name: str) -> Split | None:
    for part in PurePosixPath(name).parts:
        if word := _SPLIT_WORD.search(part.lower()):
            return _SPLIT_OF_WORD[word[1]]
    return None
