// SPDX-License-Identifier: Apache-2.0
// Text of data: text nodes, with marks where white space matters.
import { percent, visible } from "../format";
import type { Context, Prediction } from "../types";

/** A token, with a thin mark under each blank at its ends. */
export function Token({ text }: { text: string }) {
  if (text === "") return <span class="token-text">∅</span>;
  const [, lead = "", middle = "", trail = ""] = /^( *)([^]*?)( *)$/.exec(text) ?? [];
  return (
    <span class="token-text">
      <Blanks count={lead.length} />
      {visible(middle)}
      <Blanks count={trail.length} />
    </span>
  );
}

function Blanks({ count }: { count: number }) {
  const blanks = Array.from({ length: count }, (_, index) => index);
  return <>{blanks.map((index) => <span key={index} class="blank"> </span>)}</>;
}

export function Excerpt({ before, token, after }: Pick<Context, "before" | "token" | "after">) {
  return (
    <span class="excerpt">
      {visible(before)}
      <mark><Token text={token} /></mark>
      {visible(after)}
    </span>
  );
}

/** On one line: the likeliest next tokens. */
export function Predictions({ predictions }: { predictions: Prediction[] }) {
  return (
    <span class="predictions">
      <span class="hidden">then: </span>
      <span aria-hidden="true">→ </span>
      {predictions.map(({ text, probability }, index) => (
        <span key={index} class="prediction">
          <Token text={text} /> <span class="number">{percent(probability)}</span>
        </span>
      ))}
    </span>
  );
}
