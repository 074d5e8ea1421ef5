// SPDX-License-Identifier: Apache-2.0
import { useEffect, useState } from "preact/hooks";

import { useAnswer } from "../answers";
import { plainToken } from "../format";
import type { Drawn } from "../types";
import type { Page } from "../view";
import { Figure, useWidth } from "./figure";
import { coloursOf, drawMap, type Frame, frameOf, type Groups } from "./map-drawing";
import { Panel } from "./panel";

const HEIGHT = 380;

/** Recorded circuits of the layer, and where the chosen one lies among them. */
export function MapPanel({ page }: { page: Page }) {
  const { layer } = page.view;
  const answer = useMap(page);
  const map = answer.value;
  const isDrawn = answer.fresh && map?.map.state === "done";
  return (
    <Panel
      id="map" title={`Map of layer ${layer}`} answer={answer} asked={true}
      aside={<ColourChoice page={page} />}
    >
      {({ map, layer: drawnLayer }) =>
        map.state === "drawing" || drawnLayer !== layer
          ? <p class="quiet" role="status">drawing…</p>
          : <Points page={page} map={map} isDrawn={isDrawn} />}
    </Panel>
  );
}

/** The map of the layer, asked for each second until it is drawn. */
function useMap({ source, view: { layer } }: Page) {
  const [attempt, setAttempt] = useState(0);
  const answer = useAnswer(
    JSON.stringify([layer, attempt]),
    async (signal) => ({ layer, map: await source.map(layer, signal) }),
  );
  const awaited = answer.fresh && answer.value?.map.state === "drawing";
  useEffect(() => {
    if (!awaited) return;
    const timer = window.setTimeout(() => setAttempt((attempt) => attempt + 1), 1000);
    return () => window.clearTimeout(timer);
  }, [awaited, attempt, layer]);
  return answer;
}

function ColourChoice({ page }: { page: Page }) {
  const { model, view, go } = page;
  if (model.classes.length === 0) return null;
  return (
    <label class="field">
      <span>Colour by</span>
      <select
        data-testid="map-colour"
        value={view.colour}
        onChange={({ currentTarget: { value } }) =>
          go({ colour: value === "token" ? "token" : "class" })}
      >
        <option value="class">class</option>
        <option value="token">token</option>
      </select>
    </label>
  );
}

interface PointsProps {
  page: Page;
  map: Drawn;
  isDrawn: boolean;
}

function Points({ page, map, isDrawn }: PointsProps) {
  const { place, source, view, model } = page;
  const { ref, width } = useWidth();
  const by = model.classes.length === 0 ? "token" : view.colour;
  const groups = coloursOf(by === "class" ? map.class : map.token, by === "class");
  const answer = useAnswer(
    isDrawn && place ? JSON.stringify([place, view.layer]) : null,
    (signal) => source.place(place!, view.layer, signal),
  );
  const frame = frameOf(map, width, HEIGHT);
  const ring = answer.fresh && answer.value !== null ? frame.at(answer.value) : null;
  return (
    <>
      <div
        class="map" ref={ref} role="img" style={{ height: `${HEIGHT}px` }}
        aria-label={mapName(map, view.layer, ring !== null)}
      >
        {width > 0 && <Dots map={map} groups={groups} frame={frame} />}
        {ring && <span class="ring" style={{ left: `${ring.left}px`, top: `${ring.top}px` }} />}
      </div>
      <Legend groups={groups} isToken={by === "token"} hasRing={ring !== null} />
      {answer.error !== null && <p class="error" role="status">{answer.error}</p>}
    </>
  );
}

interface DotsProps {
  map: Drawn;
  groups: Groups;
  frame: Frame;
}

function Dots({ map, groups, frame }: DotsProps) {
  return (
    <Figure draw={() => drawMap(map, groups, frame)} inputs={[map, groups.by, frame.width]} />
  );
}

interface LegendProps {
  groups: Groups;
  isToken: boolean;
  hasRing: boolean;
}

function Legend({ groups, isToken, hasRing }: LegendProps) {
  return (
    <ul class="keys">
      {hasRing && <li><span class="ring-key" aria-hidden="true" />the chosen token</li>}
      {groups.names.map((name, index) => (
        <li key={name}>
          <span class="swatch" aria-hidden="true" style={{ background: groups.colours[index] }} />
          {isToken ? plainToken(name) : name}
        </li>
      ))}
      {groups.hasOthers && (
        <li>
          <span class="swatch" aria-hidden="true" style={{ background: "var(--other)" }} />
          other
        </li>
      )}
    </ul>
  );
}

function mapName(map: Drawn, layer: number, hasRing: boolean): string {
  const what = `Map of layer ${layer}: ${map.x.length} recorded circuits`;
  return hasRing ? `${what}, and a ring where the chosen token’s circuit lies` : what;
}
