/* A photo to be restored: chosen or dropped, shown as the model will see it, painted over where it is
 * missing. It leaves the browser only when Restore is pressed. */

const photo = { file: null, image: null, at: [0.5, 0.5], painting: false, painted: 0 };

const SQUARE = 512; // px of what is shown and of the mask
const SENT_MAX = 1024; // px of a photo that is too large to be sent as it is

const mask = document.createElement("canvas"); // white where the photo is missing, black elsewhere
mask.width = mask.height = SQUARE;

const restoring = () => document.querySelector("#kind input:checked").value === "restore";
const goText = busy => restoring() ? (busy ? "Restore anew" : "Restore") : (busy ? "Draw anew" : "Draw");

/* The centred square of the photo, as the server cuts it. */
const drawSquare = (canvas, side) => {
  const { image } = photo, from = Math.min(image.width, image.height);
  canvas.width = canvas.height = side;
  canvas.getContext("2d").drawImage(image, (image.width - from) / 2, (image.height - from) / 2, from, from, 0, 0, side, side);
};

const brushPx = () => find("brush").value / 100 * SQUARE;
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name);

/* The photo with what is painted over it, and the brush where the keyboard has it. */
const showPhoto = () => {
  const canvas = find("photo").querySelector("canvas"), context = canvas.getContext("2d");
  const masked = find("degradation").value === "mask", [x, y] = photo.at;
  if (!photo.image) return;
  drawSquare(canvas, SQUARE);
  if (!masked) return;
  const tint = document.createElement("canvas"), tinted = tint.getContext("2d");
  tint.width = tint.height = SQUARE;
  tinted.fillStyle = colour("--accent");
  tinted.fillRect(0, 0, SQUARE, SQUARE);
  tinted.globalCompositeOperation = "destination-in";
  tinted.drawImage(maskShape(), 0, 0);
  context.globalAlpha = 0.82;
  context.drawImage(tint, 0, 0);
  context.globalAlpha = 1;
  if (document.activeElement !== canvas || !canvas.matches(":focus-visible")) return;
  for (const [width, style] of [[6, "#000"], [2.5, "#fff"]]) {
    context.lineWidth = width;
    context.strokeStyle = style;
    context.beginPath();
    context.arc(x * SQUARE, y * SQUARE, brushPx() / 2, 0, 2 * Math.PI);
    context.stroke();
  }
};

/* The strokes alone: opaque where the photo is missing. */
const shape = document.createElement("canvas");
shape.width = shape.height = SQUARE;
const maskShape = () => shape;

const paintMask = () => {
  const context = mask.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, SQUARE, SQUARE);
  context.drawImage(shape, 0, 0);
};

const clearMask = () => {
  shape.getContext("2d").clearRect(0, 0, SQUARE, SQUARE);
  photo.painted = 0;
  showPhoto();
};

/* From one place to another, each [x, y] in parts of the square. */
const stroke = (from, to) => {
  const context = shape.getContext("2d");
  context.strokeStyle = "#fff";
  context.lineWidth = brushPx();
  context.lineCap = "round";
  context.beginPath();
  context.moveTo(from[0] * SQUARE, from[1] * SQUARE);
  context.lineTo(to[0] * SQUARE + 0.01, to[1] * SQUARE);
  context.stroke();
  photo.painted++;
  showPhoto();
};

/* What the model at hand undoes, and up to where. */
const showDegradation = () => {
  const kind = find("degradation").value, masked = kind === "mask";
  const undone = (modelNow()?.restorations || []), most = undone.find(row => row.degradation === kind)?.std_max;
  for (const option of find("degradation").options)
    option.disabled = !undone.some(row => row.degradation === option.value);
  find("std-field").hidden = masked;
  find("mask-field").hidden = !masked;
  find("std").max = most ?? 1000;
  find("std-label").textContent = kind === "blur" ? "Blur, in pixels of the model" : "Noise, where white is 1";
  find("std-note").textContent = `Empty: it is estimated.${most === undefined ? "" : ` This model undoes up to ${most}.`}`;
  find("photo").querySelector("canvas").classList.toggle("paints", masked);
  find("photo").querySelector("figcaption").textContent = masked ? "Your photo: paint over what is missing" : "Your photo";
  showPhoto();
};

