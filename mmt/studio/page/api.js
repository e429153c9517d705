// The HTTP API (../api describes it). Addresses are relative to the page's, which holds the session's token.
const BASE = new URL("api/", document.baseURI);

/** An error that the server explained. */
class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

let lost = false;
const listeners = new Set();

/** Call a function with true when the server stops answering, and with false when it answers again. */
export function onConnection(listener) {
  listeners.add(listener);
}

function setLost(value) {
  if (lost === value) return;
  lost = value;
  for (const listener of listeners) listener(value);
  if (value) retry();
}

async function retry() {
  while (lost) {
    await new Promise((done) => setTimeout(done, 700));
    try {
      if ((await fetch(new URL("status", BASE))).ok) setLost(false);
    } catch { /* not yet */ }
  }
}

async function request(method, path, body, headers = {}) {
  let answer;
  try {
    answer = await fetch(new URL(path, BASE), { method, body, headers });
  } catch (error) {
    if (error.name !== "AbortError") setLost(true);
    throw new ApiError("The server does not answer. Is mmt-studio still running?", 0);
  }
  setLost(false);
  const text = await answer.text();
  let json = null;
  try { json = JSON.parse(text); } catch { /* a refusal is plain text */ }
  if (!answer.ok) throw new ApiError(json?.error ?? (text.trim() || `The server answered ${answer.status}.`), answer.status);
  return json;
}

export const get = (path) => request("GET", path);
export const remove = (path) => request("DELETE", path);
export const post = (path, body = {}) => request("POST", path, JSON.stringify(body), { "content-type": "application/json" });

/** Send a file; the answer is the new piece. */
export async function upload(file, mostMegabytes) {
  if (file.size > mostMegabytes * 2 ** 20)
    throw new ApiError(`${file.name} is too large: the studio takes files of up to ${mostMegabytes} MB.`, 413);
  return request("POST", `files?name=${encodeURIComponent(file.name)}`, file, { "content-type": "application/octet-stream" });
}

/** The address of a download. */
export function downloadUrl(piece, kind) {
  return new URL(`pieces/${piece}/download/${kind}`, BASE).href;
}

/** Follow a job: call `hear` with each message. Returns a function that stops following (not the job). */
export function follow(job, hear) {
  const source = new EventSource(new URL(`jobs/${job}/events`, BASE));
  const close = () => source.close();
  source.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (["done", "stopped", "failed"].includes(message.type)) close();
    hear(message);
  };
  source.onerror = () => {
    // The browser tries again by itself, unless the server refused.
    if (source.readyState === EventSource.CLOSED) hear({ type: "failed", text: "The writing was interrupted. Start it again." });
    else setLost(true);
  };
  return close;
}
