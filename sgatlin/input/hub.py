# SPDX-License-Identifier: Apache-2.0
"""Data sets and files from the Hugging Face hub: pinned, cached, with errors in one line.

All goes through `huggingface_hub` and its cache (`HF_HOME`), so what is there is not fetched
again, and a download that was cut off goes on with the files that are missing. A commit is used
as it is; a branch or tag is resolved to its commit, which is then what is downloaded.
"""

import contextlib
import errno
import fnmatch
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import huggingface_hub
from huggingface_hub import constants, errors

from sgatlin.errors import UserError

# Of the HTTP library that this version of the hub's uses: no connection, time-outs, broken ones.
_HTTP_ERROR: type[BaseException] = errors.HfHubHTTPError.__bases__[0]


@dataclass(frozen=True)
class DatasetPin:
    """A data set at one commit, and the patterns of the files of its splits."""

    repo: str
    revision: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()


TINYSTORIES = DatasetPin(
    repo="roneneldan/TinyStories",
    revision="f54c09fd23315a6f9c86f9dc80f725de7d8f9c64",
    train=("data/train-*.parquet",),
    validation=("data/validation-*.parquet",),
)
SLIMPAJAMA = DatasetPin(
    repo="cerebras/SlimPajama-627B",
    revision="2d0accdd58c5d5511943ca1f5ff0e3eb5e293543",
    train=("train/chunk*/*.jsonl.zst",),
    validation=("validation/chunk*/*.jsonl.zst",),
    test=("test/chunk*/*.jsonl.zst",),
)


class RemoteFile(NamedTuple):
    """A file of a repository: its path there and its size in bytes."""

    path: str
    size: int


class RemoteFiles(NamedTuple):
    """All files of a repository at a commit."""

    commit: str
    files: tuple[RemoteFile, ...]

    def matching(self, patterns: Sequence[str]) -> tuple[RemoteFile, ...]:
        """Those that match one of the patterns, whose `*` matches `/` too."""
        return tuple(
            file for file in self.files if any(fnmatch.fnmatchcase(file.path, p) for p in patterns)
        )


def list_dataset_files(repo: str, revision: str | None) -> RemoteFiles:
    """Names and sizes of a data set's files, without downloading them; None is the main branch.

    What was downloaded from before is listed without a network.

    Raises:
      UserError: as `download_dataset`.
    """
    with _plain_errors("dataset", repo, revision):
        api = huggingface_hub.HfApi()
        resolved = api.resolve_revision(repo, repo_type="dataset", revision=revision)
        commit = resolved.resolved
        try:
            tree = huggingface_hub.get_cached_repo_tree(repo, repo_type="dataset", revision=commit)
        except errors.CachedRepoTreeNotFoundError:
            entries = api.list_repo_tree(repo, repo_type="dataset", revision=commit, recursive=True)
            tree = [
                entry for entry in entries if isinstance(entry, huggingface_hub.hf_api.RepoFile)
            ]
    return RemoteFiles(commit, tuple(sorted(RemoteFile(file.path, file.size) for file in tree)))


def download_dataset(
    repo: str, revision: str | None, patterns: Sequence[str], tell: Callable[[str], None]
) -> tuple[Path, str]:
    """Downloads the files of a data set that match a pattern, those that are not in the cache.

    Args:
      revision: a commit, branch or tag; None is the main branch.
      tell: is given a line on what there is to download, if anything.

    Returns:
      The folder with the files at their paths in the repository, and the commit. The folder is
      the hub's cache: it may hold other files of the repository, and is to be read only.

    Raises:
      UserError: when there is no such repository, revision or file, no access to it, no network
        and not all of it in the cache, or no room on the disk.
    """
    listing = list_dataset_files(repo, revision)
    wanted = listing.matching(patterns)
    if not wanted:
        raise UserError(
            f"no file of the data set {repo} at {listing.commit} matches {', '.join(patterns)}: "
            f"it has {len(listing.files)} files" + _such_as(listing.files)
        )
    missing = [file for file in wanted if not _is_cached(repo, listing.commit, file)]
    if missing:
        n_bytes = sum(file.size for file in missing)
        _check_room(repo, n_bytes)
        tell(
            f"downloading {len(missing):,} of {len(wanted):,} files of {repo}, "
            f"{n_bytes / 1e9:,.2f} GB"
        )
    with _plain_errors("dataset", repo, revision):
        folder = huggingface_hub.snapshot_download(
            repo, repo_type="dataset", revision=listing.commit, allow_patterns=list(patterns)
        )
    return Path(folder), listing.commit


