// SPDX-License-Identifier: Apache-2.0
// The state of the page, and how the address's hash tells it. What is damaged is left out.
import type { NeuronId, Of, Patch, Place, Scale } from "./types";

/** Where gates come from: another token of the sentence, of another one, or a recorded position. */
export type PatchSource = { here: number } | Place | { row: number };
export type AddressEdit = Scale | Patch<PatchSource>;

/** Null stands for what the page chooses, or for nothing chosen; of `channel`, for all. */
export interface Address {
  of: Of | null;
  position: number | null;
  layer: number | null;
  channel: number | null;
  measure: string | null;
  /** Which of the likeliest next tokens. */
  next: number;
  neuron: NeuronId | null;
  colour: "class" | "token";
  /** Whether patches reach all layers, and channels, or the chosen ones. */
  allLayers: boolean;
  allChannels: boolean;
  /** A token kept as the source of patches. */
  kept: Place | null;
  edits: AddressEdit[];
}

export const MOST_EDITS = 16;
const LARGEST = 2 ** 31 - 1;
const LARGEST_FACTOR = 1e4;
const LONGEST_TEXT = 20_000;

export function parseAddress(hash: string): Address {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const scope = fields.getAll("all");
  const next = natural(fields.get("next"));
  return {
    of: parseOf(fields),
    position: natural(fields.get("at")),
    layer: natural(fields.get("layer")),
    channel: natural(fields.get("channel")),
    measure: fields.get("measure"),
    next: next ?? 0,
    neuron: parseNeuron(fields.get("neuron")),
    colour: fields.get("colour") === "token" ? "token" : "class",
    allLayers: scope.includes("layers"),
    allChannels: scope.includes("channels"),
    kept: parsePlace(fields.get("kept")),
    edits: fields.getAll("edit").flatMap(parseEdit).slice(0, MOST_EDITS),
  };
}

export function formatAddress(address: Address): string {
  const fields = new URLSearchParams();
  const put = (name: string, value: string | number | null) => {
    if (value !== null) fields.append(name, String(value));
  };
  if (address.of !== null) {
    if ("text" in address.of) put("text", address.of.text);
    else put("story", address.of.sequence);
  }
  put("at", address.position);
  put("layer", address.layer);
  put("channel", address.channel);
  put("measure", address.measure);
  put("next", address.next || null);
  put("neuron", address.neuron && neuronName(address.neuron));
  put("colour", address.colour === "token" ? "token" : null);
  put("all", address.allLayers ? "layers" : null);
  put("all", address.allChannels ? "channels" : null);
  put("kept", address.kept && formatPlace(address.kept));
  for (const edit of address.edits) put("edit", formatEdit(edit));
  return fields.toString();
}

/** As in 2.1.17: layer, channel, neuron. */
export function neuronName({ layer, channel, neuron }: NeuronId): string {
  return `${layer}.${channel}.${neuron}`;
}

export function sameOf(one: Of, other: Of): boolean {
  if ("text" in one) return "text" in other && one.text === other.text;
  return "sequence" in other && one.sequence === other.sequence;
}

function natural(text: string | null | undefined): number | null {
  if (!text || !/^\d{1,10}$/.test(text)) return null;
  const value = Number(text);
  return value <= LARGEST ? value : null;
}

function parseOf(fields: URLSearchParams): Of | null {
  const text = fields.get("text");
  if (text && text.length <= LONGEST_TEXT) return { text };
  const sequence = natural(fields.get("story"));
  return sequence === null ? null : { sequence };
}

function parseNeuron(text: string | null | undefined): NeuronId | null {
  const [layer, channel, neuron, ...rest] = (text ?? "").split(".").map(natural);
  if (layer == null || channel == null || neuron == null || rest.length > 0) return null;
  return { layer, channel, neuron };
}

function formatPlace({ of, position }: Place): string {
  return "text" in of ? `text:${position}:${of.text}` : `story:${position}:${of.sequence}`;
}

function parsePlace(text: string | null): Place | null {
  const [, kind, at, rest] = /^(text|story):(\d+):([^]+)$/.exec(text ?? "") ?? [];
  const position = natural(at);
  if (position === null || rest === undefined) return null;
  if (kind === "text") return rest.length <= LONGEST_TEXT ? { of: { text: rest }, position } : null;
  const sequence = natural(rest);
  return sequence === null ? null : { of: { sequence }, position };
}

function formatEdit(edit: AddressEdit): string {
  if (edit.kind === "scale") return `scale:${neuronName(edit)}:${edit.factor}`;
  const { to, layers, channels, from } = edit;
  return `patch:${to}:${formatSome(layers)}:${formatSome(channels)}:${formatSource(from)}`;
}

function parseEdit(text: string): AddressEdit[] {
  const edit = parseScale(text) ?? parsePatch(text);
  return edit ? [edit] : [];
}

function parseScale(text: string): Scale | null {
  const [, name, number] = /^scale:([\d.]+):(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/.exec(text) ?? [];
  const id = parseNeuron(name);
  const factor = Number(number);
  if (id === null || !isFactor(factor)) return null;
  return { kind: "scale", ...id, factor };
}

export function isFactor(factor: number): boolean {
  return Math.abs(factor) <= LARGEST_FACTOR;
}

function parsePatch(text: string): Patch<PatchSource> | null {
  const parts = /^patch:(\d+):(\*|[\d,]+):(\*|[\d,]+):([^]+)$/.exec(text) ?? [];
  const to = natural(parts[1]);
  const layers = parseSome(parts[2]);
  const channels = parseSome(parts[3]);
  const from = parseSource(parts[4] ?? "");
  if (to === null || layers === undefined || channels === undefined || from === null) return null;
  return { kind: "patch", to, layers, channels, from };
}

function formatSome(numbers: number[] | null): string {
  return numbers?.join(",") ?? "*";
}

/** Undefined where it is damaged. */
function parseSome(text: string | undefined): number[] | null | undefined {
  if (text === "*") return null;
  const numbers = (text ?? "").split(",").map(natural);
  return numbers.every((number) => number !== null) ? numbers : undefined;
}

function formatSource(source: PatchSource): string {
  if ("row" in source) return `row:${source.row}`;
  return "here" in source ? `here:${source.here}` : formatPlace(source);
}

function parseSource(text: string): PatchSource | null {
  const [, kind, digits] = /^(row|here):(\d+)$/.exec(text) ?? [];
  const number = natural(digits);
  if (number === null) return parsePlace(text);
  return kind === "row" ? { row: number } : { here: number };
}
