# SPDX-License-Identifier: Apache-2.0
"""Debiased CKA equals the estimator written with n x n kernels, and is 0 where plain CKA is not."""

import numpy as np
import pytest

from sgatlin.circuits import cka as module
from sgatlin.circuits.cka import cka, unbiased_hsic
from sgatlin.circuits.rows import SparseRows
from sgatlin.errors import UserError


def kernels(x, y):
    """Song et al.'s equation 4."""
    n = len(x)
    k, h = (one @ one.T * (1 - np.eye(n)) for one in (x, y))
    ones = np.ones(n)
    total = np.trace(k @ h) + (ones @ k @ ones) * (ones @ h @ ones) / ((n - 1) * (n - 2))
    return (total - 2 / (n - 2) * (ones @ k @ h @ ones)) / (n * (n - 3))


def test_equals_the_kernels_dense_and_sparse(monkeypatch):
    monkeypatch.setattr(module, "_COLUMNS", 5)
    rng = np.random.default_rng(0)
    indices = np.argsort(rng.random((30, 12)), axis=1)[:, :4].astype(np.int32)
    rows = SparseRows(indices, rng.normal(size=(30, 4)).astype(np.float32), 12)
    y = rng.normal(size=(30, 7)) + 1
    wide = rows.dense().astype(np.float64)
    expected = kernels(wide, y) / np.sqrt(kernels(wide, wide) * kernels(y, y))
    assert cka(rows, y, permutations=1).cka == pytest.approx(expected)
    assert cka(rows, rows, permutations=1).cka == pytest.approx(1)
    assert unbiased_hsic(wide, y) == pytest.approx(kernels(wide, y))


def test_rotation_and_scale_change_nothing():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6))
    turned = 3 * x @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
    found = cka(x, turned)
    assert found.cka == pytest.approx(1)
    assert found.p_value == pytest.approx(1 / 21)
    assert found.null_95 < 0.5


def test_unrelated_wide_representations_are_unlike():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 100, 1024))
    centred = [one - one.mean(0) for one in (x, y)]
    cross, *own = (
        np.linalg.norm(a.T @ b) for a, b in (centred, [centred[0]] * 2, [centred[1]] * 2)
    )
    assert cross**2 / np.prod(own) > 0.8  # what the plain estimator says of them
    assert abs(cka(x, y).cka) < 0.05


def test_faults_are_told():
    with pytest.raises(UserError, match="same positions"):
        cka(np.ones((5, 2)), np.ones((6, 2)))
    with pytest.raises(UserError, match="does not vary"):
        cka(np.ones((5, 2)), np.eye(5))
