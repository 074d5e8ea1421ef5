// SPDX-License-Identifier: Apache-2.0
import { useEffect, useRef } from "preact/hooks";

import { neuronName } from "../address";
import { useAnswer } from "../answers";
import { isFull, scaleNeuron } from "../edits";
import { percent, whole } from "../format";
import type { Neuron, NeuronId } from "../types";
import type { Page } from "../view";
import { Contexts } from "./contexts";
import { focusTitle, Panel } from "./panel";
import { Token } from "./text";

/** A neuron: how often it is chosen, what it writes, and where its score is highest. */
export function NeuronPanel({ page }: { page: Page }) {
  const { source, view, go } = page;
  const id = view.neuron;
  const name = id && neuronName(id);
  const answer = useAnswer(name, (signal) => source.neuron(id!, signal));
  const section = useShownWhenNew(name);
  const close = () => {
    go({ neuron: null });
    focusTitle("neuron");
  };
  if (id === null) return <Unchosen />;
  return (
    <Panel
      id="neuron" title={`Neuron ${name}`} answer={answer} asked={true} sectionRef={section}
      aside={
        <button type="button" data-testid="neuron-close" onClick={close}>Close</button>
      }
      above={source.live && <ScaleButtons page={page} id={id} />}
    >
      {(neuron) => answer.fresh && <Told page={page} neuron={neuron} />}
    </Panel>
  );
}

function Unchosen() {
  return (
    <section class="panel" data-testid="neuron" aria-labelledby="neuron-title">
      <header class="panel-head"><h2 id="neuron-title" tabIndex={-1}>Neuron</h2></header>
      <p class="quiet">Choose a neuron’s number to see what it does.</p>
    </section>
  );
}

/** Brings the section into sight when another neuron is chosen, but not when the page opens. */
function useShownWhenNew(name: string | null) {
  const section = useRef<HTMLElement>(null);
  const shown = useRef(name);
  useEffect(() => {
    if (name !== null && name !== shown.current) {
      section.current?.scrollIntoView({ block: "nearest" });
    }
    shown.current = name;
  }, [name]);
  return section;
}

function ScaleButtons({ page, id }: { page: Page; id: NeuronId }) {
  const full = isFull(page);
  return (
    <p class="row">
      <button
        type="button" data-testid="ablate" disabled={full}
        onClick={() => scaleNeuron(page, id, 0)}
      >
        Ablate
      </button>
      <button
        type="button" data-testid="double" disabled={full}
        onClick={() => scaleNeuron(page, id, 2)}
      >
        Double
      </button>
      <span class="quiet">Other factors can be set under Changes.</span>
    </p>
  );
}

function Told({ page, neuron }: { page: Page; neuron: Neuron }) {
  const { used, uniform, rank, raises, lowers, contexts } = neuron;
  return (
    <>
      <dl class="facts">
        <div><dt>used at</dt><dd class="number">{percent(used)} of positions</dd></div>
        <div><dt>if all were alike</dt><dd class="number">{percent(uniform)}</dd></div>
        <div><dt>rank in its channel</dt><dd class="number">{whole(rank)}</dd></div>
      </dl>
      <dl class="words">
        <dt>raises</dt><dd><Words words={raises} /></dd>
        <dt>lowers</dt><dd><Words words={lowers} /></dd>
      </dl>
      <p class="quiet">
        By its output weights, where its coefficient is positive; where that is negative, the other
        way round.
      </p>
      <Contexts
        page={page} name="context" caption="Where its score is highest"
        numberName="score" numberOf={({ score }) => score} contexts={contexts}
      />
    </>
  );
}

function Words({ words }: { words: string[] }) {
  return (
    <ul class="word-list">
      {words.map((word, index) => <li key={index}><Token text={word} /></li>)}
    </ul>
  );
}
