// SPDX-License-Identifier: Apache-2.0
import { useAnswer } from "../answers";
import { decimal, signed } from "../format";
import type { Gate, Gates } from "../types";
import type { Page } from "../view";
import { Bars, domainOf } from "./bars";
import { NeuronButton } from "./neuron-button";
import { Panel } from "./panel";
import { Token } from "./text";

/** The chosen neurons of each channel, with their scores. */
export function GatesPanel({ page }: { page: Page }) {
  const { place, source, view } = page;
  const { layer } = view;
  const answer = useAnswer(
    place && JSON.stringify([place, layer]),
    async (signal) => ({ layer, gates: await source.gates(place!, layer, signal) }),
  );
  return (
    <Panel
      id="gates" title={`Gates in layer ${view.layer}`} answer={answer} asked={place !== null}
    >
      {({ layer, gates }) => (
        <>
          <p class="quiet">
            What each neuron adds to the logit of the likeliest next token,{" "}
            <Token text={gates.target} />, is beside its score.
          </p>
          <Channels page={page} layer={layer} gates={gates} />
        </>
      )}
    </Panel>
  );
}

interface ChannelsProps {
  page: Page;
  /** Of the answer, which may be the one before. */
  layer: number;
  gates: Gates;
}

function Channels({ page, layer, gates }: ChannelsProps) {
  const { channel } = page.view;
  const domain = domainOf(gates.channels.flat().map(({ score }) => score));
  const all = gates.channels.map((gates, index) => ({ gates, index }));
  const shown = all.filter(({ index }) => channel === null || index === channel);
  return (
    <div class="channels">
      {shown.map(({ gates, index }) => (
        <table key={index} class="bars" data-testid={`gates-${index}`}>
          <caption>Channel {index}</caption>
          <thead>
            <tr>
              <th scope="col">neuron</th>
              <th scope="col" colSpan={2}>score</th>
              <th scope="col"><abbr title="contribution to the logit">adds</abbr></th>
            </tr>
          </thead>
          <tbody>
            {gates.map((gate, row) => (
              <tr key={gate.neuron} title={details(gate)}>
                <th scope="row">
                  <NeuronButton page={page} id={{ layer, channel: index, ...gate }} brief />
                </th>
                <td class="number">{decimal(gate.score)}</td>
                {row === 0 && <ScoreBars gates={gates} domain={domain} />}
                <td class="number">{signed(gate.contribution, 3)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ))}
    </div>
  );
}

function ScoreBars({ gates, domain }: { gates: Gate[]; domain: [number, number] }) {
  return (
    <td rowSpan={gates.length} class="drawn">
      <Bars series={[{ values: gates.map(({ score }) => score) }]} domain={domain} width={100} />
    </td>
  );
}

function details({ score, z, coefficient }: Gate): string {
  return `score ${decimal(score, 3)} × z ${decimal(z, 3)} = ${decimal(coefficient, 3)}`;
}
