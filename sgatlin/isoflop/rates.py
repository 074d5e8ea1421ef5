# SPDX-License-Identifier: Apache-2.0
"""A rule for the peak learning rate of each layer, by width and number of steps.

A study fits the rule to a small sweep (`rate_fit`), writes it beside its records, and takes the
rates of its main runs from it.
"""

import dataclasses
import math
from pathlib import Path

import pydantic

from sgatlin.errors import UserError
from sgatlin.files import write_output

FILE_NAME = "rule-rates.json"
"""Of the rule in a study's folder of results."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RateRule:
    """ln(rate) = intercepts[layer] + width_exponent * ln(d_model) + steps_exponent * ln(steps)"""

    intercepts: dict[str, float]
    """By layer."""
    width_exponent: float
    """Shared by all layers."""
    steps_exponent: float
    """Shared by all layers."""

    def __post_init__(self) -> None:
        numbers = {f"intercepts.{layer}": a for layer, a in self.intercepts.items()}
        numbers |= {"width_exponent": self.width_exponent, "steps_exponent": self.steps_exponent}
        for name, number in numbers.items():
            if not math.isfinite(number):
                raise UserError(f"{name}={number} of a rate rule must be finite")

    def rate(self, layer: str, d_model: int, steps: int) -> float:
        """Peak learning rate, rounded to two significant digits so that names of runs are stable.

        UserError for a layer without an intercept, or a width or number of steps below 1.
        """
        return float(f"{math.exp(self.log_rate(layer, d_model, steps)):.1e}")

    def log_rate(self, layer: str, d_model: float, steps: float) -> float:
        """ln of the peak learning rate, not rounded; errors as of `rate`."""
        intercept = self.intercepts.get(layer)
        if intercept is None:
            known = ", ".join(sorted(self.intercepts)) or "none"
            raise UserError(
                f"the rate rule has no intercept for {layer} (it has {known}): run the layer in "
                "the sweep at two learning rates or more, and fit the rule again"
            )
        if d_model < 1 or steps < 1:
            raise UserError(f"d_model={d_model:g} and steps={steps:g} must be at least 1")
        return (
            intercept
            + self.width_exponent * math.log(d_model)
            + self.steps_exponent * math.log(steps)
        )


_RULE = pydantic.TypeAdapter(RateRule)


def read_rule(folder: Path) -> RateRule:
    """The rule in a folder of results; UserError if there is none or it cannot be read."""
    file = folder / FILE_NAME
    mend = "remove it, and fit the rule again with `sgatlin isoflop rates`"
    try:
        text = file.read_text(encoding="utf-8")
        return _RULE.validate_json(text, strict=True, extra="forbid")
    except FileNotFoundError:
        raise UserError(
            f"{folder} has no {FILE_NAME}: fit the rule with `sgatlin isoflop rates`"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {file}: {error}; {mend}") from None
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise UserError(f"{file}: {where}: {problem['msg']}; {mend}") from None
    except UserError as error:
        raise UserError(f"{file}: {error}; {mend}") from None


def write_rule(folder: Path, rule: RateRule) -> Path:
    """Writes the rule into a folder of results; returns its file. UserError if that fails."""
    file = folder / FILE_NAME
    write_output(file, _RULE.dump_json(rule, indent=1).decode() + "\n")
    return file
