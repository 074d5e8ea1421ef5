// SPDX-License-Identifier: Apache-2.0
import type { Page } from "../view";

/** Measure, layer and channel. */
export function Choices({ page }: { page: Page }) {
  const { model, view, go } = page;
  return (
    <div class="choices">
      <label class="field">
        <span>Colour by</span>
        <select
          data-testid="measure"
          value={view.measure?.id ?? ""}
          onChange={(event) => go({ measure: event.currentTarget.value })}
        >
          {model.measures.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}
        </select>
      </label>
      <label class="field">
        <span>Layer</span>
        <select
          data-testid="layer"
          value={String(view.layer)}
          onChange={(event) => go({ layer: Number(event.currentTarget.value) })}
        >
          {numbers(model.layers).map((layer) => <option key={layer} value={layer}>{layer}</option>)}
        </select>
      </label>
      <label class="field">
        <span>Channel</span>
        <select
          data-testid="channel"
          value={view.channel === null ? "all" : String(view.channel)}
          onChange={({ currentTarget: { value } }) =>
            go({ channel: value === "all" ? null : Number(value) })}
        >
          <option value="all">all</option>
          {numbers(model.channels).map((channel) => (
            <option key={channel} value={channel}>{channel}</option>
          ))}
        </select>
      </label>
    </div>
  );
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
