// SPDX-License-Identifier: Apache-2.0
import { useEffect, useRef } from "preact/hooks";

import { sameOf } from "../address";
import type { Answer } from "../answers";
import { decimal, plainToken } from "../format";
import type { Measure, Place, Sentence, Values } from "../types";
import { type Page, valuesOf } from "../view";
import { Choices } from "./choices";
import { Panel } from "./panel";
import { Token } from "./text";

/** The sentence's tokens, coloured by a measure; one of them is chosen. */
export function TokensPanel({ page, answer }: { page: Page; answer: Answer<Sentence> }) {
  const { measure, layer } = page.view;
  return (
    <Panel
      id="tokens" title="Tokens" answer={answer} asked={true} above={<Choices page={page} />}
    >
      {(sentence) => {
        const values = measure ? valuesOf(sentence, measure, layer) : [];
        return (
          <>
            {measure && <Legend measure={measure} range={rangeOf(values)} />}
            <TokenGroup page={page} sentence={sentence} values={values} />
            {page.place && <Chosen page={page} sentence={sentence} place={page.place} />}
          </>
        );
      }}
    </Panel>
  );
}

type Range = [number, number] | null;

function rangeOf(values: Values): Range {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : [Math.min(...known), Math.max(...known)];
}

function Legend({ measure, range }: { measure: Measure; range: Range }) {
  if (range === null) return null;
  return (
    <p class="legend">
      <span>{measure.name}</span>
      <span class="number">{decimal(range[0])}</span>
      <span class="ramp" aria-hidden="true" />
      <span class="number">{withUnit(range[1], measure.unit)}</span>
    </p>
  );
}

interface GroupProps {
  page: Page;
  sentence: Sentence;
  values: Values;
}

function TokenGroup({ page, sentence, values }: GroupProps) {
  const { view, place, go, model } = page;
  const { measure } = view;
  const group = useRef<HTMLDivElement>(null);
  const chosen = place?.position ?? null;
  const range = rangeOf(values);
  useEffect(() => {
    // Whoever moves by keys stays on the token that is chosen.
    if (!group.current?.contains(document.activeElement)) return;
    group.current.querySelector<HTMLElement>("[tabindex='0']")?.focus();
  }, [chosen]);
  const onKeyDown = (event: KeyboardEvent) => {
    if (chosen === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = stepOf(event.key, chosen, view.layer, sentence.tokens.length, model.layers);
    if (step === null) return;
    event.preventDefault();
    go(step, event.repeat ? "replace" : "push");
  };
  return (
    <div
      class="tokens" role="group" aria-label="Tokens: arrow keys choose token and layer"
      ref={group} onKeyDown={onKeyDown}
    >
      {sentence.tokens.map((token, position) => {
        if (token.start) return <span key={position} class="start" title="beginning">⊢</span>;
        const value = values[position] ?? null;
        return (
          <TokenButton
            key={position}
            text={token.text}
            position={position}
            told={value === null || measure === null ? null : told(value, measure)}
            level={value === null || range === null ? null : levelOf(value, range)}
            isChosen={position === chosen}
            isTabStop={position === (chosen ?? 1)}
            onChoose={() => go({ position })}
          />
        );
      })}
    </div>
  );
}

interface TokenButtonProps {
  text: string;
  position: number;
  told: string | null;
  level: number | null;
  isChosen: boolean;
  isTabStop: boolean;
  onChoose: () => void;
}

function TokenButton(props: TokenButtonProps) {
  const { text, position, told, level, isChosen, isTabStop, onChoose } = props;
  const line = `${plainToken(text)}, token ${position}${told === null ? "" : `, ${told}`}`;
  return (
    <>
      <button
        type="button"
        class={level === null ? "token" : "token measured"}
        data-testid={`token-${position}`}
        style={level === null ? {} : { "--level": `${level.toFixed(1)}%` }}
        tabIndex={isTabStop ? 0 : -1}
        aria-pressed={isChosen}
        aria-label={line}
        title={line}
        onClick={onChoose}
      >
        <Token text={text} />
      </button>
      {text.includes("\n") && <br />}
    </>
  );
}

/** Where a key leads; null for keys that lead nowhere. */
function stepOf(key: string, position: number, layer: number, tokens: number, layers: number) {
  switch (key) {
    case "ArrowLeft": return { position: Math.max(1, position - 1) };
    case "ArrowRight": return { position: Math.min(tokens - 1, position + 1) };
    case "Home": return { position: 1 };
    case "End": return { position: tokens - 1 };
    case "ArrowUp": return { layer: Math.min(layers - 1, layer + 1) };
    case "ArrowDown": return { layer: Math.max(0, layer - 1) };
    default: return null;
  }
}

/** In percent of the scale. */
function levelOf(value: number, [low, high]: [number, number]): number {
  return high > low ? (100 * (value - low)) / (high - low) : 50;
}

function told(value: number, { name, unit }: Measure): string {
  return `${name} ${withUnit(value, unit)}`;
}

function withUnit(value: number, unit: string): string {
  return unit === "" ? decimal(value) : `${decimal(value)} ${unit}`;
}

interface ChosenProps {
  page: Page;
  sentence: Sentence;
  place: Place;
}

/** The numbers of the chosen token. */
function Chosen({ page, sentence, place }: ChosenProps) {
  const { model, view, go, source } = page;
  const { kept } = view;
  const isKept = kept?.position === place.position && sameOf(kept.of, place.of);
  return (
    <div class="chosen" data-testid="chosen">
      <h3>Token {place.position} <Token text={sentence.tokens[place.position]?.text ?? ""} /></h3>
      <dl class="facts">
        {model.measures.map((measure) => {
          const value = valuesOf(sentence, measure, view.layer)[place.position] ?? null;
          return (
            <div key={measure.id}>
              <dt>{measure.name}{measure.by_layer && `, layer ${view.layer}`}</dt>
              <dd class="number">{value === null ? "–" : withUnit(value, measure.unit)}</dd>
            </div>
          );
        })}
      </dl>
      {source.live && (
        <button
          type="button" data-testid="keep" aria-pressed={isKept}
          title="Keeps this token, so that other sentences’ tokens can be patched from it"
          onClick={() => go({ kept: isKept ? null : place })}
        >
          {isKept ? "Kept for patches" : "Keep for patches"}
        </button>
      )}
    </div>
  );
}