def download_files(repo: str, revision: str, names: Sequence[str], *, instead: str) -> list[Path]:
    """Files of a model repository at a commit, by way of the cache, in the order of their names.

    Args:
      instead: what can be done without a network; it ends the line of an error.

    Raises:
      UserError: as `download_dataset`.
    """
    with _plain_errors("model", repo, revision, instead=instead):
        return [
            Path(huggingface_hub.hf_hub_download(repo, name, revision=revision)) for name in names
        ]


def cached_files(repo: str, revision: str, names: Sequence[str]) -> list[Path] | None:
    """The same from the cache alone; None when one is not there."""
    paths = [huggingface_hub.try_to_load_from_cache(repo, n, revision=revision) for n in names]
    found = [Path(path) for path in paths if isinstance(path, str)]
    return found if len(found) == len(names) else None


def _is_cached(repo: str, commit: str, file: RemoteFile) -> bool:
    path = huggingface_hub.try_to_load_from_cache(
        repo, file.path, revision=commit, repo_type="dataset"
    )
    return isinstance(path, str)


def _check_room(repo: str, n_bytes: int) -> None:
    cache = Path(constants.HF_HUB_CACHE)
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if n_bytes > free:
        raise UserError(
            f"{repo} needs {n_bytes / 1e9:,.2f} GB more in {cache}, which has "
            f"{free / 1e9:,.2f} GB free: make room, or set HF_HOME to a larger disk"
        )


def _such_as(files: Sequence[RemoteFile]) -> str:
    return f", such as {files[0].path}" if files else ""


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keeps the library from telling of each time that it tries again."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _plain_errors(
    kind: Literal["dataset", "model"],
    repo: str,
    revision: str | None,
    *,
    instead: str = "or give the files by their path",
) -> Iterator[None]:
    """Makes the library's errors, of many lines, one line that says what to do.

    The order matters: a gated repository is to the library a kind of missing one.
    """
    what = f"the {'data set' if kind == 'dataset' else 'model'} {repo}"
    login = "log in with `hf auth login` or set HF_TOKEN"
    try:
        with _quietly():
            yield
    except errors.HFValidationError:
        raise UserError(f"{repo!r} is no name of a hub repository: write OWNER/NAME") from None
    except errors.GatedRepoError as error:
        raise UserError(
            f"{what} is gated: accept its terms on its page of the hub, then {login}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(
            f"{what} has no revision {revision or 'main'!r}: give a commit, a branch or a tag"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"{what} is not on the hub, or is private: check the name; if it is private, {login}"
        ) from error
    except errors.RemoteEntryNotFoundError as error:
        raise UserError(f"{what} lacks a file: {_first_line(error)}; {instead}") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        mend = login if status in (401, 403) else f"try again later, {instead}"
        raise UserError(f"the hub answered {status} for {what}: {mend}") from error
    except (
        errors.LocalEntryNotFoundError,
        errors.RevisionResolutionError,
        errors.OfflineModeIsEnabled,
        errors.XetDownloadError,
        _HTTP_ERROR,
    ) as error:
        raise UserError(
            f"cannot reach the hub ({_root(error)}), and not all that is wanted of {what} is in "
            f"its cache {constants.HF_HUB_CACHE}: try again with a network, copy that folder from "
            f"a machine that has one, {instead}"
        ) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        mend = "make room, or set HF_HOME to a larger disk" if full else "see HF_HOME"
        raise UserError(
            f"cannot save {what} in {constants.HF_HUB_CACHE}: {error}: {mend}"
        ) from error


def _root(error: BaseException) -> str:
    """The first line of the first cause: what happened, not what the library made of it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
