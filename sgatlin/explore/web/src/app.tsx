// SPDX-License-Identifier: Apache-2.0
import { useEffect, useMemo } from "preact/hooks";

import { useAnswer } from "./answers";
import { tryAgain, useConnection } from "./connection";
import { plainToken, percent } from "./format";
import { type Go, useAddress } from "./navigation";
import type { Source } from "./source";
import type { Model } from "./types";
import { type Page, settle, settlePosition } from "./view";
import { ChangesPanel } from "./views/changes";
import { GatesPanel } from "./views/gates";
import { Header } from "./views/header";
import { LogitsPanel } from "./views/logits";
import { MapPanel } from "./views/map";
import { NearPanel } from "./views/near";
import { NeuronPanel } from "./views/neuron";
import { SentencePanel } from "./views/sentence";
import { TokensPanel } from "./views/tokens";

export function App({ source }: { source: Source }) {
  const model = useAnswer("model", (signal) => source.model(signal));
  return (
    <>
      <Header model={model.value} />
      {source.live && <Gone />}
      {model.error !== null && <p class="error" role="alert">{model.error}</p>}
      {model.value !== null && <Explorer source={source} model={model.value} />}
      {model.value === null && <main aria-busy={model.error === null} />}
    </>
  );
}

function Explorer({ source, model }: { source: Source; model: Model }) {
  const [address, goFrom] = useAddress();
  const view = useMemo(() => settle(address, model, source), [address, model, source]);
  const read = useAnswer(JSON.stringify(view.of), (signal) => source.text(view.of, signal));
  const sentence = read.value;
  const tokens = read.fresh ? (sentence?.tokens.length ?? 0) : 0;
  const position = settlePosition(address.position, tokens);
  const place = position === null ? null : { of: view.of, position };
  const go: Go = (change, how) => {
    const { of, layer, measure } = view;
    goFrom({ of, layer, measure: measure?.id ?? null, position }, change, how);
  };
  useEffect(() => {
    // What was left open is told by the address, too: it can be shared as it stands.
    if (place !== null) go({}, "replace");
  }, [address, position]);
  const page: Page = { source, model, view, place, sentence, go };
  return (
    <main>
      <p class="hidden" role="status">{summary(page)}</p>
      <div class="column">
        <SentencePanel page={page} answer={read} />
        <TokensPanel page={page} answer={read} />
        <GatesPanel page={page} />
        <LogitsPanel page={page} />
      </div>
      <div class="column aside">
        <NearPanel page={page} />
        <MapPanel page={page} />
        <NeuronPanel page={page} />
        {source.live && <ChangesPanel page={page} />}
      </div>
    </main>
  );
}

/** The server is gone, and what can be done. */
function Gone() {
  const { gone } = useConnection();
  return (
    <div class="alerts" role="alert">
      {gone && (
        <p class="gone">
          The server does not answer. Where <code>sgatlin explore</code> has ended, start it again
          and open the address that it prints.{" "}
          <button type="button" onClick={tryAgain}>Try again</button>
        </p>
      )}
    </div>
  );
}

/** What has been chosen, for those who hear the page. */
function summary({ place, sentence, view }: Page): string {
  if (place === null || sentence === null) return "";
  const token = plainToken(sentence.tokens[place.position]?.text ?? "");
  const next = sentence.predictions[place.position]?.[0];
  const guess = next ? `; next ${plainToken(next.text)}, ${percent(next.probability)}` : "";
  return `Token ${place.position}, ${token}, layer ${view.layer}${guess}`;
}
