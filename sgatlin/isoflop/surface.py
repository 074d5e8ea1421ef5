# SPDX-License-Identifier: Apache-2.0
"""A loss surface of each layer over model size and training tokens, all layers fitted at once.

    L(N, D) = E + A / N^alpha + B / D^beta

is Approach 3 of Hoffmann et al. 2022 (arXiv 2203.15556): a Huber loss on residuals of ln(L), from
several starts. N is the forward FLOPs per token without the unembedding (the convention `paper` of
`scaling.flops`). Within a layer any measure that grows along the ladder serves; this one means
the same in every layer, where parameters do not: a pool of neurons has many that a token does not
use. It also makes 3 N D the training FLOPs.

A layer has nine to fifteen runs, too few for an E and a beta of its own: both belong to the text
more than to the layer, and are shared unless said otherwise. Besiroglu et al. 2024
(arXiv 2404.10102) found a published fit that had stopped too early and intervals that were far too
narrow: here every fit iterates until its loss stands still and says how many starts agree, and the
draws vary documents and seeds (`redraw`), and no less than the fit's own residuals.

P passes (as measured, then each draw), R runs, L layers, F coefficients, X points.
"""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

Coefficient = Literal["E", "alpha", "beta"]

HUBER = 5e-3
"""Residual of ln(L) from which it counts linearly: some .016 nats, half again the usual deviation
between seeds. Hoffmann's 1e-3 would make it a fit of medians."""
MAX_ITERATIONS = 1500
STILL = 1e-9
"""Relative change of the Huber loss below which a fit has converged, several times over."""
STARTS = tuple(
    (floor, alpha, beta)
    for floor in (0.3, 0.6, 0.85)
    for alpha in (0.15, 0.4, 0.8)
    for beta in (0.15, 0.4, 0.8)
)
"""E as a share of the lowest loss, alpha, beta."""


@dataclasses.dataclass(frozen=True)
class Surface:
    """Coefficients of every layer in every pass."""

    layers: tuple[str, ...]
    e_PL: Float[np.ndarray, "P L"]
    """E, in nats per token."""
    log_a_PL: Float[np.ndarray, "P L"]
    """ln A."""
    alpha_PL: Float[np.ndarray, "P L"]
    log_b_PL: Float[np.ndarray, "P L"]
    """ln B."""
    beta_PL: Float[np.ndarray, "P L"]

    def loss(
        self, layer: str, size_X: Float[np.ndarray, " X"], tokens_X: Float[np.ndarray, " X"]
    ) -> Float[np.ndarray, "P X"]:
        """Nats per token of sizes N trained on so many tokens, in every pass."""
        return self.size_part(layer, size_X) + self.tokens_part(layer, tokens_X)

    def size_part(self, layer: str, size_X: Float[np.ndarray, " X"]) -> Float[np.ndarray, "P X"]:
        """E + A / N^alpha."""
        i = self.layers.index(layer)
        exponent_PX = self.log_a_PL[:, i, None] - self.alpha_PL[:, i, None] * np.log(size_X)
        return self.e_PL[:, i, None] + np.exp(exponent_PX)

    def tokens_part(
        self, layer: str, tokens_X: Float[np.ndarray, " X"]
    ) -> Float[np.ndarray, "P X"]:
        """B / D^beta."""
        i = self.layers.index(layer)
        exponent_PX = self.log_b_PL[:, i, None] - self.beta_PL[:, i, None] * np.log(tokens_X)
        return np.exp(exponent_PX)


class Minimum(NamedTuple):
    """Where several fits, of one pass each, ended."""

    theta_PF: Float[np.ndarray, "P F"]
    objective_P: Float[np.ndarray, " P"]
    """Sum of the Huber losses."""
    converged_P: Bool[np.ndarray, " P"]


