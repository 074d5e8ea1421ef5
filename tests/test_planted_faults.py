# SPDX-License-Identifier: Apache-2.0
"""Planted faults fit the code, are caught in a copy that is then as before, and are compared."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks.planted_faults import __main__ as command
from benchmarks.planted_faults import report
from benchmarks.planted_faults.copies import Copy
from benchmarks.planted_faults.faults import ROOT, Fault, check_faults, chosen, load_faults
from benchmarks.planted_faults.report import Result
from sgatlin.errors import UserError

RIGHT = "def double(x):\n    return 2 * x\n"
FAULT = Fault(
    name="half",
    file="sgatlin/number.py",
    kind="dropped",
    old="2 * x",
    new="x",
    tests=("test_number.py",),
)
RESULT = Result(name="half", file="number.py", kind="dropped", caught_by="test_double", seconds=1.5)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A repository of one function and its test, where the plugin can be imported."""
    (tmp_path / "sgatlin").mkdir()
    (tmp_path / "sgatlin/__init__.py").touch()
    (tmp_path / "sgatlin/number.py").write_text(RIGHT)
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    (tmp_path / "test_number.py").write_text(
        "from sgatlin.number import double\n\n\n"
        "def test_one_is_right():\n    assert double(0) == 0\n\n\n"
        "def test_double():\n    assert double(3) == 6\n"
    )
    return Copy(tmp_path)


def test_every_fault_can_be_planted_and_has_its_tests():
    """If this fails the code has changed: bring the fault's text up to date (docs/testing.md)."""
    faults = load_faults()
    assert len(faults) >= 60
    check_faults(faults)


def test_a_fault_is_caught_and_the_copy_is_then_as_before(copy):
    with copy.planted(FAULT):
        assert copy.run(["-x", *FAULT.tests], timeout=60).failed == ("test_number.py::test_double",)
    assert (copy.root / FAULT.file).read_text() == RIGHT
    assert copy.run(FAULT.tests, timeout=60).failed == ()


def test_a_fault_that_hangs_or_cannot_be_imported_is_caught(copy):
    with copy.planted(dataclasses.replace(FAULT, new="max(iter(int, 1))")):
        assert copy.run(FAULT.tests, timeout=3).failed == ("(timeout)",)
    with copy.planted(dataclasses.replace(FAULT, old="def double", new="def triple")):
        assert copy.run(FAULT.tests, timeout=60).failed == ("test_number.py",)


def test_tests_of_another_package_are_refused(copy):
    (copy.root / "sgatlin/__init__.py").unlink()
    (copy.root / "sgatlin/number.py").unlink()
    (copy.root / "test_number.py").write_text("import sgatlin\n\n\ndef test_it():\n    pass\n")
    with pytest.raises(UserError, match=r"imported .*sgatlin/__init__.py: remove it from the path"):
        copy.run(FAULT.tests, timeout=60)


@pytest.mark.parametrize(("old", "there"), [("3 * x", "not in"), ("x", "2 times in")])
def test_code_that_has_moved_is_named(copy, old, there):
    moved = dataclasses.replace(FAULT, old=old)
    with pytest.raises(UserError) as caught:
        check_faults([moved], copy.root)
    expected = f"fault half: its text is {there} sgatlin/number.py: bring it up to date"
    assert str(caught.value) == expected


def test_missing_tests_and_faults_that_change_nothing_are_named(copy):
    with pytest.raises(UserError, match=r"half: there is no test_other.py"):
        check_faults([dataclasses.replace(FAULT, tests=("test_other.py",))], copy.root)
    with pytest.raises(UserError, match="half: its new text is the old one"):
        check_faults([dataclasses.replace(FAULT, new="2 * x")], copy.root)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('name = "a"', "fault a in some.toml lacks file, kind, new, old"),
        ('name = "a"\nfile = "x.py"\nkind = "typo"\nold = "1"\nnew = "2"', "is not one of axis, "),
        ('name = "a"\nfile = "y.py"\nkind = "sign"\nold = "1"\nnew = "2"', 'has no [part."y.py"]'),
    ],
)
def test_entries_that_cannot_be_are_named(tmp_path, entry, message):
    part = '[part."x.py"]\ntests = ["t.py"]\ngolden = false\n'
    (tmp_path / "some.toml").write_text(f"{part}[[fault]]\n{entry}\n")
    with pytest.raises(UserError) as caught:
        load_faults(tmp_path)
    assert message in str(caught.value)


def test_faults_are_chosen_by_name_or_file():
    other = dataclasses.replace(FAULT, name="other", file="sgatlin/other.py")
    assert chosen([FAULT, other], ["ha*"]) == [FAULT]
    assert chosen([FAULT, other], ["sgatlin/other.py", "half"]) == [other, FAULT]
    with pytest.raises(UserError, match="--only nope: no fault"):
        chosen([FAULT, other], ["nope"])


def test_what_is_no_longer_caught_is_lost(tmp_path):
    missed = dataclasses.replace(RESULT, caught_by=None)
    never = dataclasses.replace(missed, name="never")
    added = dataclasses.replace(missed, name="added")
    report.write(tmp_path / "before.json", [RESULT, never])
    before = report.read(tmp_path / "before.json")
    assert before == [RESULT, never]
    assert report.lost(before, [missed, never, added]) == ["half"]
    assert report.lost(before, [RESULT, never, added]) == []
    assert report.summary([RESULT, never]) == [
        "1 of 2 faults are caught.",
        "Not caught: never.",
    ]


def test_a_file_that_is_no_result_is_named(tmp_path):
    (tmp_path / "x.json").write_text('[{"a": 1}]')
    with pytest.raises(UserError, match=r"x.json is not a file that --out wrote"):
        report.read(tmp_path / "x.json")


def test_the_command_ends_with_1_if_a_fault_is_lost(tmp_path, monkeypatch, capsys):
    name = load_faults()[0].name
    now = dataclasses.replace(RESULT, name=name, caught_by=None)
    monkeypatch.setattr(command, "run_faults", lambda faults, **_: [now])
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    report.write(before, [dataclasses.replace(RESULT, name=name)])
    arguments = ["--only", name, "--baseline", str(before), "--out", str(after)]
    assert command.main(arguments) == 1
    assert f"Caught in {before} and no longer: {name}" in capsys.readouterr().out
    assert command.main(["--only", name, "--baseline", str(after)]) == 0
