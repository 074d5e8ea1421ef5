// SPDX-License-Identifier: Apache-2.0
import { useEffect, useRef } from "preact/hooks";

import { useAnswer } from "../answers";
import { decimal, percent, plainToken, signed } from "../format";
import type { Changed } from "../types";
import { type Page, settleEdits } from "../view";
import { Bars, domainOf } from "./bars";
import { EditChip } from "./edit-chip";
import { focusTitle, Panel } from "./panel";
import { PatchForm } from "./patch-form";
import { Token } from "./text";

/** Edits to the model's computation, and what they do to the prediction. */
export function ChangesPanel({ page }: { page: Page }) {
  const { place, sentence, source, view } = page;
  const edits =
    place && sentence ? settleEdits(view.edits, place.of, sentence.tokens.length) : [];
  const asked = place !== null && edits.length > 0;
  const answer = useAnswer(
    asked ? JSON.stringify([place, edits]) : null,
    (signal) => source.changed(place!, edits, signal),
  );
  const section = useShownWhenMore(view.edits.length);
  return (
    <Panel
      id="changes" title="Changes" answer={answer} asked={asked} sectionRef={section}
      above={
        <>
          <p class="hidden" role="status">{asked && answer.fresh ? told(answer.value) : ""}</p>
          <Edits page={page} />
          <PatchForm page={page} />
        </>
      }
    >
      {(changed) => view.edits.length > 0 && <Comparison changed={changed} />}
    </Panel>
  );
}

/** For those who hear the page. */
function told(changed: Changed | null): string {
  const [likeliest] = changed?.tokens.toSorted((one, other) => other.after - one.after) ?? [];
  if (likeliest === undefined) return "";
  return `After changes: ${plainToken(likeliest.text)}, ${percent(likeliest.after)}`;
}

/** Brings the section into sight when an edit was added. */
function useShownWhenMore(count: number) {
  const section = useRef<HTMLElement>(null);
  const before = useRef(count);
  useEffect(() => {
    if (count > before.current) section.current?.scrollIntoView({ block: "nearest" });
    before.current = count;
  }, [count]);
  return section;
}

function Edits({ page }: { page: Page }) {
  const { edits } = page.view;
  const clear = () => {
    page.go({ edits: [] });
    focusTitle("changes");
  };
  if (edits.length === 0) {
    return <p class="quiet">None yet: ablate a neuron, or patch a token’s gates.</p>;
  }
  return (
    <ul class="chips">
      {edits.map((edit, index) => (
        <EditChip key={index} page={page} edit={edit} index={index} />
      ))}
      <li>
        <button type="button" data-testid="clear" onClick={clear}>Remove all</button>
      </li>
    </ul>
  );
}

function Comparison({ changed }: { changed: Changed }) {
  const before = changed.tokens.map((token) => token.before);
  const after = changed.tokens.map((token) => token.after);
  const { nats, kl } = changed;
  return (
    <>
      <table class="bars" data-testid="comparison">
        <caption>
          The next token: <span class="swatch before" aria-hidden="true" />before,{" "}
          <span class="swatch after" aria-hidden="true" />after
        </caption>
        <thead>
          <tr>
            <th scope="col">token</th>
            <th scope="col" colSpan={2}>before</th>
            <th scope="col">after</th>
          </tr>
        </thead>
        <tbody>
          {changed.tokens.map((token, row) => (
            <tr key={row} data-testid={`changed-${row}`}>
              <th scope="row"><Token text={token.text} /></th>
              <td class="number">{percent(token.before)}</td>
              {row === 0 && (
                <td rowSpan={changed.tokens.length} class="drawn">
                  <Bars
                    series={[
                      { values: before, fill: "var(--other)" },
                      { values: after, fill: "var(--positive)" },
                    ]}
                    domain={domainOf([...before, ...after])} width={150}
                  />
                </td>
              )}
              <td class="number">{percent(token.after)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <dl class="facts">
        <div><dt>KL, before ‖ after</dt><dd class="number">{decimal(kl, 3)} nats</dd></div>
        <div>
          <dt>mean loss of the sentence</dt>
          <dd class="number">
            {decimal(nats.before, 3)} → {decimal(nats.after, 3)} nats (
            {signed(nats.after - nats.before, 3)})
          </dd>
        </div>
      </dl>
    </>
  );
}