class Form:
    """The fit of one set of runs: which coefficients there are, and which each run uses.

    The coefficients are ln E, ln A, ln alpha, ln B and ln beta, so that all stay positive; A and B
    are those of the runs' mean ln N and ln D.
    """

    def __init__(
        self,
        layers: Sequence[str],
        layer_R: Int[np.ndarray, " R"],
        size_R: Float[np.ndarray, " R"],
        tokens_R: Float[np.ndarray, " R"],
        shared: Collection[Coefficient],
    ):
        self.layers = tuple(layers)
        self.layer_R = layer_R
        self.center = float(np.log(size_R).mean()), float(np.log(tokens_R).mean())
        self.n_R = np.log(size_R) - self.center[0]
        self.d_R = np.log(tokens_R) - self.center[1]
        self.places_L: dict[str, Int[np.ndarray, " L"]] = {}
        n_coefficients = 0
        for name in ("E", "A", "alpha", "B", "beta"):
            count = 1 if name in shared else len(self.layers)
            place_L = np.zeros(len(self.layers), int) if count == 1 else np.arange(count)
            self.places_L[name] = n_coefficients + place_L
            n_coefficients += count
        self.n_coefficients = n_coefficients

    def start(self, y_R: Float[np.ndarray, " R"]) -> Float[np.ndarray, "P F"]:
        """Coefficients of each of STARTS, A and B by least squares; `y_R` is ln(L)."""
        theta_PF = np.zeros((len(STARTS), self.n_coefficients))
        loss_R = np.exp(y_R)
        for theta_F, (share, alpha, beta) in zip(theta_PF, STARTS, strict=True):
            floor = share * float(loss_R.min())
            theta_F[self.places_L["E"]] = np.log(floor)
            theta_F[self.places_L["alpha"]] = np.log(alpha)
            theta_F[self.places_L["beta"]] = np.log(beta)
            for i in range(len(self.layers)):
                own_R = self.layer_R == i
                design_R2 = np.exp(
                    np.stack([-alpha * self.n_R[own_R], -beta * self.d_R[own_R]], axis=1)
                )
                pair = np.linalg.pinv(design_R2) @ (loss_R[own_R] - floor)
                a, b = np.log(np.maximum(pair, 1e-2))
                theta_F[self.places_L["A"][i]] = a
                theta_F[self.places_L["B"][i]] = b
        return theta_PF

    def terms(self, theta_PF: Float[np.ndarray, "P F"]) -> Float[np.ndarray, "P 3 R"]:
        """E, A / N^alpha and B / D^beta of every run."""
        e, a, alpha, b, beta = (
            theta_PF[:, self.places_L[name][self.layer_R]]
            for name in ("E", "A", "alpha", "B", "beta")
        )
        return np.exp(
            np.stack([e, a - np.exp(alpha) * self.n_R, b - np.exp(beta) * self.d_R], axis=1)
        )

    def jacobian(
        self, theta_PF: Float[np.ndarray, "P F"], terms_P3R: Float[np.ndarray, "P 3 R"]
    ) -> Float[np.ndarray, "P R F"]:
        """Of ln(L)."""
        share_P3R = terms_P3R / terms_P3R.sum(axis=1, keepdims=True)
        alpha_PR = np.exp(theta_PF[:, self.places_L["alpha"][self.layer_R]])
        beta_PR = np.exp(theta_PF[:, self.places_L["beta"][self.layer_R]])
        run_R = np.arange(len(self.layer_R))
        jacobian_PRF = np.zeros((*theta_PF.shape[:1], len(run_R), self.n_coefficients))
        for name, value_PR in (
            ("E", share_P3R[:, 0]),
            ("A", share_P3R[:, 1]),
            ("alpha", -share_P3R[:, 1] * self.n_R * alpha_PR),
            ("B", share_P3R[:, 2]),
            ("beta", -share_P3R[:, 2] * self.d_R * beta_PR),
        ):
            jacobian_PRF[:, run_R, self.places_L[name][self.layer_R]] = value_PR
        return jacobian_PRF

    def surface(self, theta_PF: Float[np.ndarray, "P F"]) -> Surface:
        """The coefficients by layer, A and B about N = 1 and D = 1."""
        e, a, alpha, b, beta = (
            theta_PF[:, self.places_L[name]] for name in ("E", "A", "alpha", "B", "beta")
        )
        alpha, beta = np.exp(alpha), np.exp(beta)
        log_a, log_b = a + alpha * self.center[0], b + beta * self.center[1]
        return Surface(self.layers, np.exp(e), log_a, alpha, log_b, beta)


