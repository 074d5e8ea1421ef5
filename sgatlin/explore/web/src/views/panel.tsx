// SPDX-License-Identifier: Apache-2.0
import type { ComponentChildren, Ref } from "preact";

import type { Answer } from "../answers";

interface PanelProps<T> {
  id: string;
  title: ComponentChildren;
  answer: Answer<T>;
  /** Whether an answer is awaited. */
  asked: boolean;
  /** Beside the title. */
  aside?: ComponentChildren;
  /** Above the answer, whatever it is. */
  above?: ComponentChildren;
  sectionRef?: Ref<HTMLElement>;
  children: (value: T) => ComponentChildren;
}

/** For when what had the focus goes away. */
export function focusTitle(id: string): void {
  requestAnimationFrame(() => document.getElementById(`${id}-title`)?.focus());
}

/** A section that shows an answer, the one before while the next is awaited, or what went wrong. */
export function Panel<T>(props: PanelProps<T>) {
  const { id, title, answer, asked, aside, above, sectionRef, children } = props;
  const awaited = asked && !answer.fresh;
  return (
    <section
      class="panel"
      data-testid={id}
      aria-labelledby={`${id}-title`}
      aria-busy={awaited}
      ref={sectionRef ?? null}
    >
      <header class="panel-head">
        <h2 id={`${id}-title`} tabIndex={-1}>{title}</h2>
        {aside}
      </header>
      {above}
      {answer.error !== null && <p class="error" role="status">{answer.error}</p>}
      {answer.value !== null && children(answer.value)}
      {answer.value === null && awaited && <p class="quiet">…</p>}
    </section>
  );
}
