// SPDX-License-Identifier: Apache-2.0
import { render } from "preact";

import { App } from "./app";
import { liveSource } from "./live";
import { readReport, reportSource } from "./report";
import "./styles.css";
import type { ReportData } from "./types";

declare global {
  interface Window {
    EXPLORER_DATA?: ReportData;
  }
}

async function start(root: HTMLElement): Promise<void> {
  const data = await readReport();
  const source = data === null ? liveSource() : reportSource(data);
  root.replaceChildren();
  render(<App source={source} />, root);
}

const root = document.getElementById("app");
if (root !== null) {
  start(root).catch((error: unknown) => root.replaceChildren(`This page is damaged: ${error}`));
}