def minimize(
    form: Form,
    theta_PF: Float[np.ndarray, "P F"],
    y_PR: Float[np.ndarray, "P R"],
    weight_PR: Float[np.ndarray, "P R"],
) -> Minimum:
    """Fits every pass from its own start: Levenberg's and Marquardt's steps on reweighted squares.

    Args:
      y_PR: ln(L) of the runs.
      weight_PR: of each run's Huber loss; 0 leaves it out.
    """
    theta_PF = theta_PF.copy()
    n_passes = len(theta_PF)
    damping_P, still_P = np.full(n_passes, 1e-3), np.zeros(n_passes, int)
    terms = form.terms(theta_PF)
    residual_PR = y_PR - np.log(terms.sum(axis=1))
    objective_P = _huber(residual_PR, weight_PR)
    for _ in range(MAX_ITERATIONS):
        active = np.flatnonzero(still_P < 3)
        if not len(active):
            break
        step_PF = _step(
            form.jacobian(theta_PF[active], form.terms(theta_PF[active])),
            residual_PR[active],
            weight_PR[active],
            damping_P[active],
        )
        tried_PF = theta_PF[active] + np.clip(step_PF, -1, 1)
        tried_PR = y_PR[active] - np.log(form.terms(tried_PF).sum(axis=1))
        tried_P = _huber(tried_PR, weight_PR[active])
        better_P = tried_P <= objective_P[active]
        change_P = np.abs(objective_P[active] - tried_P)
        # Of steps that fail as well: near the lowest place rounding decides whether they do.
        small_P = change_P <= STILL * objective_P[active] + 1e-16
        moved = active[better_P]
        theta_PF[moved], residual_PR[moved] = tried_PF[better_P], tried_PR[better_P]
        objective_P[moved] = tried_P[better_P]
        damping_P[active] *= np.where(better_P, 0.3, 5.0)
        damping_P[active] = np.clip(damping_P[active], 1e-9, 1e12)
        still_P[active] = np.where(small_P, still_P[active] + 1, 0)
    return Minimum(theta_PF, objective_P, still_P >= 3)


def _huber(
    residual_PR: Float[np.ndarray, "P R"], weight_PR: Float[np.ndarray, "P R"]
) -> Float[np.ndarray, " P"]:
    size_PR = np.abs(residual_PR)
    inside_PR = np.minimum(size_PR, HUBER)
    return (weight_PR * inside_PR * (size_PR - inside_PR / 2)).sum(axis=1)


def _step(
    jacobian_PRF: Float[np.ndarray, "P R F"],
    residual_PR: Float[np.ndarray, "P R"],
    weight_PR: Float[np.ndarray, "P R"],
    damping_P: Float[np.ndarray, " P"],
) -> Float[np.ndarray, "P F"]:
    weight_PR = weight_PR * HUBER / np.maximum(np.abs(residual_PR), HUBER)
    weighted_PFR = (jacobian_PRF * weight_PR[..., None]).transpose(0, 2, 1)
    normal_PFF = weighted_PFR @ jacobian_PRF
    diagonal_PF = np.einsum("pff->pf", normal_PFF)
    # A term that is nearly nothing has no curvature: a floor keeps the system solvable.
    lowest_P1 = 1e-8 * diagonal_PF.max(axis=1, keepdims=True)
    added_PF = damping_P[:, None] * np.maximum(diagonal_PF, lowest_P1) + 1e-4 * lowest_P1
    n_coefficients = jacobian_PRF.shape[-1]
    normal_PFF = normal_PFF + added_PF[..., None] * np.eye(n_coefficients)
    return np.linalg.solve(normal_PFF, weighted_PFR @ residual_PR[..., None])[..., 0]
