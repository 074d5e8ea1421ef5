// SPDX-License-Identifier: Apache-2.0
// Where answers come from: a server with a live model, or the data of a report.
import type {
  Changed, CircuitMap, Edit, Gates, Logits, MapPlace, Model, Near, Neuron, NeuronId, Of, Place,
  Sentence,
} from "./types";

export interface Source {
  /** Whether there is a model to type to and to change. */
  readonly live: boolean;
  model(signal: AbortSignal): Promise<Model>;
  text(of: Of, signal: AbortSignal): Promise<Sentence>;
  gates(place: Place, layer: number, signal: AbortSignal): Promise<Gates>;
  near(place: Place, layer: number, channel: number | null, signal: AbortSignal): Promise<Near>;
  map(layer: number, signal: AbortSignal): Promise<CircuitMap>;
  place(place: Place, layer: number, signal: AbortSignal): Promise<MapPlace>;
  logits(place: Place, signal: AbortSignal): Promise<Logits>;
  neuron(id: NeuronId, signal: AbortSignal): Promise<Neuron>;
  changed(place: Place, edits: Edit[], signal: AbortSignal): Promise<Changed>;
  /** The sentence to begin with. */
  begin(model: Model): Of;
  hasText(of: Of): boolean;
  hasNeuron(id: NeuronId): boolean;
}
