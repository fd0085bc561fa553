/* The settings: what the server offers, what is chosen, how long that will take. */

const server = { capabilities: null, pace: new Map() }; // model: ms per evaluation of an image, measured here

const SEEDS = 1n << 64n;
const COUNTS = [1, 2, 4, 8, 16, 32, 64];
const FRAMES_MAX = 480; // of all pictures of a drawing: what a phone can hold

const modelNow = () => server.capabilities.models.find(model => model.name === find("model").value);

/* Of the model; with guidance each takes two. A slider of 1000 steps over a scale where each is the same part
 * more. */
const nfeMax = () => Math.max(1, Math.floor(modelNow().limits.nfe / (labelNow().guidance ? 2 : 1)));
const nfeOf = step => Math.max(1, Math.round(nfeMax() ** (step / 1000)));
const stepOf = nfe => Math.round(1000 * Math.log(Math.max(nfe, 1)) / Math.log(Math.max(nfeMax(), 2)));

const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

const duration = ms => ms < 950 ? `${Math.max(10, Math.round(ms / 10) * 10)} ms` : ms < 9500 ? `${(ms / 1000).toFixed(1)} s` : ms < 6e4 ? `${Math.round(ms / 1000)} s` : `${Math.floor(ms / 6e4)} min ${Math.round(ms % 6e4 / 1000)} s`;

/* null: nobody has measured it yet. */
const expectedMs = () => {
  const rate = server.capabilities.evaluations_per_s;
  const pace = server.pace.get(find("model").value) ?? (rate > 0 ? 1000 / rate : null);
  return pace === null ? null : pace * find("nfe").value * find("count").value * (labelNow().guidance ? 2 : 1);
};

const showExpected = () => {
  const ms = expectedMs();
  find("expected").textContent = ms === null ? "How long that takes is known after the first picture." : `About ${duration(ms)} when nobody else draws.`;
};

const nearest = (list, n) => list.reduce((best, m) => Math.abs(m - n) < Math.abs(best - n) ? m : best);

/* tuned has tables for some numbers of evaluations only. */
const tunedNfe = () => (modelNow().tuned_nfe ?? []).filter(nfe => nfe <= nfeMax());

const setNfe = wanted => {
  const tuned = find("sampler").value === "tuned" ? tunedNfe() : [];
  const most = Math.min(Math.max(Math.round(wanted), 1), nfeMax()), nfe = tuned.length ? nearest(tuned, most) : most;
  find("nfe").max = nfeMax();
  find("nfe").value = nfe;
  find("nfe-slider").value = stepOf(nfe);
  find("nfe-slider").setAttribute("aria-valuetext", `${nfe} evaluations`);
  showExpected();
};

const setSampler = name => {
  const notes = server.capabilities.sampler_notes || {}, tuned = tunedNfe();
  find("sampler").value = name;
  find("sampler-note").textContent = [notes[name], name === "tuned" ? `Evaluations: ${tuned.join(", ")}.` : ""].filter(Boolean).join(" ");
};

/* What a model with classes is asked for beside the seed. */
const setLabel = (label, guidance) => {
  find("label").value = label;
  find("guidance").value = guidance;
  find("guidance").disabled = !Number(label);
};

const labelNow = () => {
  const label = Number(find("label").value), guidance = Number(find("guidance").value);
  return label === 0 ? {} : guidance > 0 && guidance !== 1 ? { label, guidance } : { label };
};

const fillLabels = model => {
  const names = [...Array(model.n_labels)].map((_, i) => model.labels?.[i] ?? `${i + 1}`);
  find("label").replaceChildren(new Option("any", 0), ...names.map((name, i) => new Option(name, i + 1)));
  find("label-field").hidden = model.n_labels === 0;
  setLabel(0, 1);
};

/* As many as the model may draw at a time. */
const fillCounts = model => {
  const wanted = Number(find("count").value) || 4;
  const counts = COUNTS.filter(n => n < model.limits.n).concat(model.limits.n);
  find("count").replaceChildren(...counts.map(n => new Option(n)));
  find("count").value = counts.findLast(n => n <= wanted);
};

/* A second seed, "": none, and how much there is of it. */
const setMix = (seed, mix) => {
  find("seed-b").value = seed;
  find("seed-b").setCustomValidity("");
  find("mix").value = Math.round(100 * mix);
  showMix();
};

const mixes = () => !restoring() && find("seed-b").value.trim() !== "";
const goesWholeWay = () => mixes() && find("whole-way").checked && find("count").value > 1;

const showMix = () => {
  const whole = goesWholeWay();
  find("mix-field").hidden = restoring();
  find("mix-row").hidden = !mixes();
  find("mix").disabled = whole;
  find("mix-text").textContent = whole ? "all" : `${find("mix").value} %`;
  find("mix").setAttribute("aria-valuetext", `${find("mix").value} percent`);
  find("count-label").textContent = whole ? "Pictures from one seed to the other" : "Pictures";
};

const setModel = name => {
  find("model").value = name;
  const model = modelNow();
  fillLabels(model);
  for (const option of find("sampler").options)
    if (option.value === "tuned") option.disabled = tunedNfe().length === 0;
  find("model-note").textContent = `Undoes ${model.corruption}. ${model.side_px} \u00d7 ${model.side_px} pixels, ${model.precision}, checkpoint ${model.checkpoint.slice(0, 12)}. At a time up to ${count(model.limits.n, "picture")} of ${count(model.limits.nfe, "evaluation")}.` + (model.healthy ? "" : " Its last pictures were not good: the operator should look at it.");
  find("licence").textContent = model.licence ? `Licence of the model: ${model.licence}` : "The model names no licence.";
  fillCounts(model);
  setSampler(model.defaults.sampler);
  setNfe(model.defaults.nfe);
  showMix();
  if (restoring()) showDegradation();
};

