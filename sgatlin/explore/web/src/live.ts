// SPDX-License-Identifier: Apache-2.0
// Answers of the server. Few requests are under way at once: it works on one at a time, and what
// waits is never sent once it is no longer wanted.
import { setGone } from "./connection";
import type { Source } from "./source";
import type { CircuitMap, MapPlace } from "./types";

const MOST_UNDER_WAY = 2;
const MOST_KEPT = 256;

export function liveSource(): Source {
  const ask = asker();
  return {
    live: true,
    model: (signal) => ask("model", {}, signal),
    text: (of, signal) => ask("text", { of }, signal),
    gates: (place, layer, signal) => ask("gates", { ...place, layer }, signal),
    near: (place, layer, channel, signal) =>
      ask("near", { ...place, layer, channel, k: 10 }, signal),
    map: (layer, signal) =>
      ask<CircuitMap>("map", { layer }, signal, (map) => map.state === "done"),
    place: (place, layer, signal) =>
      ask<MapPlace>("place", { ...place, layer }, signal, ({ x }) => x !== null),
    logits: (place, signal) => ask("logits", { ...place }, signal),
    neuron: (id, signal) => ask("neuron", { ...id }, signal),
    changed: (place, edits, signal) => ask("changed", { ...place, edits }, signal),
    begin: (model) => ({ text: model.text }),
    hasText: () => true,
    hasNeuron: () => true,
  };
}

type Ask = <T>(
  name: string, body: object, signal: AbortSignal, lasts?: (answer: T) => boolean,
) => Promise<T>;

/** Answers that last are kept, the latest ones. */
function asker(): Ask {
  const kept = new Map<string, unknown>();
  const inTurn = turns();
  const token = new URLSearchParams(window.location.search).get("token") ?? "";
  return async <T>(
    name: string, body: object, signal: AbortSignal, lasts: (answer: T) => boolean = () => true,
  ) => {
    const request = JSON.stringify(body);
    const key = name + request;
    if (kept.has(key)) return kept.get(key) as T;
    const answer = await inTurn(() => post<T>(name, request, token), signal);
    if (lasts(answer)) kept.set(key, answer);
    if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value ?? "");
    return answer;
  };
}

async function post<T>(name: string, body: string, token: string): Promise<T> {
  let response: Response;
  try {
    response = await fetch(`api/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Explorer-Token": token },
      body,
    });
  } catch {
    setGone(true);
    throw new Error("no answer from the server");
  }
  setGone(false);
  const answer: unknown = await response.json().catch(() => null);
  if (!response.ok) throw new Error(errorOf(answer) ?? `the server answered ${response.status}`);
  if (answer === null) throw new Error("the server's answer broke off");
  return answer as T;
}

function errorOf(answer: unknown): string | null {
  if (typeof answer !== "object" || answer === null || !("error" in answer)) return null;
  return String(answer.error);
}

type InTurn = <T>(work: () => Promise<T>, signal: AbortSignal) => Promise<T>;

function turns(): InTurn {
  let underWay = 0;
  const waiting: (() => void)[] = [];
  const pass = () => {
    underWay -= 1;
    waiting.shift()?.();
  };
  return async (work, signal) => {
    if (underWay >= MOST_UNDER_WAY) await new Promise<void>((turn) => waiting.push(turn));
    underWay += 1;
    try {
      signal.throwIfAborted();
      return await work();
    } finally {
      pass();
    }
  };
}
