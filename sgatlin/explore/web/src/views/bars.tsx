// SPDX-License-Identifier: Apache-2.0
// Bars beside the rows of a table, whose numbers they show.
import * as Plot from "@observablehq/plot";

import { Figure } from "./figure";

/** Of a table's row, in CSS pixels; styles.css has it as well. */
export const ROW = 24;

export interface Series {
  values: number[];
  /** A colour, or none where the sign gives it. */
  fill?: string;
}

interface BarsProps {
  series: Series[];
  domain: [number, number];
  width: number;
}

/** A bar of each series in each row. */
export function Bars({ series, domain, width }: BarsProps) {
  const rows = series[0]?.values.length ?? 0;
  const draw = () => {
    const svg = Plot.plot({
      width,
      height: rows * ROW,
      margin: 0,
      marginLeft: 1,
      marginRight: 1,
      style: { background: "none", overflow: "hidden" },
      x: { domain, axis: null },
      y: { domain: series[0]?.values.map((_, row) => row) ?? [], axis: null, padding: 0 },
      marks: [
        ...series.map((one, index) => bars(one, index, series.length)),
        Plot.ruleX([0], { stroke: "var(--line-strong)" }),
      ],
    });
    return svg as SVGSVGElement;
  };
  return <Figure draw={draw} inputs={[JSON.stringify([series, domain, width])]} />;
}

function bars({ values, fill }: Series, index: number, count: number) {
  const thick = (ROW - 8) / count;
  return Plot.barX(values, {
    x: (value: number) => value,
    y: (_: number, row: number) => row,
    fill: fill ?? ((value: number) => (value < 0 ? "var(--negative)" : "var(--positive)")),
    insetTop: 4 + index * thick,
    insetBottom: 4 + (count - 1 - index) * thick,
  });
}

/** From the least to the greatest value, with 0 within. */
export function domainOf(values: number[]): [number, number] {
  const low = Math.min(0, ...values);
  const high = Math.max(0, ...values);
  return low === high ? [0, 1] : [low, high];
}
