# SPDX-License-Identifier: Apache-2.0
"""`sgatlin prepare`: text as token stores."""

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgatlin.errors import UserError
from sgatlin.input.preparation.manner import Engine, Manner

if TYPE_CHECKING:
    from sgatlin.input.hub import DatasetPin
    from sgatlin.input.preparation.inputs import Found
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
        return find_on_hub(data.repo, self.revision or data.revision, patterns, tell=print)

    def _prepare(self, out: Path, found: "Found", **how: Any) -> None:
        """Prepares files; `how` tells how text lies in them, by fields of `Request`."""
        from sgatlin.input.preparation.plan import Request
        from sgatlin.input.preparation.prepare import prepare

        tokenizer = self._tokenizer()
        request = Request(
            source=found.source,
            tokenizer=str(tokenizer),
            validation_fraction=self._held_out(found),
            drop_duplicates=self.drop_duplicates,
            **how,
        )
        manner = Manner(
            engine=self.engine,
            n_workers=self.workers,
            max_bad_records=self.max_bad_records,
            restart=self.restart,
        )
        prepare(out, request, found.inputs, tokenizer, manner, tell=print)

    def _tokenizer(self) -> "Tokenizer | Trained":
        from sgatlin.input.load_tokenizer import load_tokenizer
        from sgatlin.input.preparation.prepare import Trained

        if self.tokenizer is not None:
            return load_tokenizer(self.tokenizer)
        return Trained(self.vocab_size, self.tokenizer_megabytes)

    def _held_out(self, found: "Found") -> float | None:
        fraction = self.validation_fraction
        if any(file.split == "validation" for file in found.inputs):
            if fraction is not None:
                raise UserError("--validation-fraction: there are files for validation already")
            return None
        if fraction is not None and not 0 < fraction < 1:
            raise UserError(f"--validation-fraction {fraction} must be above 0 and below 1")
        return 0.01 if fraction is None else fraction


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareTinyStories(_PrepareFiles):
    """Write TinyStories (Eldan and Li 2023) as token stores, with a BPE of its own."""

    out: Path = Path("data/prepared/tinystories")
    """Folder to make."""

    def __call__(self) -> None:
        from sgatlin.input.hub import TINYSTORIES

        self._prepare(self.out, self._find(TINYSTORIES), separator="<|endoftext|>")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareSlimPajama(_PrepareFiles):
    """Write SlimPajama, or files in its form, as token stores with GPT-2's tokenizer."""

    out: Path = Path("data/prepared/slimpajama")
    """Folder to make."""
    tokenizer: str | None = "gpt2"
    """gpt2, a tokenizer.json, a folder with vocab.json and merges.txt, or None to train one."""

    def __call__(self) -> None:
        from sgatlin.input.hub import SLIMPAJAMA

        self._prepare(self.out, self._find(SLIMPAJAMA), set_field="meta.redpajama_set_name")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareText(_PrepareFiles):
    """Write any text as token stores: .jsonl, .parquet or .txt files, or a data set on the hub."""

    out: Path
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
        from sgatlin.input.preparation.inputs import find_by_split, find_on_hub

        if (self.repo is None) == (not self.input):
            raise UserError("give either --input, with files, or --repo, a data set on the hub")
        if self.repo is None:
            found = find_by_split(
                {
                    "train": self.input,
                    "validation": self.validation_input,
                    "test": self.test_input,
                },
                self.include,
            )
        elif self.validation_input or self.test_input:
            raise UserError("--validation-input and --test-input are files, and so must --input be")
        else:
            found = find_on_hub(self.repo, self.revision, self.include, tell=print)
        self._prepare(
            self.out,
            found,
            text_field=self.text_field,
            set_field=self.set_field,
            separator=unescaped(self.separator),
        )


def unescaped(separator: str | None) -> str | None:
    r"""A separator with \n, \t and \\ in the place of what is hard to type."""
    escapes = {r"\n": "\n", r"\r": "\r", r"\t": "\t", "\\\\": "\\"}
    return separator and re.sub(r"\\[nrt\\]", lambda match: escapes[match[0]], separator)
