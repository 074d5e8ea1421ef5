// SPDX-License-Identifier: Apache-2.0
import type { ComponentChildren } from "preact";

import { isFull, patchFrom } from "../edits";
import { decimal } from "../format";
import type { Context } from "../types";
import type { Page } from "../view";
import { Excerpt, Predictions } from "./text";

interface ContextsProps<T extends Context> {
  page: Page;
  /** Of the rows, as in near-0. */
  name: string;
  caption: ComponentChildren;
  numberName: string;
  numberOf: (context: T) => number;
  contexts: T[];
}

/** Recorded positions with a number each; gates can be had from them, and they can be opened. */
export function Contexts<T extends Context>(props: ContextsProps<T>) {
  const { page, name, caption, numberName, numberOf, contexts } = props;
  return (
    <div class="scroller" role="group" aria-label={`${numberName} of contexts`}>
      <table class="contexts">
        <caption>{caption}</caption>
        <thead>
          <tr>
            <th scope="col">{numberName}</th>
            <th scope="col">context, and what the model expects there</th>
            <th scope="col"><span class="hidden">actions</span></th>
          </tr>
        </thead>
        <tbody>
          {contexts.map((context, index) => (
            <tr key={context.row} data-testid={`${name}-${index}`}>
              <td class="number">{decimal(numberOf(context), 3)}</td>
              <td>
                <Excerpt {...context} />
                <Predictions predictions={context.predictions} />
              </td>
              <td><Actions page={page} name={`${name}-${index}`} context={context} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface ActionsProps {
  page: Page;
  name: string;
  context: Context;
}

function Actions({ page, name, context }: ActionsProps) {
  const { source, place, go } = page;
  const { row, sequence, position } = context;
  const of = { sequence };
  const edits = page.view.edits.filter(({ kind }) => kind === "scale");
  return (
    <div class="actions">
      {source.live && (
        <button
          type="button" data-testid={`${name}-patch`} disabled={place === null || isFull(page)}
          aria-label={`patch from here: story ${sequence}, token ${position}`}
          title="Gives the chosen token the gates of this one"
          onClick={() => patchFrom(page, { row })}
        >
          patch from here
        </button>
      )}
      {source.hasText(of) && (
        <button
          type="button" data-testid={`${name}-open`}
          aria-label={`open story ${sequence} at token ${position}`}
          onClick={() => go({ of, position, edits })}
        >
          open
        </button>
      )}
    </div>
  );
}
