/* What was drawn, and ways out of the page: gallery, download, code, a picture that is dropped. */

const showGallery = async () => {
  const kept = await store.all();
  find("kept").replaceChildren(...kept.map(picture => {
    const item = thumbButton(addressOf(picture.png), `${picture.settings.restoration ? "restored by " : ""}${picture.settings.model}, ${seedText(picture)}, ${picture.settings.nfe} evaluations`, () => {
      showPictures([{ ...picture, url: picture.settings.restoration ? null : picture.url, frames: [] }]);
      find("stage").scrollIntoView({ block: "start", behavior: calm.matches ? "auto" : "smooth" });
      find("stage-title").focus({ preventScroll: true });
    });
    item.firstChild.dataset.url = picture.url;
    return item;
  }));
  find("forget").hidden = kept.length === 0;
  showPicture();
};

const keep = async pictures => {
  const time = Date.now();
  /* What was restored has no address of its own: here, it has a name. */
  await store.add(pictures.filter(picture => picture.url || picture.settings.restoration).map(({ settings, url, png }, i) => ({
    settings, url: url ?? `restored ${time} ${settings.seed}`, png, time: time + (pictures.length - i) / 1000,
  })));
  await showGallery();
};

find("forget").onclick = async () => {
  await store.clear();
  await showGallery();
  find("open").focus();
  say("the gallery is empty");
};

/* Code that gives the picture on the stage again. */

/* The request that draws it: absent fields are undefined. */
const drawnAgain = ({ settings: { model, checkpoint, sampler, nfe, seed, seed_b, mix, label, guidance } }) => ({
  model: checkpoint ? `${model}@${checkpoint}` : model, sampler, nfe, seed: String(seed), seed_b: seed_b === undefined ? undefined : String(seed_b), mix, label, guidance,
});

/* For a POSIX shell, within single quotes. */
const quote = text => `'${text.replaceAll("'", "'\\''")}'`;

const codeOf = picture => {
  const base = location.origin, name = fileName(picture), body = drawnAgain(picture);
  const key = keys.get() ? { curl: " -H \"Authorization: Bearer $SOFTDIFF_KEY\"", python: `, "Authorization": "Bearer " + os.environ["SOFTDIFF_KEY"]` } : { curl: "", python: "" };
  return {
    "as-link": base + picture.url,
    "as-curl": `curl -sf${key.curl} -H 'Accept: image/png' -H 'Content-Type: application/json' -d ${quote(JSON.stringify(body))} ${quote(base + "/v1/samples")} -o ${quote(name)}`,
    "as-python": `${key.python ? "import os\n\n" : ""}import requests

answer = requests.post(
    "${base}/v1/samples",
    json=${JSON.stringify(body)},
    headers={"Accept": "image/png"${key.python}},
)
answer.raise_for_status()
with open(${JSON.stringify(name)}, "wb") as file:
    file.write(answer.content)
`,
  };
};

find("share").onclick = () => {
  const code = codeOf(pictureNow());
  for (const id in code) find(id).value = code[id];
  find("copied").textContent = "";
  find("code").showModal();
};

/* Pages that came over plain HTTP have no clipboard of their own, but selections can be copied. */
const copy = async area => {
  area.select();
  try {
    await navigator.clipboard.writeText(area.value);
    return true;
  } catch {
    return document.execCommand("copy");
  }
};

for (const button of document.querySelectorAll("[data-copies]"))
  button.onclick = async () => {
    const done = await copy(find(button.dataset.copies));
    button.focus();
    find("copied").textContent = done ? "Copied." : "It is selected: copy it with the keyboard.";
  };

find("reuse").onclick = () => {
  const missing = restoreSettings(pictureNow().settings);
  complain(missing && `Restored, but ${missing}.`);
  say("the settings of the picture are in the form");
  find("seed").focus();
};

/* A picture from outside. */
const takeFile = async file => {
  if (!file || !server.capabilities) return;
  const settings = readSettings(await file.arrayBuffer());
  if (!settings || restoring()) return takePhoto(file);
  const missing = restoreSettings(settings);
  showPictures([{ settings, url: null, png: file, frames: [] }]);
  complain(missing && `Its settings are back, but ${missing}.`);
  if (settings.restoration) showRestoration(settings.restoration);
  tell(settings.restoration ? "Its settings are back. With the photo that it was made of it comes again." : "Its settings are back. Draw, and it comes again.");
  say(`settings of ${file.name} restored: ${settings.model}, seed ${settings.seed}`);
};

find("open").onclick = () => find("file").click();
find("file").onchange = () => { takeFile(find("file").files[0]); find("file").value = ""; };

const carriesFile = event => event.dataTransfer?.types.includes("Files");
addEventListener("dragover", event => {
  if (!carriesFile(event)) return;
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", event => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
addEventListener("drop", event => {
  document.body.classList.remove("dropping");
  if (!carriesFile(event)) return;
  event.preventDefault();
  takeFile(event.dataTransfer.files[0]);
});
