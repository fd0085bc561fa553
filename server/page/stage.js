/* The stage: the pictures of one drawing, each with the frames of its way from noise.
 *
 * A picture is {settings, url, png, frames}: settings as in its PNG, url its permalink or null, png a
 * Blob or null while it is drawn, frames [{done, expected, way}] with data: addresses. drawn: the pictures
 * that are on their way, which need not be those that are looked at. */

const stage = { pictures: [], chosen: 0, frame: 0, playing: 0, drawn: null };
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const dataUrl = base64 => "data:image/png;base64," + base64;

/* One address per Blob, for as long as the page lives. */
const addressOf = blob => blob.address ??= URL.createObjectURL(blob);

const seedText = ({ settings: { seed, seed_b, mix } }) => `seed ${seed}${seed_b === undefined ? "" : `, ${Number((100 * mix).toFixed(1))} % of seed ${seed_b}`}`;

const fileName = ({ settings: { model, seed, seed_b, mix } }) => `${model}-${seed}${seed_b === undefined ? "" : `-${seed_b}-${mix}`}.png`;

const pictureNow = () => stage.pictures[stage.chosen];

const isLive = () => stage.drawn !== null && stage.drawn === stage.pictures;

const showImage = (image, address, text) => {
  image.hidden = !address;
  if (!address) return image.removeAttribute("src");
  if (image.getAttribute("src") !== address) image.src = address;
  image.alt = text;
};

/* The pictures at a frame; the last is the finished one. */
const showFrame = () => {
  const picture = pictureNow(), frames = picture ? picture.frames : [];
  const frame = frames[stage.frame], last = stage.frame >= frames.length - 1 && picture?.png;
  const nfe = picture?.settings.nfe;
  find("way").hidden = !frame;
  find("empty").hidden = Boolean(frame || picture?.png);
  if (frame) showImage(find("way").querySelector("img"), frame.way, `on its way, after ${frame.done} of ${nfe} evaluations`);
  showImage(find("picture").querySelector("img"), last ? addressOf(picture.png) : frame?.expected,
    picture ? `generated picture, ${seedText(picture)}` : "");
  find("picture").querySelector("figcaption").textContent =
    !picture ? "\u00a0" : last ? `${picture.settings.restoration ? "restored by " : ""}${picture.settings.model}, ${seedText(picture)}` : frame ? "What it is expected to become" : "Waiting";
  find("empty").querySelector("strong").textContent = isLive() ? "Waiting for the first preview." : "Nothing drawn yet.";
  find("empty").querySelector("p + p").hidden = isLive();
  if (frame) find("frame-text").textContent = `${frame.done} of ${nfe}`;
  if (frame) find("frame").setAttribute("aria-valuetext", `evaluation ${frame.done} of ${nfe}`);
};

const stopPlaying = () => {
  clearInterval(stage.playing);
  stage.playing = 0;
  find("play").textContent = "\u25b6";
  find("play").setAttribute("aria-label", "Play how it was drawn");
};

const goToFrame = frame => {
  stage.frame = frame;
  find("frame").value = frame;
  showFrame();
};

const play = () => {
  if (stage.playing) return stopPlaying();
  const n = pictureNow().frames.length;
  if (stage.frame >= n - 1) goToFrame(0);
  find("play").textContent = "\u23f8";
  find("play").setAttribute("aria-label", "Pause");
  stage.playing = setInterval(() => {
    if (stage.frame >= pictureNow().frames.length - 1) return stopPlaying();
    goToFrame(stage.frame + 1);
  }, calm.matches ? 600 : Math.max(60, 2500 / n));
};

/* Everything around the frame: what can be done with the picture, which one it is. */
const showPicture = () => {
  const picture = pictureNow(), frames = picture ? picture.frames.length : 0;
  find("scrubber").hidden = isLive() || frames < 2;
  find("frame").max = Math.max(frames - 1, 0);
  find("frame").value = stage.frame;
  find("actions").hidden = isLive() || !picture?.png;
  find("watch").hidden = frames > 1 || Boolean(picture?.settings.restoration);
  find("share").hidden = !picture?.url; // what was restored has no address
  if (picture?.png) {
    find("download").href = addressOf(picture.png);
    find("download").download = fileName(picture);
  }
  find("thumbs").querySelectorAll("button").forEach((button, i) => button.setAttribute("aria-pressed", i === stage.chosen));
  for (const button of find("kept").querySelectorAll("button"))
    button.setAttribute("aria-pressed", Boolean(picture?.url) && button.dataset.url === picture.url);
  showFrame();
};

const choosePicture = i => {
  stopPlaying();
  stage.chosen = i;
  stage.frame = Math.max(pictureNow().frames.length - 1, 0);
  showPicture();
};

/* A small picture to press; label says which. */
const thumbButton = (address, label, press) => {
  const item = document.createElement("li"), button = document.createElement("button"), image = new Image();
  button.type = "button";
  button.setAttribute("aria-label", label);
  button.setAttribute("aria-pressed", "false");
  button.title = label;
  image.alt = "";
  if (address) image.src = address;
  button.append(image);
  button.onclick = press;
  item.append(button);
  return item;
};

const showPictures = (pictures, chosen = 0) => {
  stopPlaying();
  stage.pictures = pictures;
  stage.chosen = Math.max(Math.min(chosen, pictures.length - 1), 0);
  stage.frame = Math.max((pictureNow()?.frames.length ?? 0) - 1, 0);
  find("thumbs").hidden = pictures.length < 2;
  find("thumbs").replaceChildren(...pictures.map((picture, i) =>
    thumbButton(picture.png && addressOf(picture.png), seedText(picture), () => choosePicture(i))));
  showPicture();
};

/* A new frame of picture i of those that are drawn. */
const addFrame = (pictures, i, frame) => {
  const picture = pictures[i], now = performance.now();
  picture.frames.push(frame);
  if (stage.pictures !== pictures || (calm.matches && now - (picture.shown ?? -1e9) < 700)) return;
  picture.shown = now;
  find("thumbs").querySelectorAll("img")[i].src = frame.expected;
  if (i !== stage.chosen) return;
  stage.frame = picture.frames.length - 1;
  showFrame();
};

find("frame").oninput = () => {
  stopPlaying();
  goToFrame(Number(find("frame").value));
};
find("play").onclick = play;
