// SPDX-License-Identifier: Apache-2.0
import { useState } from "preact/hooks";

import { type PatchSource, sameOf } from "../address";
import { isFull, patchFrom } from "../edits";
import { nameOf, plainToken } from "../format";
import type { Page } from "../view";

const KEPT = "kept";

/** Gives the chosen token the gates of another token of the sentence, or of the kept one. */
export function PatchForm({ page }: { page: Page }) {
  const { place, sentence, view } = page;
  const [picked, setPicked] = useState("");
  if (place === null || sentence === null) return null;
  const { kept } = view;
  const others = sentence.tokens.flatMap(({ text, start }, position) =>
    start || position === place.position ? [] : [{ text, position }],
  );
  const values = [...others.map(({ position }) => String(position)), ...(kept ? [KEPT] : [])];
  const from = values.includes(picked) ? picked : (values[0] ?? "");
  const patch = () => {
    const source = sourceOf(from, page);
    if (source !== null) patchFrom(page, source);
  };
  const to = `${place.position} ${plainToken(sentence.tokens[place.position]?.text ?? "")}`;
  return (
    <div class="patch">
      <Scope page={page} />
      <div class="row">
        <label class="field">
          <span>Patch {to} from</span>
          <select
            data-testid="patch-from" value={from}
            onChange={(event) => setPicked(event.currentTarget.value)}
          >
            {others.map(({ text, position }) => (
              <option key={position} value={String(position)}>{position} {plainToken(text)}</option>
            ))}
            {kept && <option value={KEPT}>kept: token {kept.position} of {nameOf(kept.of)}</option>}
          </select>
        </label>
        <button
          type="button" data-testid="patch" disabled={from === "" || isFull(page)} onClick={patch}
        >
          Patch
        </button>
      </div>
    </div>
  );
}

function sourceOf(value: string, { view, place }: Page): PatchSource | null {
  if (value !== KEPT) return value === "" ? null : { here: Number(value) };
  const { kept } = view;
  if (kept === null) return null;
  return place && sameOf(kept.of, place.of) ? { here: kept.position } : kept;
}

/** Which gates patches give. */
function Scope({ page }: { page: Page }) {
  const { view, go } = page;
  return (
    <div class="row">
      <label class="field">
        <span>Patches reach</span>
        <select
          data-testid="patch-layers" value={view.allLayers ? "all" : "chosen"}
          onChange={(event) => go({ allLayers: event.currentTarget.value === "all" })}
        >
          <option value="chosen">layer {view.layer}</option>
          <option value="all">all layers</option>
        </select>
      </label>
      {view.channel !== null && (
        <label class="field">
          <span>and</span>
          <select
            data-testid="patch-channels" value={view.allChannels ? "all" : "chosen"}
            onChange={(event) => go({ allChannels: event.currentTarget.value === "all" })}
          >
            <option value="chosen">channel {view.channel}</option>
            <option value="all">all channels</option>
          </select>
        </label>
      )}
    </div>
  );
}
