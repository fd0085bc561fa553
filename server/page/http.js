/* Talking to the daemon: with the key, if it wants one; what goes wrong as a sentence for people. */

const find = id => document.getElementById(id);

/* What the daemon or the network refused. wait_s: when to come again, 0: no use. */
class Refusal extends Error {
  constructor(text, status, wait_s) {
    super(text);
    this.status = status;
    this.wait_s = wait_s;
  }
}

const keys = { get: () => sessionStorage.getItem("softdiff key"), set: text => sessionStorage.setItem("softdiff key", text) };

/* Fields as the form calls them. */
const FIELDS = { n: "the number of pictures", nfe: "the number of evaluations", seed_b: "the second seed", std: "the strength of what is wrong" };

const refusalOf = async response => {
  const body = await response.json().catch(() => ({}));
  const fields = (body.errors || []).map(error => `${FIELDS[error.field] ?? `the ${error.field}`} ${error.detail}`);
  const text = fields.join("; ") || body.detail || `the server answered ${response.status}`;
  return new Refusal(text, response.status, Number(response.headers.get("Retry-After")) || 0);
};

/* The response, if it is a success. */
const ask = async (path, options = {}) => {
  const headers = new Headers(options.headers);
  if (keys.get()) headers.set("Authorization", "Bearer " + keys.get());
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("the server cannot be reached", 0, 2);
  }
  if (!response.ok) throw await refusalOf(response);
  return response;
};

const post = (path, body, accept, signal) => ask(path, {
  method: "POST", body: JSON.stringify(body), signal,
  headers: { "Content-Type": "application/json", Accept: accept },
});

/* The events of a stream, one by one: {name, data}. */
const readEvents = async function* (response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const part of whole) {
      const event = {};
      for (const line of part.split("\n")) {
        const at = line.indexOf(": ");
        if (at > 0) event[line.slice(0, at)] = line.slice(at + 2);
      }
      if (event.event) yield { name: event.event, data: JSON.parse(event.data) };
    }
  }
};

const bytesOf = base64 => Uint8Array.from(atob(base64), c => c.charCodeAt(0));
