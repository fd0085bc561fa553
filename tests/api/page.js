// Runs the page's script with as much of a browser as it uses: page.js SCRIPT BASE SCENARIO
// Prints what happened as one line of JSON.
"use strict";
const fs = require("fs"), vm = require("vm");
const [script, base, scenario] = process.argv.slice(2);

const texts = {}, events = { posts: 0, answered: 0, aborted: 0, shown: [], said: [] };
const node = () => ({ append(...parts) { this.parts = parts; }, options: [], add(o) { this.options.push(o); this.value ??= o.value; } });
const elements = { model: node(), sampler: node(), nfe: node(), n: node(), seed: { value: "" } };
elements.n.value = 4;
const form = { ...elements, elements, requestSubmit() { return this.onsubmit({ preventDefault() {} }); } };
const images = { replaceChildren(...figures) { events.shown.push(figures.map(f => f.parts[1])); } };
const document = {
  forms: [form],
  createElement: node,
  getElementById: id => id === "images" ? images : (texts[id] ??= {
    set textContent(text) { if (id === "status") events.said.push(text); },
  }),
};
const page = {
  document, location: new URL(base), performance, AbortController, setTimeout,
  Image: class {},
  Option: class { constructor(text, value) { this.value = value ?? text; } },
  async fetch(path, options) {
    const post = options?.method === "POST";
    events.posts += post;
    try {
      const response = await fetch(new URL(path, base), options);
      events.answered += post;
      return response;
    } catch (e) {
      events.aborted += e.name === "AbortError";
      throw e;
    }
  },
};
const until = async condition => { while (!condition()) await new Promise(r => setTimeout(r, 5)); };
const click = (seed, nfe) => { elements.seed.value = seed; elements.nfe.value = nfe; elements.n.value = 2; return form.requestSubmit(); };
const busy = async () => (await (await fetch(new URL("/v1/queue", process.env.ADMIN))).json()).requests.length;

(async () => {
  vm.runInNewContext(fs.readFileSync(script, "utf8"), page);
  await until(() => elements.nfe.value); // it knows what the server can do
  if (scenario === "visit") {
    await new Promise(r => setTimeout(r, 300));
  } else if (scenario === "hurry") { // many clicks, the slow ones first
    const clicks = [];
    for (let i = 0; i < 5; i++) {
      clicks.push(click(String(100 + i), 100000 / 10));
      while (await busy() === 0);
    }
    clicks.push(click("7", 2));
    await Promise.all(clicks);
    events.busy_after = [];
    do events.busy_after.push(await busy()); while (events.busy_after.at(-1) > 0 && events.busy_after.length < 1000);
  } else if (scenario === "error") {
    await click("x", 2);
    await click("8", 2);
  }
  console.log(JSON.stringify(events));
  process.exit(0);
})();
