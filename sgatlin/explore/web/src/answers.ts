// SPDX-License-Identifier: Apache-2.0
// Answers to the question that the state asks now; those to questions of the past are dropped.
import { useEffect, useRef, useState } from "preact/hooks";

import { useConnection } from "./connection";

export interface Answer<T> {
  /** The latest one; of an earlier question until `fresh`. */
  value: T | null;
  fresh: boolean;
  error: string | null;
}

interface Told<T> {
  question: string;
  round: number;
  value: T | null;
  error: string | null;
}

/** Asks whenever the question is another one; null asks nothing. */
export function useAnswer<T>(
  question: string | null,
  ask: (signal: AbortSignal) => Promise<T>,
): Answer<T> {
  const [told, setTold] = useState<Told<T> | null>(null);
  const latest = useRef(ask);
  latest.current = ask;
  const { round } = useConnection();
  useEffect(() => {
    if (question === null) return;
    if (told?.question === question && told.error === null) return;
    const controller = new AbortController();
    const tell = (value: T | null, error: string | null) => {
      if (!controller.signal.aborted) setTold({ question, round, value, error });
    };
    latest.current(controller.signal).then(
      (value) => tell(value, null),
      (error: unknown) => tell(null, error instanceof Error ? error.message : String(error)),
    );
    return () => controller.abort();
  }, [question, round]);
  const fresh = told !== null && told.question === question;
  return { value: told?.value ?? null, fresh, error: fresh ? told.error : null };
}
