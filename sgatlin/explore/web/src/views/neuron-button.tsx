// SPDX-License-Identifier: Apache-2.0
import { neuronName } from "../address";
import type { NeuronId } from "../types";
import type { Page } from "../view";

interface NeuronButtonProps {
  page: Page;
  id: NeuronId;
  /** Its number alone, where layer and channel are told nearby. */
  brief?: boolean;
}

/** Opens a neuron; mere text where a report does not hold it. */
export function NeuronButton({ page, id, brief = false }: NeuronButtonProps) {
  const { layer, channel, neuron } = id;
  const text = brief ? String(neuron) : neuronName(id);
  if (!page.source.hasNeuron(id)) return <span class="number">{text}</span>;
  const chosen = page.view.neuron;
  return (
    <button
      type="button"
      class="neuron"
      data-testid={`neuron-${neuronName(id)}`}
      aria-label={`${text}: layer ${layer}, channel ${channel}, neuron ${neuron}`}
      aria-pressed={chosen !== null && neuronName(chosen) === neuronName(id)}
      onClick={() => page.go({ neuron: { layer, channel, neuron } })}
    >
      {text}
    </button>
  );
}
