// SPDX-License-Identifier: Apache-2.0
import { whole } from "../format";
import type { Model } from "../types";
import { Help } from "./help";
import { Share } from "./share";
import { ThemeChoice } from "./theme";

export function Header({ model }: { model: Model | null }) {
  return (
    <header class="top">
      <h1>sgatlin explorer</h1>
      {model !== null && <p class="about">{about(model)}</p>}
      <div class="tools">
        <ThemeChoice />
        <Share live={model?.live ?? false} />
      </div>
      <Help live={model?.live ?? false} />
    </header>
  );
}

function about(model: Model): string {
  const { run, layers, channels, neurons, top_k, positions } = model;
  const size = `${layers} layers × ${channels} channels × ${whole(neurons)} neurons, top ${top_k}`;
  return `${run} · ${size} · ${whole(positions)} recorded positions`;
}