const setKind = kind => {
  for (const input of document.querySelectorAll("#kind input")) input.checked = input.value === kind;
  const restores = kind === "restore";
  document.body.classList.toggle("restoring", restores);
  find("restore-fields").hidden = !restores;
  find("photo").hidden = !restores || !photo.image;
  find("go").textContent = goText(current !== null);
  showMix();
  if (restores) showDegradation();
  showFrame();
};

/* false: it is none that can be read. */
const takePhoto = async file => {
  let image;
  try {
    image = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    complain(`${file.name} is no picture that softdiff drew, nor a photo that this browser can read.`);
    return false;
  }
  Object.assign(photo, { file, image, at: [0.5, 0.5] });
  complain("");
  clearMask();
  find("photo-name").textContent = file.name;
  setKind("restore");
  tell("Say what is wrong with the photo, and press Restore.");
  say(`the photo ${file.name} is there`);
  return true;
};

const blobOf = canvas => new Promise(resolve => canvas.toBlob(resolve, "image/png"));

/* The file itself, unless the server would refuse it. */
const photoToSend = async () => {
  const { limits } = server.capabilities, { file, image } = photo;
  if (limits.upload_types.includes(file.type) && file.size < 0.9 * limits.upload_bytes && image.width * image.height <= limits.upload_pixels)
    return file;
  const canvas = document.createElement("canvas");
  drawSquare(canvas, Math.min(SENT_MAX, image.width, image.height));
  return blobOf(canvas);
};

/* What is missing before it can be restored; "": nothing. */
const photoTrouble = () =>
  !photo.image ? "Choose a photo first, or drop one on the page." :
  find("degradation").value === "mask" && photo.painted === 0 ? "Paint over what is missing first." : "";

/* The form that is sent beside the settings. */
const restorationForm = async settings => {
  const form = new FormData(), kind = find("degradation").value;
  for (const [name, value] of Object.entries(settings)) form.append(name, value);
  form.append("degradation", kind);
  form.append("image", await photoToSend(), "photo");
  if (kind !== "mask" && find("std").value) form.append("std", find("std").value);
  if (kind === "mask") {
    paintMask();
    form.append("mask", await blobOf(mask), "mask.png");
  }
  return form;
};

/* Into the form, of a picture that was restored. */
const showRestoration = restoration => {
  find("degradation").value = restoration.degradation;
  find("std").value = restoration.std ? Number(restoration.std.toPrecision(3)) : "";
  setKind("restore");
};

for (const input of document.querySelectorAll("#kind input")) input.onchange = () => setKind(input.value);
find("degradation").onchange = showDegradation;
find("choose-photo").onclick = () => find("photo-file").click();
find("photo-file").onchange = () => {
  const file = find("photo-file").files[0];
  find("photo-file").value = "";
  if (file) takePhoto(file);
};
find("clear-mask").onclick = () => { clearMask(); say("nothing is painted over"); };
find("middle").onclick = () => {
  const context = shape.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(SQUARE / 4, SQUARE / 4, SQUARE / 2, SQUARE / 2);
  photo.painted++;
  showPhoto();
  say("the middle is painted over");
};
find("brush").oninput = showPhoto;

{
  const canvas = find("photo").querySelector("canvas");
  const masked = () => find("degradation").value === "mask";
  const placeOf = event => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  canvas.onpointerdown = event => {
    if (!masked() || event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    photo.painting = true;
    photo.at = placeOf(event);
    stroke(photo.at, photo.at);
  };
  canvas.onpointermove = event => {
    if (!photo.painting) return;
    const to = placeOf(event);
    stroke(photo.at, to);
    photo.at = to;
  };
  canvas.onpointerup = canvas.onpointercancel = () => { photo.painting = false; };
  canvas.onfocus = canvas.onblur = showPhoto;
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.onkeydown = event => {
    const step = steps[event.key];
    if (!masked() || (!step && event.key !== " ")) return;
    event.preventDefault();
    if (!step) return stroke(photo.at, photo.at);
    const from = photo.at;
    photo.at = from.map((x, i) => Math.min(1, Math.max(0, x + 0.04 * step[i])));
    if (event.shiftKey) stroke(from, photo.at);
    else showPhoto();
  };
}
