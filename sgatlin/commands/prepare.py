# SPDX-License-Identifier: Apache-2.0
"""`sgatlin prepare`: text as token stores."""

import dataclasses
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgatlin.errors import UserError
from sgatlin.input.preparation.manner import Engine, Manner

# A line that is kept back while there is no terminal would tell nothing for hours.
_tell = functools.partial(print, flush=True)

if TYPE_CHECKING:
    from sgatlin.input.hub import DatasetPin
    from sgatlin.input.preparation.inputs import Found, Split
    from sgatlin.input.preparation.prepare import Trained
    from sgatlin.input.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareStoryWorld:
    """Write the built-in story world as token stores."""

    out: Path = Path("data/prepared/storyworld")
    """Folder to make."""
    train_megabytes: float = 8.0
    """Text to train on, in 10^6 bytes."""
    validation_megabytes: float = 0.4
    """Text held out, in 10^6 bytes."""
    vocab_size: int = 2048
    """Entries of the byte-level BPE."""
    seed: int = 0
    """Which stories."""

    def __call__(self) -> None:
        from sgatlin.input.storyworld.prepare import prepare_storyworld

        prepare_storyworld(
            self.out,
            train_megabytes=self.train_megabytes,
            validation_megabytes=self.validation_megabytes,
            vocab_size=self.vocab_size,
            seed=self.seed,
            report=print,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _PrepareFiles:
    """What preparing any files takes."""

    input: tuple[str, ...] = ()
    """Files, folders or quoted patterns; from the Hugging Face hub if there are none."""
    include: tuple[str, ...] = ()
    """Only files whose path matches one of these patterns, such as 'train/chunk1/*'."""
    revision: str | None = None
    """Commit, branch or tag of the data set on the hub."""
    tokenizer: str | None = None
    """gpt2, a tokenizer.json, or a folder with vocab.json and merges.txt; by default one is
    trained."""
    vocab_size: int = 8192
    """Entries of the byte-level BPE that is trained where no tokenizer is given."""
    tokenizer_megabytes: float | None = None
    """Text that it is trained on, in 10^6 bytes; by default all of the split train."""
    validation_fraction: float | None = None
    """Share of documents to hold out where no files are held out; 0.01 by default."""
    drop_duplicates: bool = False
    """Leave out exact copies, also of held-out documents; they are counted in any case."""
    max_bad_records: int = 0
    """So many records that cannot be read are skipped, and listed in the manifest."""
    workers: int | None = None
    """Processes; by default as many as there are cores."""
    engine: Engine = dataclasses.field(default_factory=Engine)
    """What runs the parts; for more than one machine."""
    restart: bool = False
    """Throw away what an unfinished preparation has done."""

    def _find(self, data: "DatasetPin") -> "Found":
        """The files given, or those of a data set on the hub."""
        from sgatlin.input.preparation.inputs import find_by_name, find_on_hub

        if self.input:
            if self.revision is not None:
                raise UserError("--revision is of the hub, but there is --input: leave either")
            return find_by_name(self.input, self.include)
        patterns = self.include or (*data.train, *data.validation, *data.test)
        return find_on_hub(data.repo, self.revision or data.revision, patterns, tell=_tell)

    def _prepare(self, out: Path, find: "Callable[[], Found]", **how: Any) -> None:
        """Prepares files; `how` tells how text lies in them, by fields of `RecordFormat`.

        All else that can be wrong is told before files are downloaded.
        """
        from sgatlin.input.preparation.plan import Request
        from sgatlin.input.preparation.prepare import Trained, prepare
        from sgatlin.input.records import RecordFormat

        RecordFormat(**how)
        manner = Manner(
            engine=self.engine,
            n_workers=self.workers,
            max_bad_records=self.max_bad_records,
            restart=self.restart,
        )
        fraction = self.validation_fraction
        if fraction is not None and not 0 < fraction < 1:
            raise UserError(f"--validation-fraction {fraction} must be above 0 and below 1")
        tokenizer = self._tokenizer()
        found = find()
        request = Request(
            source=found.source,
            tokenizer=str(tokenizer) if isinstance(tokenizer, Trained) else tokenizer.hash,
            validation_fraction=self._held_out(found),
            drop_duplicates=self.drop_duplicates,
            **how,
        )
        prepare(out, request, found.inputs, tokenizer, manner, tell=_tell)

    def _tokenizer(self) -> "Tokenizer | Trained":
        from sgatlin.input.load_tokenizer import load_tokenizer
        from sgatlin.input.preparation.prepare import Trained

        if self.tokenizer is not None:
            if self.tokenizer_megabytes is not None:
                raise UserError("--tokenizer-megabytes: --tokenizer is not trained, leave either")
            return load_tokenizer(self.tokenizer)
        require_positive("--tokenizer-megabytes", self.tokenizer_megabytes)
        return Trained(self.vocab_size, self.tokenizer_megabytes)

    def _held_out(self, found: "Found") -> float | None:
        fraction = self.validation_fraction
        if any(file.split == "validation" for file in found.inputs):
            if fraction is not None:
                raise UserError("--validation-fraction: there are files for validation already")
            return None
        return 0.01 if fraction is None else fraction


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareTinyStories(_PrepareFiles):
    """Write TinyStories (Eldan and Li 2023) as token stores, with a BPE of its own."""

    out: Path = Path("data/prepared/tinystories")
    """Folder to make."""

    def __call__(self) -> None:
        from sgatlin.input.hub import TINYSTORIES

        self._prepare(self.out, lambda: self._find(TINYSTORIES), separator="<|endoftext|>")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareSlimPajama(_PrepareFiles):
    """Write SlimPajama, or files in its form, as token stores with GPT-2's tokenizer."""

    out: Path = Path("data/prepared/slimpajama")
    """Folder to make."""
    tokenizer: str | None = "gpt2"
    """gpt2, a tokenizer.json, a folder with vocab.json and merges.txt, or None to train one."""

    def __call__(self) -> None:
        from sgatlin.input.hub import SLIMPAJAMA

        self._prepare(self.out, lambda: self._find(SLIMPAJAMA), set_field="meta.redpajama_set_name")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareText(_PrepareFiles):
    """Write any text as token stores: .jsonl, .parquet or .txt files, or a data set on the hub."""

    out: Path = Path("data/prepared/text")
    """Folder to make."""
    validation_input: tuple[str, ...] = ()
    """Files to hold out for validation; without any, a share of the documents is held out."""
    test_input: tuple[str, ...] = ()
    """Files to hold out for a test."""
    repo: str | None = None
    """Data set on the hub, instead of files."""
    text_field: str = "text"
    """Field of a record that has its text; dots lead into nested ones."""
    set_field: str | None = None
    """Field of a record that names its set; a store keeps sets apart."""
    separator: str | None = None
    """What stands between the documents of a .txt file; without one, a file is a document."""

    def __call__(self) -> None:
        if (self.repo is None) == (not self.input):
            raise UserError("give either --input, with files, or --repo, a data set on the hub")
        if self.repo is None and self.revision is not None:
            raise UserError("--revision is of the hub, but there is --input: leave either")
        if self.repo is not None and (self.validation_input or self.test_input):
            raise UserError("--validation-input and --test-input are files, and so must --input be")
        self._prepare(
            self.out,
            self._found,
            text_field=self.text_field,
            set_field=self.set_field,
            separator=unescaped(self.separator),
        )

    def _found(self) -> "Found":
        from sgatlin.input.preparation.inputs import find_by_split, find_on_hub

        if self.repo is not None:
            return find_on_hub(self.repo, self.revision, self.include, tell=_tell)
        patterns: dict[Split, tuple[str, ...]] = {
            "train": self.input,
            "validation": self.validation_input,
            "test": self.test_input,
        }
        return find_by_split(patterns, self.include)


def require_positive(option: str, value: float | None) -> None:
    """UserError if the value of an option is not above 0; None is no value."""
    if value is not None and not value > 0:
        raise UserError(f"{option} {value} must be above 0")


def unescaped(separator: str | None) -> str | None:
    r"""A separator with \n, \t and \\ in the place of what is hard to type."""
    escapes = {r"\n": "\n", r"\r": "\r", r"\t": "\t", "\\\\": "\\"}
    return separator and re.sub(r"\\[nrt\\]", lambda match: escapes[match[0]], separator)
