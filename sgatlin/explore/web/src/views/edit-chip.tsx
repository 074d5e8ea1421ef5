// SPDX-License-Identifier: Apache-2.0
import { useEffect, useState } from "preact/hooks";

import { type AddressEdit, isFactor, neuronName, type PatchSource } from "../address";
import { changeFactor, removeEdit, scopeName } from "../edits";
import { nameOf, plainToken } from "../format";
import type { Page } from "../view";
import { NeuronButton } from "./neuron-button";
import { focusTitle } from "./panel";

interface EditChipProps {
  page: Page;
  edit: AddressEdit;
  index: number;
}

/** An edit that can be removed; of a scaled neuron, with its factor. */
export function EditChip({ page, edit, index }: EditChipProps) {
  const name = edit.kind === "scale" ? neuronName(edit) : patchName(page, edit);
  const remove = () => {
    removeEdit(page, index);
    focusTitle("changes");
  };
  return (
    <li class="chip" data-testid={`edit-${index}`}>
      {edit.kind === "scale" ? (
        <>
          <NeuronButton page={page} id={edit} /> ×{" "}
          <Factor
            name={name} factor={edit.factor}
            onChange={(factor) => changeFactor(page, index, factor)}
          />
        </>
      ) : name}
      <button
        type="button" class="remove" data-testid={`edit-${index}-remove`}
        aria-label={`remove ${name}`} title="remove"
        onClick={remove}
      >
        ×
      </button>
    </li>
  );
}

interface FactorProps {
  name: string;
  factor: number;
  onChange: (factor: number) => void;
}

/** What is typed stays as it is typed, while it stands for the same number. */
function Factor({ name, factor, onChange }: FactorProps) {
  const [draft, setDraft] = useState(String(factor));
  useEffect(() => {
    if (Number(draft) !== factor) setDraft(String(factor));
  }, [factor]);
  return (
    <input
      type="number" step="0.25" class="factor" data-testid={`factor-${name}`}
      aria-label={`factor of neuron ${name}`} title="0 leaves the neuron out"
      value={draft}
      onInput={(event) => {
        const typed = event.currentTarget.value;
        setDraft(typed);
        if (typed !== "" && isFactor(Number(typed))) onChange(Number(typed));
      }}
      onBlur={() => setDraft(String(factor))}
    />
  );
}

function patchName(page: Page, edit: Extract<AddressEdit, { kind: "patch" }>): string {
  const to = tokenName(page, edit.to);
  return `${to} ← ${sourceName(page, edit.from)} · ${scopeName(edit.layers, edit.channels)}`;
}

function sourceName(page: Page, from: PatchSource): string {
  if ("row" in from) return `recorded position ${from.row}`;
  if ("here" in from) return tokenName(page, from.here);
  return `token ${from.position} of ${nameOf(from.of)}`;
}

function tokenName({ sentence }: Page, position: number): string {
  const text = sentence?.tokens[position]?.text;
  return text === undefined ? `token ${position}` : `${position} ${plainToken(text)}`;
}
