// SPDX-License-Identifier: Apache-2.0
import * as Plot from "@observablehq/plot";

import { signed } from "../format";
import type { TokenLogit } from "../types";
import { ROW } from "./bars";
import { Figure, useWidth } from "./figure";

interface Part {
  row: number;
  layer: number;
  value: number;
}

const NAMES = ["embedding", "attention", "neurons"];

/** Embedding, attention and neurons: bars stacked of layers, beside the numbers. */
export function Stack({ token }: { token: TokenLogit }) {
  const { ref, width } = useWidth();
  const rows = [[token.embedding], token.attention, token.neurons];
  const layers = token.neurons.map((_, layer) => layer);
  return (
    <div class="stack" ref={ref}>
      {width > 0 && (
        <Figure draw={() => drawStack(rows, width)} inputs={[JSON.stringify([rows, width])]} />
      )}
      <div class="scroller" tabIndex={0} role="group" aria-label="Contributions by layer">
        <table class="plain">
          <thead>
            <tr>
              <th scope="col"><span class="hidden">part</span></th>
              {layers.map((layer) => (
                <th key={layer} scope="col">
                  <span class="swatch" style={{ background: shade(layer, layers.length) }} />
                  layer {layer}
                </th>
              ))}
              <th scope="col">sum</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((values, row) => (
              <tr key={row}>
                <th scope="row">{NAMES[row]}</th>
                {row === 0
                  ? layers.map((layer) => <td key={layer} />)
                  : values.map((value, layer) => (
                    <td key={layer} class="number">{signed(value)}</td>
                  ))}
                <td class="number">{signed(sum(values))}</td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row" colSpan={layers.length + 1}>logit</th>
              <td class="number">{signed(token.logit)}</td>
            </tr>
          </tfoot>
        </table>
      </div>
    </div>
  );
}

function drawStack(rows: number[][], width: number): SVGSVGElement {
  const layers = rows[2]?.length ?? 1;
  const parts = rows.flatMap((values, row) =>
    values.map((value, layer): Part => ({ row, layer: row === 0 ? -1 : layer, value })),
  );
  return Plot.plot({
    width,
    height: rows.length * ROW + 18,
    marginLeft: 76,
    marginRight: 8,
    marginTop: 0,
    marginBottom: 18,
    style: { background: "none", color: "var(--quiet)", fontSize: "12px" },
    x: { label: null, ticks: 5, tickSize: 3 },
    y: { label: null, domain: [0, 1, 2], tickFormat: nameOf, tickSize: 0 },
    marks: [
      Plot.barX(parts, {
        x: "value",
        y: "row",
        fill: ({ layer }: Part) => (layer < 0 ? "var(--other)" : shade(layer, layers)),
        stroke: "var(--card)",
        strokeWidth: 1,
        insetTop: 4,
        insetBottom: 4,
        title: ({ layer, value }: Part) =>
          layer < 0 ? signed(value) : `layer ${layer}: ${signed(value)}`,
      }),
      Plot.tickX(rows.map(sum), {
        x: (total: number) => total,
        y: (_: number, row: number) => row,
        stroke: "var(--ink)",
        strokeWidth: 2,
      }),
      Plot.ruleX([0], { stroke: "var(--line-strong)" }),
    ],
  }) as SVGSVGElement;
}

function nameOf(row: number): string {
  return NAMES[row] ?? "";
}

/** Of a layer's bars: from the first to the last. */
function shade(layer: number, layers: number): string {
  const share = layers > 1 ? Math.round((100 * layer) / (layers - 1)) : 100;
  return `color-mix(in oklab, var(--shade-last) ${share}%, var(--shade-first))`;
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
