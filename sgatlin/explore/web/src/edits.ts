// SPDX-License-Identifier: Apache-2.0
// Adds and removes the edits of the address.
import { type AddressEdit, MOST_EDITS, neuronName, type PatchSource } from "./address";
import type { NeuronId } from "./types";
import type { Page } from "./view";

/** A neuron has one factor: a new one replaces the old one. */
export function scaleNeuron({ view, go }: Page, id: NeuronId, factor: number): void {
  const { layer, channel, neuron } = id;
  const others = view.edits.filter(
    (edit) => edit.kind !== "scale" || neuronName(edit) !== neuronName(id),
  );
  add(others, { kind: "scale", layer, channel, neuron, factor }, go);
}

/** Gives the chosen token the gates of another one, in the scope that is chosen. */
export function patchFrom({ view, place, go }: Page, from: PatchSource): void {
  if (place === null) return;
  const layers = view.allLayers ? null : [view.layer];
  const channels = view.allChannels || view.channel === null ? null : [view.channel];
  add(view.edits, { kind: "patch", to: place.position, layers, channels, from }, go);
}

export function removeEdit({ view, go }: Page, index: number): void {
  go({ edits: view.edits.filter((_, other) => other !== index) });
}

export function changeFactor({ view, go }: Page, index: number, factor: number): void {
  const edits = view.edits.map((edit, other) =>
    other === index && edit.kind === "scale" ? { ...edit, factor } : edit,
  );
  go({ edits }, "replace");
}

export function isFull({ view }: Page): boolean {
  return view.edits.length >= MOST_EDITS;
}

function add(edits: AddressEdit[], edit: AddressEdit, go: Page["go"]): void {
  if (edits.length < MOST_EDITS) go({ edits: [...edits, edit] });
}

/** The scope of patches, in words. */
export function scopeName(layers: number[] | null, channels: number[] | null): string {
  const name = (what: string, numbers: number[] | null) => {
    if (numbers === null) return `all ${what}s`;
    return `${what}${numbers.length > 1 ? "s" : ""} ${numbers.join(", ")}`;
  };
  return `${name("layer", layers)}, ${name("channel", channels)}`;
}