const fillForm = capabilities => {
  const fill = (id, options) => find(id).replaceChildren(...options);
  server.capabilities = capabilities;
  fill("model", capabilities.models.map(model => new Option(capabilities.models.length > 1 ? `${model.name} (${model.corruption}, ${model.side_px} px)` : model.name, model.name)));
  fill("sampler", capabilities.samplers.map(name => new Option(name)));
  find("server").textContent = `${capabilities.device}, version ${capabilities.version}`;
  for (const id of ["model", "sampler", "count", "nfe", "nfe-slider", "go"]) find(id).disabled = false;
  setModel(capabilities.models[0].name);
};

/* What the form asks for; the seed is drawn here, so that it is known before the answer. */
const settingsNow = () => {
  const typed = find("seed").value.trim();
  const seed = typed === "" ? randomSeed() : BigInt(typed);
  const other = mixes() ? { seed_b: BigInt(find("seed-b").value.trim()).toString(), mix: find("mix").value / 100 } : {};
  return {
    model: find("model").value, sampler: find("sampler").value, nfe: Number(find("nfe").value),
    n: Number(find("count").value), seed: seed.toString(), ...other, ...labelNow(),
    ...(find("background").checked ? { priority: "background" } : {}),
  };
};

/* The requests that draw them: one, or one for each step of the way between two seeds. */
const requestsOf = (settings, wholeWay) =>
  wholeWay ? Array.from({ length: settings.n }, (_, i) => ({ ...settings, n: 1, mix: i / (settings.n - 1) })) : [settings];

const seedAfter = (seed, i) => ((BigInt(seed) + BigInt(i)) % SEEDS).toString();

const randomSeed = () => BigInt(crypto.getRandomValues(new Uint32Array(1))[0]);

/* Of a picture, into the form. What is not here is told: "" if all is as it was. */
const restoreSettings = settings => {
  const models = server.capabilities.models;
  const same = models.find(model => model.checkpoint.startsWith(settings.checkpoint ?? "?"));
  const model = same ?? models.find(other => other.name === settings.model);
  const missing = [];
  if (model) setModel(model.name);
  if (!same) missing.push(`this server does not have its checkpoint ${settings.checkpoint ?? ""} of the model ${settings.model}`);
  if (same && settings.determinism && settings.determinism !== server.capabilities.determinism.id)
    missing.push("this server computes with other arithmetic than the one that drew it, so that a few pixels may differ");
  if (server.capabilities.samplers.includes(settings.sampler)) setSampler(settings.sampler);
  else missing.push(`there is no sampler ${settings.sampler} here`);
  if (settings.nfe_done) missing.push(`it was ended after ${settings.nfe_done} of ${settings.nfe} evaluations`);
  setSeed(settings.seed);
  setMix(settings.seed_b ?? "", settings.mix ?? 0.5);
  find("whole-way").checked = false;
  if (settings.label <= (model ?? modelNow()).n_labels) setLabel(settings.label, settings.guidance ?? 1);
  setNfe(settings.nfe);
  if (Number(find("nfe").value) !== settings.nfe) missing.push(`${settings.nfe} evaluations are not to be had here`);
  find("count").value = 1;
  showMix();
  showExpected();
  return missing.join("; ");
};

find("model").onchange = () => setModel(find("model").value);
find("sampler").onchange = () => { setSampler(find("sampler").value); setNfe(find("nfe").value); };
find("count").onchange = () => { showMix(); showExpected(); };
find("guidance").onchange = () => setNfe(find("nfe").value);
find("label").onchange = () => { setLabel(find("label").value, find("guidance").value); setNfe(find("nfe").value); };
find("nfe-slider").oninput = () => setNfe(nfeOf(Number(find("nfe-slider").value)));
find("nfe").onchange = () => { if (find("nfe").value) setNfe(find("nfe").value); };
const setSeed = seed => {
  find("seed").value = seed;
  find("seed").setCustomValidity("");
};
const checkSeed = input => {
  const typed = input.value.trim(), large = /^\d+$/.test(typed) && BigInt(typed) >= SEEDS;
  input.setCustomValidity(large ? "The largest seed is 18446744073709551615." : "");
};
find("seed").oninput = () => checkSeed(find("seed"));
find("seed-b").oninput = () => { checkSeed(find("seed-b")); showMix(); };
find("mix").oninput = showMix;
find("whole-way").onchange = () => {
  if (find("whole-way").checked && find("count").value < 3)
    find("count").value = [...find("count").options].findLast(option => Number(option.value) <= 8).value;
  showMix();
  showExpected();
};
find("dice-b").onclick = () => { setMix(randomSeed(), find("mix").value / 100); say(`second seed ${find("seed-b").value}`); };
find("dice").onclick = () => { setSeed(randomSeed()); say(`seed ${find("seed").value}`); };
find("next").onclick = () => {
  const typed = find("seed").value.trim();
  if (!find("seed").checkValidity()) return find("seed").reportValidity();
  setSeed(typed === "" ? 0 : (BigInt(typed) + 1n) % SEEDS);
  say(`seed ${find("seed").value}`);
};
