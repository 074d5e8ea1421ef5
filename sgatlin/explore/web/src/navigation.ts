// SPDX-License-Identifier: Apache-2.0
// The address's hash is where the state lives: going somewhere writes it, back and forward read it.
import { useCallback, useEffect, useState } from "preact/hooks";

import { type Address, formatAddress, parseAddress } from "./address";

/** Changes some of the state; "replace" leaves no step to go back to. */
export type Go = (change: Partial<Address>, how?: "push" | "replace") => void;

/** `settled` gives what the address leaves open, so that it tells all once one goes somewhere. */
export type GoFrom = (
  settled: Partial<Address>, change: Partial<Address>, how?: "push" | "replace",
) => void;

export function useAddress(): [Address, GoFrom] {
  const [address, setAddress] = useState(readAddress);
  useEffect(() => {
    const read = () => setAddress(readAddress());
    window.addEventListener("popstate", read);
    window.addEventListener("hashchange", read);
    return () => {
      window.removeEventListener("popstate", read);
      window.removeEventListener("hashchange", read);
    };
  }, []);
  const go = useCallback<GoFrom>((settled, change, how = "push") => {
    const next = { ...filled(readAddress(), settled), ...change };
    const hash = `#${formatAddress(next)}`;
    if (hash === window.location.hash) return;
    writeHash(hash, how);
    setAddress(next);
  }, []);
  return [address, go];
}

function filled(address: Address, settled: Partial<Address>): Address {
  const open = Object.entries(settled).filter(([name]) => address[name as keyof Address] === null);
  return { ...address, ...Object.fromEntries(open) };
}

function readAddress(): Address {
  return parseAddress(window.location.hash);
}

function writeHash(hash: string, how: "push" | "replace"): void {
  try {
    if (how === "push") window.history.pushState(null, "", hash);
    else window.history.replaceState(null, "", hash);
  } catch {
    // Browsers bound how often a page may do so.
    window.location.hash = hash;
  }
}
