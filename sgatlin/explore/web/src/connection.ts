// SPDX-License-Identifier: Apache-2.0
// Whether the server answers, and how often one asked to try again.
import { useEffect, useState } from "preact/hooks";

interface Connection {
  gone: boolean;
  round: number;
}

let connection: Connection = { gone: false, round: 0 };
const listeners = new Set<(connection: Connection) => void>();

export function setGone(gone: boolean): void {
  if (gone !== connection.gone) set({ ...connection, gone });
}

/** All that has failed is asked again. */
export function tryAgain(): void {
  set({ ...connection, round: connection.round + 1 });
}

export function useConnection(): Connection {
  const [seen, setSeen] = useState(connection);
  useEffect(() => {
    listeners.add(setSeen);
    setSeen(connection);
    return () => void listeners.delete(setSeen);
  }, []);
  return seen;
}

function set(next: Connection): void {
  connection = next;
  for (const listener of listeners) listener(next);
}
