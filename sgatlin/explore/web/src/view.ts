// SPDX-License-Identifier: Apache-2.0
// What the page shows: the address's state made whole, within the bounds of model and sentence.
import { type Address, type AddressEdit, type PatchSource } from "./address";
import type { Go } from "./navigation";
import type { Source } from "./source";
import type { Edit, Measure, Model, NeuronId, Of, Place, Sentence, Values } from "./types";

export interface View {
  of: Of;
  layer: number;
  channel: number | null;
  measure: Measure | null;
  next: number;
  neuron: NeuronId | null;
  colour: "class" | "token";
  allLayers: boolean;
  allChannels: boolean;
  kept: Place | null;
  edits: AddressEdit[];
}

/** What every view needs. */
export interface Page {
  source: Source;
  model: Model;
  view: View;
  /** The chosen token; null while its sentence is being read. */
  place: Place | null;
  sentence: Sentence | null;
  go: Go;
}

export function settle(address: Address, model: Model, source: Source): View {
  const { of, layer, channel, measure, neuron, edits, ...rest } = address;
  const isNeuron = (id: NeuronId) =>
    id.layer < model.layers && id.channel < model.channels && id.neuron < model.neurons;
  const isEdit = (edit: AddressEdit) =>
    edit.kind === "scale"
      ? isNeuron(edit)
      : within(edit.layers, model.layers) && within(edit.channels, model.channels);
  return {
    ...rest,
    of: of !== null && source.hasText(of) ? of : source.begin(model),
    layer: Math.min(layer ?? Math.floor(model.layers / 2), model.layers - 1),
    channel: channel !== null && channel < model.channels ? channel : null,
    measure: model.measures.find(({ id }) => id === measure) ?? model.measures[0] ?? null,
    neuron: neuron !== null && isNeuron(neuron) ? neuron : null,
    edits: source.live ? edits.filter(isEdit) : [],
  };
}

/** The last token by default; null in a sentence that has none. */
export function settlePosition(position: number | null, tokens: number): number | null {
  if (tokens < 2) return null;
  return Math.max(1, Math.min(position ?? tokens - 1, tokens - 1));
}

/** Edits as the server knows them; those that are of another sentence are left out. */
export function settleEdits(edits: AddressEdit[], of: Of, tokens: number): Edit[] {
  const known = (position: number) => position > 0 && position < tokens;
  const settleSource = (from: PatchSource): Place | { row: number } | null => {
    if (!("here" in from)) return from;
    return known(from.here) ? { of, position: from.here } : null;
  };
  return edits.flatMap((edit): Edit[] => {
    if (edit.kind === "scale") return [edit];
    const from = settleSource(edit.from);
    return known(edit.to) && from !== null ? [{ ...edit, from }] : [];
  });
}

/** By position, in the layer that is chosen. */
export function valuesOf(sentence: Sentence, measure: Measure, layer: number): Values {
  const values = sentence.measures[measure.id] ?? [];
  return ((measure.by_layer ? values[layer] : values) ?? []) as Values;
}

function within(numbers: number[] | null, bound: number): boolean {
  return numbers === null || numbers.every((number) => number < bound);
}
