// SPDX-License-Identifier: Apache-2.0
// The licences of the packages that the bundle holds, at its head: it is copied into reports.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import type { Plugin } from "vite";

/** A package of the bundle. */
interface Package {
  name: string;
  copyright: string;
  terms: string;
}

export function withLicenses(): Plugin {
  return {
    name: "licenses",
    generateBundle(_options, bundle) {
      for (const file of Object.values(bundle)) {
        if (file.type === "chunk") file.code = notice(Object.keys(file.modules)) + file.code;
        else if (file.fileName.endsWith(".css")) file.source = `/* ${SPDX} */\n${file.source}`;
      }
    },
  };
}

const SPDX = "SPDX-License-Identifier: Apache-2.0";

function notice(modules: string[]): string {
  const byTerms = new Map<string, string[]>();
  for (const { name, copyright, terms } of packagesOf(modules)) {
    byTerms.set(terms, [...(byTerms.get(terms) ?? []), `${name}: ${copyright}`]);
  }
  const groups = [...byTerms].map(([terms, names]) => `${names.join("\n")}\n\n${terms}`);
  const text = [`${SPDX}\n\nThis bundle holds these packages, under their licences.`, ...groups];
  return `/*!\n${text.join("\n\n").replaceAll("*/", "* /")}\n*/\n`;
}

function packagesOf(modules: string[]): Package[] {
  const folders = modules.flatMap((id) => {
    const found = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id.replace(/^\0/, ""));
    return found ? [found[0]] : [];
  });
  return [...new Set(folders)].sort().map(readPackage);
}

function readPackage(folder: string): Package {
  const name = folder.slice(folder.lastIndexOf("/node_modules/") + "/node_modules/".length);
  const file = readdirSync(folder).find((entry) => /^licen[sc]e/i.test(entry));
  if (file === undefined) throw new Error(`${name} tells no licence`);
  const lines = readFileSync(join(folder, file), "utf8").replaceAll("\r", "").trim().split("\n");
  const isCopyright = (line: string) => /^\s*Copyright (\([cC]\) )?\S*\d{4}/.test(line);
  return {
    name,
    copyright: lines.filter(isCopyright).map((line) => line.trim()).join("; "),
    terms: lines.filter((line) => !isCopyright(line)).join("\n").replace(/\n{3,}/g, "\n\n").trim(),
  };
}
