/* What happens: a visit, a drawing, its end. */

const tell = text => { find("told").textContent = text; }; // for the eye, as often as it changes
const say = text => { find("said").textContent = text; }; // for screen readers, seldom
const complain = text => { find("trouble").textContent = text || ""; };

let current = null; // the drawing on its way: {abort, pictures, spoken}

const setBusy = drawing => {
  current = drawing;
  stage.drawn = drawing && drawing.pictures;
  find("cancel").hidden = find("meter").hidden = !drawing;
  find("go").textContent = goText(drawing !== null);
  find("stage").setAttribute("aria-busy", Boolean(drawing));
  if (drawing) find("meter").removeAttribute("value");
};

/* Position, steps and time left: always for the eye, every quarter for the ear. Of several requests it is the next
 * after those that are done. */
const showProgress = (drawing, { step, steps, eta_ms, queue_position }) => {
  const { done, requests } = drawing;
  if (queue_position) {
    tell(`Number ${queue_position} in the queue`);
    say(`number ${queue_position} in the queue`);
    return;
  }
  const part = (done + step / steps) / requests;
  find("meter").value = part;
  tell(requests > 1 ? `Picture ${done + 1} of ${requests}, step ${step} of ${steps}` : `Step ${step} of ${steps}` + (eta_ms === undefined ? "" : `, ${duration(eta_ms)} left`));
  const quarter = Math.floor(4 * part);
  if (quarter > drawing.spoken) say(`${25 * quarter} percent drawn`);
  drawing.spoken = Math.max(drawing.spoken, quarter);
};

/* What a PNG says of itself is what is known of it. */
const takeAnswer = (drawing, { model, nfe, images }, ms) => {
  images.forEach((image, i) => {
    const picture = drawing.pictures[drawing.first + i], bytes = bytesOf(image.png);
    picture.settings = readSettings(bytes.buffer);
    picture.url = image.url ?? null;
    picture.png = new Blob([bytes], { type: "image/png" });
    if (picture.frames.length > 0)
      picture.frames.push({ done: nfe, expected: dataUrl(image.png), way: dataUrl(image.png) });
  });
  server.pace.set(model, ms / (nfe * images.length));
};

const tellEnd = ({ pictures }, ms) => {
  const { restoration } = pictures[0].settings;
  const found = restoration?.estimated ? `, with a std of ${Number(restoration.std.toPrecision(2))} estimated` : "";
  const text = `${count(pictures.length, "picture")} in ${duration(ms)}${found}`;
  tell(text);
  say(text);
  showExpected();
};

const follow = async (drawing, wanted) => {
  const begun = performance.now();
  const response = drawing.restores
    ? await ask("/v1/restorations", { method: "POST", body: await restorationForm(wanted), signal: drawing.abort.signal, headers: { Accept: "text/event-stream" } })
    : await post("/v1/samples", wanted, "text/event-stream", drawing.abort.signal);
  for await (const { name, data } of readEvents(response)) {
    if (current !== drawing) return;
    if (name === "progress" || name === "queued") showProgress(drawing, data);
    if (name === "preview") addFrame(drawing.pictures, drawing.first + data.image, { done: data.nfe_done, expected: dataUrl(data.png), way: dataUrl(data.x) });
    if (name === "failed") throw new Refusal(data.detail, data.status, 0);
    if (name === "completed") return takeAnswer(drawing, data, performance.now() - begun);
  }
  throw new Refusal("the connection ended before the pictures were there", 0, 1);
};

/* On a phone the settings are below the pictures. */
const bringIntoView = () => {
  const place = find(restoring() ? "picture" : "views"), { top } = place.getBoundingClientRect();
  if (top >= 0 && top <= innerHeight / 2) return;
  (restoring() ? place : find("stage")).scrollIntoView({ behavior: calm.matches ? "auto" : "smooth" });
};

const picturesOf = ({ n, ...settings }) => Array.from({ length: n }, (_, i) => ({
  settings: { ...settings, seed: seedAfter(settings.seed, i), ...(settings.seed_b && { seed_b: seedAfter(settings.seed_b, i) }) },
  url: null, png: null, frames: [],
}));

/* One request after the other, of pictures that are shown together. */
const drawAll = async (drawing, requests) => {
  const begun = performance.now(), frames = Math.max(4, Math.min(60, Math.floor(FRAMES_MAX / drawing.pictures.length)));
  for (const wanted of requests) {
    await follow(drawing, { ...wanted, preview_every: Math.max(1, Math.ceil(wanted.nfe / frames)) });
    if (current !== drawing) return;
    drawing.first += wanted.n;
    drawing.done++;
  }
  tellEnd(drawing, performance.now() - begun);
};

