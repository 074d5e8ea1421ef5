# SPDX-License-Identifier: Apache-2.0
"""`sgatlin tokenizer train`, `data verify` and `data show`."""

import dataclasses
from pathlib import Path

import tyro

from sgatlin.commands.prepare import require_positive, unescaped
from sgatlin.errors import UserError, require_at_least
from sgatlin.files import write_output


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainTokenizer:
    """Train a byte-level BPE on files of text."""

    input: tuple[str, ...]
    """Files, folders or quoted patterns."""
    include: tuple[str, ...] = ()
    """Only files whose path matches one of these patterns."""
    vocab_size: int = 8192
    """Entries: 256 bytes, the mark between documents, and merges."""
    out: Path
    """The tokenizer.json to write."""
    megabytes: float | None = None
    """Text to train on, in 10^6 bytes, from all files in proportion; by default all."""
    text_field: str = "text"
    """Field of a record that has its text; dots lead into nested ones."""
    separator: str | None = None
    """What stands between the documents of a .txt file; without one, a file is a document."""
    max_bad_records: int = 0
    """So many records that cannot be read are skipped."""

    def __call__(self) -> None:
        from sgatlin.input.preparation.inputs import find_by_split
        from sgatlin.input.preparation.prepare import sample_texts
        from sgatlin.input.records import RecordFormat
        from sgatlin.input.tokenizer import train_bpe

        require_positive("--megabytes", self.megabytes)
        require_at_least(0, max_bad_records=self.max_bad_records)
        try:
            if self.out.exists():
                raise UserError(f"{self.out} exists: remove it or choose another --out")
        except OSError as error:
            raise UserError(f"cannot read {self.out}: {error.strerror}") from None
        found = find_by_split({"train": self.input}, self.include)
        form = RecordFormat(text_field=self.text_field, separator=unescaped(self.separator))
        texts = sample_texts(
            found.inputs, form, self.megabytes, max_bad_records=self.max_bad_records
        )
        tokenizer = train_bpe(texts, self.vocab_size)
        write_output(self.out, tokenizer.json)
        print(f"{self.out}: {tokenizer.vocab_size:,} entries, hash {tokenizer.hash}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyData:
    """Read token stores wholly and check hashes, counts and token ids."""

    store: tyro.conf.Positional[Path]
    """A store, or a prepared data set: all its stores."""

    def __call__(self) -> None:
        from sgatlin.input.verify import verify

        verify(self.store)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShowData:
    """Print what a token store holds: statistics, sets and documents."""

    store: tyro.conf.Positional[Path]
    """A store, or a prepared data set: all its stores."""
    set: str | None = None
    """Only this set of the text."""
    documents: int = 3
    """So many documents, evenly spread."""
    document: int | None = None
    """The document of this number instead."""
    characters: int = 600
    """Of each document, at most."""

    def __call__(self) -> None:
        from sgatlin.input.show import Excerpts, show

        excerpts = Excerpts(
            documents=self.documents,
            document=self.document,
            set=self.set,
            characters=self.characters,
        )
        show(self.store, excerpts)
