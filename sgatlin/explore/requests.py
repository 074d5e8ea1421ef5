# SPDX-License-Identifier: Apache-2.0
"""What the page asks: every field with its type and bounds, and nothing else.

Numbers of layers, channels and neurons are checked against the model where they are used.
"""

from typing import Annotated, Literal

import pydantic

Number = Annotated[int, pydantic.Field(ge=0, lt=2**31)]
Factor = Annotated[float, pydantic.Field(ge=-1e4, le=1e4, allow_inf_nan=False)]
Some = Annotated[tuple[Number, ...], pydantic.Field(min_length=1, max_length=256)]


class _Strict(pydantic.BaseModel):
    """Fields have exactly these types, and there are no others."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)


class Typed(_Strict):
    text: Annotated[str, pydantic.Field(min_length=1, max_length=20_000)]


class Recorded(_Strict):
    sequence: Number
    """Of the record."""


Of = Typed | Recorded
"""A sentence: one that was typed, or a recorded document from its beginning."""


class ModelRequest(_Strict):
    pass


class TextRequest(_Strict):
    of: Of


class PositionRequest(_Strict):
    of: Of
    position: Number


class LayerRequest(PositionRequest):
    layer: Number


class NearRequest(LayerRequest):
    channel: Number | None = None
    """All by default."""
    k: Annotated[int, pydantic.Field(ge=1, le=50)] = 10


class MapRequest(_Strict):
    layer: Number


class NeuronRequest(_Strict):
    layer: Number
    channel: Number
    neuron: Number


class Scale(_Strict):
    """Multiplies a neuron's score wherever it is chosen; 0 leaves the neuron out."""

    kind: Literal["scale"]
    layer: Number
    channel: Number
    neuron: Number
    factor: Factor


class FromToken(_Strict):
    of: Of
    position: Number


class FromRow(_Strict):
    row: Number
    """Of the record's positions."""


class Patch(_Strict):
    """Gives a token the gates of another one."""

    kind: Literal["patch"]
    to: Number
    """A position of the sentence."""
    layers: Some | None = None
    channels: Some | None = None
    source: FromToken | FromRow = pydantic.Field(alias="from")


class ChangedRequest(PositionRequest):
    edits: Annotated[
        tuple[Annotated[Scale | Patch, pydantic.Field(discriminator="kind")], ...],
        pydantic.Field(max_length=16),
    ] = ()
