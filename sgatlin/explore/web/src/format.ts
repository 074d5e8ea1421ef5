// SPDX-License-Identifier: Apache-2.0
// Numbers and text as people read them.
import type { Of } from "./types";

const MINUS = "−";

/** With the digits asked for after the point, and a real minus. */
export function decimal(value: number, digits = 2): string {
  return value.toFixed(digits).replace(/^-(?=0(\.0*)?$)/, "").replace("-", MINUS);
}

export function signed(value: number, digits = 2): string {
  const text = decimal(value, digits);
  return value > 0 && /[1-9]/.test(text) ? `+${text}` : text;
}

export function percent(share: number): string {
  const value = 100 * share;
  if (value > 0 && value < 0.01) return "<0.01 %";
  return `${decimal(value, Math.abs(value) < 1 ? 2 : 1)} %`;
}

export function whole(value: number): string {
  return value.toLocaleString("en");
}

/** Characters that show nothing, or reorder what is around them. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Signs in the place of control characters, on one line. */
export function visible(text: string): string {
  return text.replace(/\r\n?|\n/g, "⏎").replace(/\t/g, "⇥").replace(UNSEEN, sign);
}

function sign(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "␡";
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

/** A token in plain text, where no mark can be drawn for its blank. */
export function plainToken(text: string): string {
  return visible(text).replace(/^ +| +$/g, (blanks) => "␣".repeat(blanks.length)) || "∅";
}

export function beginning(text: string, length = 60): string {
  const line = visible(text);
  return line.length > length ? `${line.slice(0, length).trimEnd()}…` : line;
}

export function nameOf(of: Of): string {
  return "text" in of ? `“${beginning(of.text, 24)}”` : `story ${of.sequence}`;
}