const draw = async (requests, restores = false) => {
  if (current) current.abort.abort(); // the server drops its work
  const pictures = requests.flatMap(picturesOf);
  const drawing = { abort: new AbortController(), pictures, restores, requests: requests.length, first: 0, done: 0, spoken: 0 };
  setBusy(drawing);
  showPictures(pictures);
  bringIntoView();
  complain("");
  tell("Waiting for a free lane");
  say(restores ? "restoring" : "drawing");
  try {
    await drawAll(drawing, requests);
  } catch (error) {
    if (current !== drawing) return;
    const cancelled = error.name === "AbortError";
    tell(cancelled ? "Cancelled" : "");
    if (cancelled) say("cancelled");
    else complain(sentence(error));
  }
  if (current !== drawing) return;
  setBusy(null);
  const done = pictures.filter(picture => picture.png);
  if (stage.pictures === pictures)
    showPictures(pictures.filter(picture => picture.png || picture.frames.length > 1), stage.chosen);
  await keep(done);
};

const sentence = error => {
  const text = error.message.charAt(0).toUpperCase() + error.message.slice(1);
  if (error.status === 401) askForKey();
  return text + (error.wait_s > 0 ? `. Try again in ${error.wait_s} s.` : ".");
};

const askForKey = () => {
  find("key-field").hidden = false;
  find("go").disabled = false;
  find("key").focus();
};

find("key").onchange = () => {
  keys.set(find("key").value);
  complain("");
  if (!server.capabilities) load();
};

find("draw").onsubmit = event => {
  event.preventDefault();
  if (!server.capabilities) return;
  const trouble = restoring() ? photoTrouble() : "";
  complain(trouble);
  if (trouble) find(photo.image ? "middle" : "choose-photo").focus();
  else draw(requestsOf(settingsNow(), goesWholeWay()), restoring());
};
find("cancel").onclick = () => {
  current.abort.abort();
  find("go").focus();
};
find("watch").onclick = () => {
  setKind("draw");
  draw([{ ...drawnAgain(pictureNow()), n: 1 }]);
};

/* A visit: a small set, the same for every visitor, which the daemon's cache has after the first. The
 * others are asked for if the first came at once. */
const SET = [1, 2, 3, 4, 5, 6];
const SET_QUICK_MS = 1500;

const fetchPicture = async seed => {
  const model = server.capabilities.models[0], { sampler, nfe } = model.defaults;
  const id = server.capabilities.determinism.id, checkpoint = model.checkpoint.slice(0, 12);
  const url = `/v1/models/${model.name}@${checkpoint}/samples/${seed}.png?sampler=${sampler}&nfe=${nfe}&determinism=${id}`;
  const png = await (await ask(url)).blob();
  return { settings: readSettings(await png.arrayBuffer()), url, png, frames: [] };
};

const showSet = async () => {
  const begun = performance.now(), pictures = [await fetchPicture(SET[0])];
  if (performance.now() - begun < SET_QUICK_MS) {
    const others = await Promise.allSettled(SET.slice(1).map(fetchPicture)); // a busy server refuses some
    pictures.push(...others.filter(other => other.status === "fulfilled").map(other => other.value));
  }
  if (stage.pictures.length === 0) showPictures(pictures);
};

const load = async () => {
  try {
    fillForm(await (await ask("/v1/capabilities")).json());
  } catch (error) {
    if (error.status === 401) return complain(sentence(error));
    find("server").textContent = error.status === 503 ? "loading its models" : error.message;
    setTimeout(load, 1000 * Math.min(Math.max(error.wait_s, 1), 10));
    return;
  }
  tell("Ready");
  say("ready");
  showSet().catch(() => {}); // who is busy has better to do
};

const THEMES = { auto: "Auto", light: "Light", dark: "Dark" };
const setTheme = name => {
  document.documentElement.dataset.theme = name;
  find("theme-name").textContent = THEMES[name];
  find("theme").setAttribute("aria-label", `Colours: ${THEMES[name]}`);
  localStorage.setItem("softdiff theme", name);
};
find("theme").onclick = () => {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
};
setTheme(localStorage.getItem("softdiff theme") in THEMES ? localStorage.getItem("softdiff theme") : "auto");

store.open().then(showGallery);
load();
