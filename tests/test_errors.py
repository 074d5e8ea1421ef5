# SPDX-License-Identifier: Apache-2.0
"""The checks that configs share: what passes, and what is told of the first that does not."""

import pytest

from sgatlin.errors import UserError, require_at_least, require_one_of


def test_what_is_at_least_passes():
    require_at_least(1, a=1, b=2.5, c=float("inf"), d=None)
    require_at_least(0, a=0)
    require_at_least(3)


@pytest.mark.parametrize("value", [0, -1, 0.999, float("-inf"), float("nan")])
def test_the_first_value_below_is_named(value):
    with pytest.raises(UserError, match=f"^second={value} must be at least 1$"):
        require_at_least(1, first=1, second=value, third=-5)


def test_one_of():
    require_one_of(("a", "b"), first="a", second="b")
    with pytest.raises(UserError, match=r"^second='c' is not one of a, b$"):
        require_one_of((name for name in "ab"), first="b", second="c")
