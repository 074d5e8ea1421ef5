# SPDX-License-Identifier: Apache-2.0
"""The plan: groups that files and settings alone decide, and fingerprints that see each change."""

import pytest

from sgatlin.errors import UserError
from sgatlin.input.preparation import plan as module
from sgatlin.input.preparation.inputs import Input
from sgatlin.input.preparation.plan import (
    PLAN,
    Request,
    make_plan,
    read_plan,
    work_tokenizer,
    write_plan,
)
from sgatlin.input.store import TOKENIZER
from tests.input.preparation.corpus import small_tokenizer

REQUEST = Request(source="here", tokenizer="a hash")


def files(*sizes: int, split: str = "train") -> list[Input]:
    return [
        Input(file=f"{split}{i}.txt", path=f"/a/{i}.txt", size=size, modified=1, split=split)
        for i, size in enumerate(sizes)
    ]


def sizes(plan) -> list[list[int]]:
    return [[file.size for file in group.inputs] for group in plan.groups]


@pytest.fixture
def limits(monkeypatch):
    monkeypatch.setattr(module, "_GROUP_BYTES", (10, 100))


def test_groups_are_of_one_split_and_limited_size(limits):
    inputs = [*files(3, split="validation"), *files(3, 3, 4, 1, 9, 2, 30, 1, 0)]
    plan = make_plan(REQUEST, inputs, "hash")
    assert sizes(plan) == [[3], [3, 3, 4], [1, 9], [2], [30], [1, 0]]
    assert [group.index for group in plan.groups] == list(range(6))
    assert [file for group in plan.groups for file in group.inputs] == inputs


def test_of_much_text_groups_are_larger_within_limits(limits):
    few = make_plan(REQUEST, files(*[5] * 1024), "hash")
    assert {sum(group) for group in sizes(few)} == {20}  # 5,120 bytes in 256 groups
    many = make_plan(REQUEST, files(*[50] * 1024), "hash")
    assert {sum(group) for group in sizes(many)} == {100}


def test_a_fingerprint_sees_all_that_a_result_depends_on():
    inputs = files(5, 6)
    of = lambda request, inputs, hash: make_plan(request, inputs, hash).groups[0].fingerprint  # noqa: E731
    base = of(REQUEST, inputs, "hash")
    changed = {"text_field": "b", "set_field": "c", "separator": "d", "validation_fraction": 0.5}
    changed |= {"drop_duplicates": True, "shard_tokens": 7, "tokenizer": "other", "source": "e"}
    assert changed.keys() == Request.model_fields.keys()
    seen = {
        of(REQUEST.model_copy(update={name: new}), inputs, "hash") for name, new in changed.items()
    }
    seen.add(of(REQUEST, inputs, "other hash"))
    for update in ({"file": "x.txt"}, {"size": 7}, {"modified": 2}, {"split": "test"}):
        seen.add(of(REQUEST, [inputs[0].model_copy(update=update), inputs[1]], "hash"))
    assert len(seen) == len(changed) + 1 + 4
    assert base not in seen
    moved = [inputs[0].model_copy(update={"path": "/elsewhere"}), inputs[1]]
    assert of(REQUEST, moved, "hash") == base


def test_a_plan_is_read_as_it_was_written(tmp_path):
    assert read_plan(tmp_path) is None
    inputs = [*files(3, split="test"), *files(4)]
    inputs[0] = inputs[0].model_copy(update={"file": "two\nlines 今日.txt"})
    plan = make_plan(REQUEST, inputs, "hash")
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan


@pytest.mark.parametrize("content", ["", "{", "{}", "[1]", "\x00"])
def test_a_plan_that_cannot_be_read(tmp_path, content):
    (tmp_path / PLAN).write_text(content)
    with pytest.raises(
        UserError, match=r"^cannot read .*plan\.json \(.*\): use --restart$"
    ) as told:
        read_plan(tmp_path)
    assert "\n" not in str(told.value)


def test_another_tokenizer_than_the_plan_s(tmp_path):
    tokenizer = small_tokenizer()
    tokenizer.save(tmp_path / TOKENIZER)
    assert work_tokenizer(tmp_path, tokenizer.hash).hash == tokenizer.hash
    with pytest.raises(UserError, match=r"tokenizer\.json is not the plan's tokenizer: use --res"):
        work_tokenizer(tmp_path, "0" * 64)


@pytest.mark.parametrize("n", [0, -1])
def test_shards_hold_something(n):
    with pytest.raises(ValueError, match="shard_tokens"):
        Request(source="", tokenizer="", shard_tokens=n)
