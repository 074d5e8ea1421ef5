// SPDX-License-Identifier: Apache-2.0
// What the server, or a report, answers.

/** A sentence: one that was typed, or a recorded story. */
export type Of = { text: string } | { sequence: number };

/** A token of a sentence; position 0 is the beginning of the sequence. */
export interface Place {
  of: Of;
  position: number;
}

export interface NeuronId {
  layer: number;
  channel: number;
  neuron: number;
}

export interface Measure {
  id: string;
  name: string;
  unit: string;
  by_layer: boolean;
}

export interface Model {
  run: string;
  layers: number;
  channels: number;
  neurons: number;
  top_k: number;
  context: number;
  positions: number;
  live: boolean;
  stories: { sequence: number; text: string }[];
  measures: Measure[];
  classes: string[];
  text: string;
}

export interface Prediction {
  text: string;
  probability: number;
}

export type Values = (number | null)[];

export interface Sentence {
  text: string;
  tokens: { text: string; start?: boolean }[];
  /** By position, or by layer and position. */
  measures: Record<string, Values | Values[]>;
  predictions: Prediction[][];
}

export interface Gate {
  neuron: number;
  score: number;
  z: number;
  coefficient: number;
  contribution: number;
}

export interface Gates {
  target: string;
  channels: Gate[][];
}

/** A recorded position among its tokens. */
export interface Context {
  row: number;
  sequence: number;
  position: number;
  before: string;
  token: string;
  after: string;
  predictions: Prediction[];
}

export interface Near {
  rows: (Context & { distance: number })[];
}

export interface Drawing {
  state: "drawing";
}

export interface Drawn {
  state: "done";
  x: number[];
  y: number[];
  row: number[];
  token: string[];
  class: string[];
  excerpt: string[];
}

export type CircuitMap = Drawing | Drawn;

export type MapPlace = { x: number; y: number } | { x: null; y: null };

export interface TopNeuron extends NeuronId {
  score: number;
  z: number;
  contribution: number;
  share: number;
}

export interface TokenLogit {
  text: string;
  logit: number;
  probability: number;
  embedding: number;
  attention: number[];
  neurons: number[];
  top: TopNeuron[];
}

export interface Logits {
  tokens: TokenLogit[];
  error: number;
}

export interface Neuron {
  used: number;
  uniform: number;
  rank: number;
  raises: string[];
  lowers: string[];
  contexts: (Context & { score: number })[];
}

export interface Scale extends NeuronId {
  kind: "scale";
  factor: number;
}

/** Gives position `to` the gates of another token; null stands for all. */
export interface Patch<From> {
  kind: "patch";
  to: number;
  layers: number[] | null;
  channels: number[] | null;
  from: From;
}

export type Edit = Scale | Patch<Place | { row: number }>;

export interface Changed {
  tokens: { text: string; before: number; after: number }[];
  kl: number;
  nats: { before: number; after: number };
}

/** What a self-contained report holds in the place of a server. */
export interface ReportData {
  model: Model;
  texts: ReportText[];
  maps: (CircuitMap | null)[];
  neurons: Record<string, Omit<Neuron, "contexts"> & { contexts: Neuron["contexts"] | RowList }>;
  /** Recorded positions that lists name by their number. */
  rows?: Record<string, Omit<Context, "row">>;
}

/** Lists are by layer and position. */
export interface ReportText {
  of: Of;
  text: Sentence;
  gates: (Gates | null)[][];
  near: ({ all: Near | RowList; channels: (Near | RowList)[] } | null)[][];
  place: (MapPlace | null)[][];
  logits: (Logits | null)[];
}

/** Recorded positions, each with its distance or score. */
export type RowList = [row: number, number: number][];
