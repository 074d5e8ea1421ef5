// SPDX-License-Identifier: Apache-2.0
import { useAnswer } from "../answers";
import { scopeName } from "../edits";
import type { Page } from "../view";
import { Contexts } from "./contexts";
import { Panel } from "./panel";

/** The recorded positions whose circuits are nearest. */
export function NearPanel({ page }: { page: Page }) {
  const { place, source, view } = page;
  const { layer, channel } = view;
  const answer = useAnswer(
    place && JSON.stringify([place, layer, channel]),
    (signal) => source.near(place!, layer, channel, signal),
  );
  const where = scopeName([layer], channel === null ? null : [channel]);
  return (
    <Panel id="near" title="Nearest circuits" answer={answer} asked={place !== null}>
      {({ rows }) => (
        <Contexts
          page={page} name="near" caption={`In ${where}`}
          numberName="distance" numberOf={({ distance }) => distance} contexts={rows}
        />
      )}
    </Panel>
  );
}
