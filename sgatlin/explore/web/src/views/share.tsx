// SPDX-License-Identifier: Apache-2.0
import { useEffect, useRef, useState } from "preact/hooks";

type State = "idle" | "copied" | "shown";

/** Copies the address of what is seen, or shows it, selected, where the page may not copy. */
export function Share({ live }: { live: boolean }) {
  const [state, setState] = useState<State>("idle");
  const copy = () => {
    const done = navigator.clipboard?.writeText(window.location.href) ?? Promise.reject();
    done.then(() => setState("copied"), () => setState("shown"));
  };
  useEffect(() => {
    if (state !== "copied") return;
    const timer = window.setTimeout(() => setState("idle"), 6000);
    return () => window.clearTimeout(timer);
  }, [state]);
  return (
    <div class="share">
      <button type="button" data-testid="share" onClick={copy}>Copy address</button>
      <span class="quiet" role="status">
        {state === "copied" && (live ? "Copied, with the server’s token" : "Copied")}
      </span>
      {state === "shown" && <Shown onDone={() => setState("idle")} />}
    </div>
  );
}

function Shown({ onDone }: { onDone: () => void }) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.select(), []);
  return (
    <input
      ref={input}
      type="text"
      readOnly
      aria-label="Address to copy"
      data-testid="share-address"
      value={window.location.href}
      onBlur={onDone}
    />
  );
}
