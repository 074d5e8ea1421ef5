// SPDX-License-Identifier: Apache-2.0
// Answers from the data of a self-contained report.
import { neuronName, sameOf } from "./address";
import type { Source } from "./source";
import type { Context, NeuronId, Of, ReportData, ReportText, RowList } from "./types";

export function reportSource(data: ReportData): Source {
  const find = (of: Of) => data.texts.find((text) => sameOf(text.of, of));
  const neuronOf = (id: NeuronId) => data.neurons[neuronName(id)];
  const held = async <T>(of: Of, pick: (text: ReportText) => T | null | undefined): Promise<T> => {
    const text = find(of);
    return present(text && pick(text));
  };
  return {
    live: false,
    model: async () => data.model,
    text: (of) => held(of, ({ text }) => text),
    gates: ({ of, position }, layer) => held(of, ({ gates }) => gates[layer]?.[position]),
    near: async ({ of, position }, layer, channel) => {
      const all = await held(of, ({ near }) => near[layer]?.[position]);
      const near = present(channel === null ? all.all : all.channels[channel]);
      return Array.isArray(near) ? { rows: contextsOf(data, near, "distance") } : near;
    },
    map: async (layer) => present(data.maps[layer]),
    place: ({ of, position }, layer) => held(of, ({ place }) => place[layer]?.[position]),
    logits: ({ of, position }) => held(of, ({ logits }) => logits[position]),
    neuron: async (id) => {
      const { contexts, ...neuron } = present(neuronOf(id));
      const told = isPacked(contexts) ? contextsOf(data, contexts, "score") : contexts;
      return { ...neuron, contexts: told };
    },
    changed: () => Promise.reject(new Error("a report has no model to change")),
    begin: (model) => data.texts[0]?.of ?? { text: model.text },
    hasText: (of) => find(of) !== undefined,
    hasNeuron: (id) => neuronOf(id) !== undefined,
  };
}

/** The data of this page, where it is a report. */
export async function readReport(): Promise<ReportData | null> {
  if (window.EXPLORER_DATA !== undefined) return window.EXPLORER_DATA;
  const packed = document.getElementById("explorer-data")?.textContent?.trim();
  return packed ? unpacked(packed) : null;
}

/** JSON, compressed by gzip, in base64. */
async function unpacked(text: string): Promise<ReportData> {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return (await new Response(stream).json()) as ReportData;
}

function contextsOf<Name extends "distance" | "score">(
  data: ReportData, list: RowList, name: Name,
): (Context & Record<Name, number>)[] {
  return list.flatMap(([row, number]) => {
    const context = data.rows?.[row];
    return context ? [{ ...context, row, [name]: number } as Context & Record<Name, number>] : [];
  });
}

function isPacked(contexts: object[] | RowList): contexts is RowList {
  return contexts.every((context) => Array.isArray(context));
}

function present<T>(answer: T | null | undefined): T {
  if (answer == null) throw new Error("this report does not hold it");
  return answer;
}
