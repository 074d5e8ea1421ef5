// SPDX-License-Identifier: Apache-2.0
import { useAnswer } from "../answers";
import { decimal, percent, plainToken, signed } from "../format";
import type { Logits, TokenLogit } from "../types";
import type { Page } from "../view";
import { Bars, domainOf } from "./bars";
import { Stack } from "./stack";
import { NeuronButton } from "./neuron-button";
import { Panel } from "./panel";
import { Token } from "./text";

/** The likeliest next tokens, and what the logit of one of them is the sum of. */
export function LogitsPanel({ page }: { page: Page }) {
  const { place, source } = page;
  const answer = useAnswer(
    place && JSON.stringify(place),
    (signal) => source.logits(place!, signal),
  );
  return (
    <Panel id="logits" title="Next token" answer={answer} asked={place !== null}>
      {(logits) => {
        const next = Math.min(page.view.next, logits.tokens.length - 1);
        const chosen = logits.tokens[next];
        return (
          <>
            <Likeliest page={page} logits={logits} next={next} />
            {chosen && <Contributions page={page} token={chosen} error={logits.error} />}
          </>
        );
      }}
    </Panel>
  );
}

interface LikeliestProps {
  page: Page;
  logits: Logits;
  next: number;
}

function Likeliest({ page, logits, next }: LikeliestProps) {
  const probabilities = logits.tokens.map(({ probability }) => probability);
  return (
    <table class="bars">
      <thead>
        <tr>
          <th scope="col">token</th>
          <th scope="col" colSpan={2}>probability</th>
          <th scope="col">logit</th>
        </tr>
      </thead>
      <tbody>
        {logits.tokens.map(({ text, probability, logit }, row) => (
          <tr key={row} data-testid={`next-${row}`}>
            <th scope="row">
              <button
                type="button" class="word" aria-pressed={row === next}
                aria-label={`${plainToken(text)}: what its logit is the sum of`}
                onClick={() => page.go({ next: row })}
              >
                <Token text={text} />
              </button>
            </th>
            <td class="number">{percent(probability)}</td>
            {row === 0 && (
              <td rowSpan={logits.tokens.length} class="drawn">
                <Bars
                  series={[{ values: probabilities, fill: "var(--positive)" }]}
                  domain={domainOf(probabilities)} width={180}
                />
              </td>
            )}
            <td class="number">{decimal(logit)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

interface ContributionsProps {
  page: Page;
  token: TokenLogit;
  error: number;
}

function Contributions({ page, token, error }: ContributionsProps) {
  return (
    <>
      <h3>What the logit of <Token text={token.text} /> is the sum of</h3>
      <Stack token={token} />
      <p class="quiet">
        The sums are exact but for rounding: off by {error.toExponential(0)} of their terms’
        magnitudes.
      </p>
      <TopNeurons page={page} token={token} />
    </>
  );
}

function TopNeurons({ page, token }: { page: Page; token: TokenLogit }) {
  const contributions = token.top.map(({ contribution }) => contribution);
  return (
    <table class="bars" data-testid="top-neurons">
      <caption>Neurons that matter most to it</caption>
      <thead>
        <tr>
          <th scope="col">neuron</th>
          <th scope="col">score</th>
          <th scope="col">z</th>
          <th scope="col" colSpan={2}>adds</th>
          <th scope="col"><abbr title="of the magnitudes of all terms">share</abbr></th>
        </tr>
      </thead>
      <tbody>
        {token.top.map((neuron, row) => (
          <tr key={row}>
            <th scope="row"><NeuronButton page={page} id={neuron} /></th>
            <td class="number">{decimal(neuron.score)}</td>
            <td class="number">{decimal(neuron.z)}</td>
            <td class="number">{signed(neuron.contribution, 3)}</td>
            {row === 0 && (
              <td rowSpan={token.top.length} class="drawn">
                <Bars
                  series={[{ values: contributions }]} domain={domainOf(contributions)} width={72}
                />
              </td>
            )}
            <td class="number">{percent(neuron.share)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
