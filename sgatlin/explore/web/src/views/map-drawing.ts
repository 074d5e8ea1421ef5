// SPDX-License-Identifier: Apache-2.0
import * as Plot from "@observablehq/plot";

import { plainToken, visible } from "../format";
import type { Drawn, MapPlace } from "../types";

const MOST_COLOURS = 10;
const MARGIN = 12;

/** The commonest names, which have a colour each. */
export interface Groups {
  by: "class" | "token";
  names: string[];
  colours: string[];
  hasOthers: boolean;
  colourOf: (point: number) => string;
}

/** Where points of the map lie in the drawing, in CSS pixels. */
export interface Frame {
  width: number;
  height: number;
  x: [number, number];
  y: [number, number];
  at: (place: MapPlace) => { left: number; top: number } | null;
}

export function coloursOf(names: string[], isClass: boolean): Groups {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  if (isClass) for (const name of ["", "other"]) counts.delete(name);
  const common = [...counts].sort(([one, n], [other, m]) => m - n || (one < other ? -1 : 1));
  const shown = common.slice(0, MOST_COLOURS).map(([name]) => name);
  const colours = new Map(shown.map((name, index) => [name, `var(--class-${index})`]));
  return {
    by: isClass ? "class" : "token",
    names: shown,
    colours: [...colours.values()],
    hasOthers: names.some((name) => !colours.has(name)),
    colourOf: (point) => colours.get(names[point] ?? "") ?? "var(--other)",
  };
}

export function frameOf(map: Drawn, width: number, height: number): Frame {
  const x = extent(map.x);
  const y = extent(map.y);
  const along = (value: number, [low, high]: [number, number], length: number) =>
    MARGIN + Math.max(0, Math.min(1, (value - low) / (high - low))) * (length - 2 * MARGIN);
  return {
    width, height, x, y,
    at: (place) =>
      place.x === null
        ? null
        : { left: along(place.x, x, width), top: height - along(place.y, y, height) },
  };
}

export function drawMap(map: Drawn, groups: Groups, { width, height, x, y }: Frame): SVGSVGElement {
  const points = map.x.map((_, point) => point);
  const others = (point: number) => (groups.colourOf(point) === "var(--other)" ? 0 : 1);
  const at = {
    x: (point: number) => map.x[point],
    y: (point: number) => map.y[point],
  };
  return Plot.plot({
    width,
    height,
    margin: MARGIN,
    style: { background: "none", overflow: "hidden", fontFamily: "inherit" },
    x: { domain: x, axis: null },
    y: { domain: y, axis: null },
    marks: [
      Plot.dot(points, {
        ...at,
        r: 2.5,
        fill: (point: number) => groups.colourOf(point),
        fillOpacity: 0.75,
        sort: others,
      }),
      Plot.tip(
        points,
        Plot.pointer({
          ...at,
          title: (point: number) => described(map, point),
          fill: "var(--card)",
          stroke: "var(--line-strong)",
          fontSize: 12,
          lineWidth: 20,
        }),
      ),
    ],
  }) as SVGSVGElement;
}

function described(map: Drawn, point: number): string {
  const name = map.class[point];
  const token = plainToken(map.token[point] ?? "");
  return `${token}${name ? ` · ${name}` : ""}\n${visible(map.excerpt[point] ?? "")}`;
}

function extent(values: number[]): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return high > low ? [low, high] : [low - 1, low + 1];
}
