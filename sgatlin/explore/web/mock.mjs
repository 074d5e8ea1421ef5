// SPDX-License-Identifier: Apache-2.0
// A server with made-up answers, to work on the page without a model: node mock.mjs [PORT].
// node mock.mjs report FILE writes a report of them instead.
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";

const STATIC = new URL("../static/", import.meta.url);
const TOKEN = "mock";
const [LAYERS, CHANNELS, NEURONS, TOP_K, POINTS] = [4, 8, 1024, 8, 2000];
const CLASSES = ["animal", "colour", "food", "person", "place", "verb", "number", "time"];
const WORDS = "the a turtle girl boy was slow happy red ran and to play with mom park . ,".split(" ");
const STORIES = [
  "Once upon a time there was a little turtle. The turtle was slow, and so was her mother.\n\n" +
    "One day a girl came to the park.",
  "Tom had a red ball. <b>He</b> ran & played with it until the sun went down.",
  "Lily saw a bird.\n\"Hello,\" she said.\tThe bird did not answer \u202e.",
];
const HEADERS = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'",
  "Cache-Control": "no-store",
};

/** Numbers from 0 to 1 that depend on `seed` alone. */
function random(seed) {
  let state = 2166136261;
  for (const character of JSON.stringify(seed)) {
    state = Math.imul(state ^ character.charCodeAt(0), 16777619);
  }
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const times = (count, make) => Array.from({ length: count }, (_, index) => make(index));
const textOf = (of) => of.text ?? STORIES[of.sequence % STORIES.length];
const tokensOf = (of) => ["", ...(textOf(of).match(/ ?[A-Za-z]+|\s|[^A-Za-z\s]/g) ?? [])];
const wordOf = (next) => ` ${WORDS[Math.floor(next() * WORDS.length)]}`;
const around = (next, size) => (next() - 0.5) * 2 * size;

function likely(next, count) {
  let rest = 1;
  return times(count, () => {
    const probability = rest * (0.2 + 0.5 * next());
    rest -= probability;
    return { text: wordOf(next), probability };
  });
}

function context(next) {
  const sequence = Math.floor(next() * STORIES.length);
  const tokens = tokensOf({ sequence });
  const position = 1 + Math.floor(next() * (tokens.length - 1));
  return {
    row: Math.floor(next() * 100123), sequence, position,
    before: tokens.slice(Math.max(0, position - 8), position).join(""),
    token: tokens[position],
    after: tokens.slice(position + 1, position + 5).join(""),
    predictions: likely(next, 3),
  };
}

const mapsAsked = new Map();

const answers = {
  model: () => ({
    run: "runs/story@3000", layers: LAYERS, channels: CHANNELS, neurons: NEURONS, top_k: TOP_K,
    context: 128, positions: 100123, live: true,
    stories: STORIES.map((text, sequence) => ({ sequence, text: text.slice(0, 60) })),
    measures: [
      { id: "nats", name: "loss of the token", unit: "nats", by_layer: false },
      { id: "entropy", name: "entropy of the prediction", unit: "nats", by_layer: false },
      { id: "norm", name: "strength of the circuit", unit: "", by_layer: true },
      { id: "rarity", name: "rarity of its neurons", unit: "bits", by_layer: true },
    ],
    classes: CLASSES,
    text: "Once upon a time there was a turtle. The turtle was slow.",
  }),
  text: ({ of }) => {
    const tokens = tokensOf(of);
    if (tokens.length > 128) throw new Error("a sentence has 128 tokens at most");
    const next = random(of);
    const values = (size) => tokens.map((_, position) => (position ? next() * size : null));
    return {
      text: textOf(of),
      tokens: tokens.map((text, position) => (position ? { text } : { text, start: true })),
      measures: {
        nats: values(6), entropy: values(4),
        norm: times(LAYERS, () => values(9)), rarity: times(LAYERS, () => values(12)),
      },
      predictions: tokens.map(() => likely(next, 5)),
    };
  },
  gates: ({ of, position, layer }) => {
    const next = random([of, position, layer]);
    const gate = (_, rank) => {
      const [score, z] = [around(next, 4) / (rank + 1), around(next, 2)];
      const [neuron, contribution] = [Math.floor(next() * NEURONS), around(next, 1)];
      return { neuron, score, z, coefficient: score * z, contribution };
    };
    return {
      target: wordOf(next),
      channels: times(CHANNELS, () => times(TOP_K, (rank) => gate(null, rank))),
    };
  },
  near: ({ of, position, layer, channel, k }) => {
    const next = random([of, position, layer, channel]);
    const distance = (rank) => 0.1 + 0.04 * rank + 0.01 * next();
    return { rows: times(k, (rank) => ({ ...context(next), distance: distance(rank) })) };
  },
  map: ({ layer }) => {
    const asked = (mapsAsked.get(layer) ?? 0) + 1;
    mapsAsked.set(layer, asked);
    if (asked < 3) return { state: "drawing" };
    const next = random(["map", layer]);
    const points = times(POINTS, () => {
      const group = Math.floor(next() ** 1.5 * 14);
      const angle = group * 2.4 + layer;
      return {
        x: 2 * Math.cos(angle) * Math.sqrt(group) + around(next, 1) + around(next, 1),
        y: 2 * Math.sin(angle) * Math.sqrt(group) + around(next, 1) + around(next, 1),
        class: CLASSES[group] ?? "", ...context(next),
      };
    });
    return {
      state: "done", x: points.map(({ x }) => x), y: points.map(({ y }) => y),
      row: points.map(({ row }) => row), token: points.map(({ token }) => token),
      class: points.map((point) => point.class),
      excerpt: points.map(({ before, token, after }) => before + token + after),
    };
  },
  place: ({ of, position, layer }) => {
    const next = random(["place", of, position, layer]);
    return { x: around(next, 6), y: around(next, 6) };
  },
  logits: ({ of, position }) => {
    const next = random([of, position]);
    const token = ({ text, probability }) => {
      const embedding = around(next, 1);
      const attention = times(LAYERS, () => around(next, 3));
      const neurons = times(LAYERS, () => 2 + around(next, 4));
      return {
        text, probability, embedding, attention, neurons,
        logit: [embedding, ...attention, ...neurons].reduce((sum, value) => sum + value, 0),
        top: times(12, (rank) => ({
          layer: Math.floor(next() * LAYERS), channel: Math.floor(next() * CHANNELS),
          neuron: Math.floor(next() * NEURONS), score: around(next, 4), z: around(next, 2),
          contribution: around(next, 2) / (1 + rank / 4), share: 0.08 / (rank + 1),
        })),
      };
    };
    return { tokens: likely(next, 5).map(token), error: 4e-7 };
  },
  neuron: ({ layer, channel, neuron }) => {
    const next = random([layer, channel, neuron]);
    return {
      used: next() ** 3 * 0.1, uniform: TOP_K / NEURONS, rank: 1 + Math.floor(next() * NEURONS),
      raises: times(8, () => wordOf(next)), lowers: times(8, () => wordOf(next)),
      contexts: times(10, (rank) => ({ ...context(next), score: 6 - rank / 3 })),
    };
  },
  changed: ({ of, position, edits }) => {
    const next = random([of, position, edits]);
    return {
      tokens: likely(next, 10).map(({ text, probability: before }) => ({
        text, before, after: 1.6 * next() * before,
      })),
      kl: next(), nats: { before: 2.1, after: 2.1 + next() },
    };
  },
};

async function serve(request, response) {
  const url = new URL(request.url, "http://127.0.0.1");
  const send = (status, type, body) => {
    response.writeHead(status, { "Content-Type": type, ...HEADERS });
    response.end(body);
  };
  const tell = (status, answer) => send(status, "application/json", JSON.stringify(answer));
  const asset = /^\/assets\/(explorer\.(?:js|css))$/.exec(url.pathname)?.[1];
  const file = (name) => readFileSync(new URL(name, STATIC));
  if (url.pathname === "/") return send(200, "text/html", file("index.html"));
  if (asset) return send(200, asset.endsWith("js") ? "text/javascript" : "text/css", file(asset));
  const answer = answers[url.pathname.replace("/api/", "")];
  if (request.method !== "POST" || !answer) return tell(404, { error: "there is nothing here" });
  if (request.headers["x-explorer-token"] !== TOKEN) {
    return tell(403, { error: "the address needs its token" });
  }
  let body = "";
  for await (const part of request) body += part;
  await new Promise((done) => setTimeout(done, 20 + 100 * Math.random()));
  try {
    tell(200, answer(JSON.parse(body)));
  } catch (error) {
    tell(400, { error: error.message });
  }
}

function gatesByLayer({ gates }) {
  return gates.flatMap((positions, layer) =>
    positions.filter((answer) => answer !== null).map((answer) => [layer, answer]));
}

/** A report of the first stories. */
function report() {
  const texts = STORIES.slice(0, 2).map((_, sequence) => {
    const of = { sequence };
    const text = answers.text({ of });
    const each = (make) => text.tokens.map((_, position) => (position ? make(position) : null));
    const layers = (make) =>
      times(LAYERS, (layer) => each((position) => make({ of, position, layer })));
    const near = (asked) => ({
      all: answers.near({ ...asked, channel: null, k: 5 }),
      channels: times(CHANNELS, (channel) => answers.near({ ...asked, channel, k: 5 })),
    });
    return {
      of, text, gates: layers(answers.gates), near: layers(near), place: layers(answers.place),
      logits: each((position) => answers.logits({ of, position })),
    };
  });
  const neurons = {};
  for (const [layer, { channels }] of texts.flatMap(gatesByLayer)) {
    channels.forEach(([{ neuron }], channel) => {
      neurons[`${layer}.${channel}.${neuron}`] = answers.neuron({ layer, channel, neuron });
    });
  }
  const maps = times(LAYERS, (layer) => times(3, () => answers.map({ layer }))[2]);
  const data = { model: { ...answers.model(), live: false }, texts, maps, neurons };
  const parse = 'JSON.parse(document.getElementById("data").textContent)';
  const json = JSON.stringify(data).replaceAll("<", "\\u003c");
  const file = (name) => readFileSync(new URL(name, STATIC), "utf8");
  return file("index.html")
    .replace(/<link rel="stylesheet".*>/, () => `<style>${file("explorer.css")}</style>`)
    .replace(/<script src=.*<\/script>/, () =>
      `<script type="application/json" id="data">${json}</script>` +
      `<script>window.EXPLORER_DATA = ${parse};</script>` +
      `<script>${file("explorer.js").replaceAll("</script", "<\\/script")}</script>`);
}

if (process.argv[2] === "report") {
  writeFileSync(process.argv[3], report());
} else {
  const port = Number(process.argv[2] ?? 8123);
  createServer(serve).listen(port, "127.0.0.1", () =>
    console.log(`http://127.0.0.1:${port}/?token=${TOKEN}`));
}
