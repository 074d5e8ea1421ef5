// SPDX-License-Identifier: Apache-2.0
import { useEffect, useRef, useState } from "preact/hooks";

import { sameOf } from "../address";
import type { Answer } from "../answers";
import { tryAgain } from "../connection";
import { beginning } from "../format";
import type { Of, Sentence } from "../types";
import type { Page } from "../view";

/** Where a sentence is typed or chosen. */
export function SentencePanel({ page, answer }: { page: Page; answer: Answer<Sentence> }) {
  const { source } = page;
  const read = (of: Of) => {
    const edits = page.view.edits.filter(({ kind }) => kind === "scale");
    page.go({ of, position: null, edits });
  };
  return (
    <section class="panel" data-testid="sentence" aria-labelledby="sentence-title">
      <header class="panel-head">
        <h2 id="sentence-title">Sentence</h2>
        <Stories page={page} onChoose={read} />
      </header>
      {source.live && <Typed page={page} answer={answer} onRead={(text) => read({ text })} />}
    </section>
  );
}

interface TypedProps {
  page: Page;
  answer: Answer<Sentence>;
  onRead: (text: string) => void;
}

function Typed({ page, answer, onRead }: TypedProps) {
  const { of } = page.view;
  const told = "text" in of ? of.text : answer.fresh ? (answer.value?.text ?? "") : null;
  const [draft, setDraft] = useState(told ?? "");
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    if (told !== null) setDraft(told);
  }, [told]);
  useSlash(area);
  const read = () => {
    if (draft === told) tryAgain();
    else if (draft !== "") onRead(draft);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      read();
    } else if (event.key === "Escape") {
      leave(event.currentTarget as HTMLElement);
    }
  };
  return (
    <div class="typed">
      <label class="hidden" for="sentence-input">Sentence to read</label>
      <textarea
        id="sentence-input"
        data-testid="sentence-input"
        ref={area}
        rows={3}
        maxLength={20_000}
        spellcheck={false}
        value={draft}
        onInput={(event) => setDraft(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <button type="button" class="main" data-testid="read" onClick={read}>Read</button>
    </div>
  );
}

/** `/` goes to the sentence from wherever nothing is typed. */
function useSlash(area: { current: HTMLTextAreaElement | null }): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const typing = (event.target as Element).closest?.("input, textarea, select") != null;
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      area.current?.focus();
      area.current?.select();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
}

function leave(field: HTMLElement): void {
  const chosen = document.querySelector<HTMLElement>(".tokens [tabindex='0']");
  if (chosen) chosen.focus();
  else field.blur();
}

function Stories({ page, onChoose }: { page: Page; onChoose: (of: Of) => void }) {
  const { of } = page.view;
  const stories = page.model.stories.filter(({ sequence }) => page.source.hasText({ sequence }));
  const isListed = stories.some(({ sequence }) => sameOf(of, { sequence }));
  const typed = "text" in of ? "typed" : `story ${of.sequence}`;
  return (
    <label class="field story">
      <span>Recorded stories</span>
      <select
        data-testid="story"
        value={isListed && "sequence" in of ? String(of.sequence) : ""}
        onChange={(event) => {
          if (event.currentTarget.value !== "") {
            onChoose({ sequence: Number(event.currentTarget.value) });
          }
        }}
      >
        {!isListed && <option value="">{typed}</option>}
        {stories.map(({ sequence, text }) => (
          <option key={sequence} value={String(sequence)}>{sequence}: {beginning(text)}</option>
        ))}
      </select>
    </label>
  );
}
