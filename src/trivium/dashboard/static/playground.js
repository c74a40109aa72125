// Calls the gateway as every client does, and shows what it says.
"use strict";

const form = document.getElementById("playground");
const $ = (name) => document.getElementById("p-" + name);
const URLS = { chat: "/v1/chat/completions", responses: "/v1/responses", messages: "/v1/messages" };
let stop = null;
let made = null;
const AWAY = "You are not signed in any more, or signed in anew: load the page again.";

function body() {
  const [api, model, system, text] = [$("api").value, $("model").value.trim(), $("system").value, $("text").value];
  const most = Number($("most").value) || 512;
  const stream = $("stream").checked ? { stream: true } : {};
  const user = { role: "user", content: text };
  if (api === "chat") {
    const messages = system ? [{ role: "system", content: system }, user] : [user];
    return { model, messages, max_tokens: most, ...stream };
  }
  if (api === "responses") return { model, input: text, ...(system && { instructions: system }), max_output_tokens: most, ...stream };
  return { model, ...(system && { system }), messages: [user], max_tokens: most, ...stream };
}

const quoted = (text) => "'" + text.replaceAll("'", "'\\''") + "'";

function code() {
  const url = form.dataset.url + URLS[$("api").value];
  const said = JSON.stringify(body(), null, 2);
  $("curl").textContent = `curl -N ${quoted(url)} \\\n  -H "Authorization: Bearer $TRIVIUM_KEY" -H 'Content-Type: application/json' \\\n  -d ${quoted(said)}`;
  $("python").textContent = `import json, os, urllib.request\n\nbody = json.loads(r"""\n${said.replaceAll('"""', '\\u0022\\u0022\\u0022')}\n""")\nrequest = urllib.request.Request(\n    ${JSON.stringify(url)},\n    json.dumps(body).encode(),\n    {"Authorization": "Bearer " + os.environ["TRIVIUM_KEY"], "Content-Type": "application/json"},\n)\nwith urllib.request.urlopen(request) as answer:\n    for line in answer:\n        print(line.decode(), end="")`;
  $("js").textContent = `const answer = await fetch(${JSON.stringify(url)}, {\n  method: "POST",\n  headers: { Authorization: "Bearer " + process.env.TRIVIUM_KEY, "Content-Type": "application/json" },\n  body: JSON.stringify(${said}),\n});\nfor await (const piece of answer.body.pipeThrough(new TextDecoderStream())) process.stdout.write(piece);`;
}

// What the dashboard itself says. Where it answers with a page or leads to one, there is nothing to be read.
async function asked(where, options) {
  const answer = await fetch(where, { ...options, redirect: "manual" });
  if ((answer.headers.get("content-type") ?? "").startsWith("application/json")) {
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.error);
    return told;
  }
  const away = answer.type === "opaqueredirect" || answer.status === 403;
  throw Object.assign(new Error(away ? AWAY : `The dashboard has no answer (${answer.status}).`), { status: answer.status });
}

async function key() {
  const typed = $("key").value.trim();
  if (typed) return typed;
  if (!(made && made.expires_ms > Date.now() + 10000)) {
    made = await asked(form.dataset.keyAt, { method: "POST", headers: { "x-csrf-token": form.dataset.csrf } });
  }
  return made.key;
}

function say(text, kind) {
  if (!text) return;
  let part = $("answer").lastChild;
  if (part?.className !== (kind || "")) {
    part = document.createElement("span");
    part.className = kind || "";
    $("answer").append(part);
  } else if (kind === "wrong" && part.textContent === text) return; // the same, told by two events
  part.append(text);
}

// What is text in an event, or in a whole answer, of each API.
const READ = {
  chat: (e) => {
    const one = e.choices?.[0];
    const said = one?.delta ?? one?.message;
    say(said?.reasoning_content ?? said?.reasoning, "thought");
    say(said?.content ?? said?.refusal);
  },
  responses: (e) => {
    if (/^response\.reasoning(_summary)?_text\.delta$/.test(e.type)) say(e.delta, "thought");
    if (/^response\.(output_text|refusal)\.delta$/.test(e.type)) say(e.delta);
    if (e.type === "response.failed") say(e.response.error?.message ?? "The answer failed.", "wrong");
    if (e.status === "failed" && !e.error) say("The answer failed.", "wrong");
    if (e.type === "error") say(e.message, "wrong");
    for (const item of (e.object === "response" && e.output) || []) {
      for (const part of item.summary ?? []) say(part.text, "thought");
      for (const part of item.content ?? []) say(part.text ?? part.refusal);
    }
  },
  messages: (e) => {
    if (e.type === "content_block_delta") say(e.delta.thinking ?? e.delta.text, "thinking" in e.delta && "thought");
    for (const part of e.type === "message" ? e.content : []) say(part.thinking ?? part.text, part.type === "thinking" && "thought");
  },
};

function read(line, api) {
  if (!line.startsWith("data:") || line.slice(5).trim() === "[DONE]") return;
  try {
    const event = JSON.parse(line.slice(5));
    if (event.error) say(event.error.message ?? JSON.stringify(event.error), "wrong");
    READ[api](event);
  } catch { /* no event that we know: it stands among the raw ones */ }
}

async function stream(answer, api) {
  let rest = "";
  for (const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    $("raw").append(value);
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) read(line, api);
  }
}

async function whole(answer, api) {
  const text = await answer.text();
  try {
    const told = JSON.parse(text);
    $("raw").textContent = JSON.stringify(told, null, 2);
    if (answer.ok) READ[api](told);
    if (told.error || !answer.ok) say(told.error?.message ?? text, "wrong"); // inside a 200 answer too
  } catch {
    $("raw").textContent = text;
    say(text, !answer.ok && "wrong");
  }
}

async function tell(id, began, ...words) {
  words.push(`${((performance.now() - began) / 1000).toFixed(2)} s`);
  try {
    const told = await asked(`${form.dataset.costAt}${encodeURIComponent(id)}/cost`);
    words.unshift(
      `$${(told.cost_nano / 1e9).toFixed(6)}${told.estimated ? " (estimated)" : ""}`,
      `${told.input_tokens ?? "–"} → ${told.output_tokens ?? "–"} tokens`,
    );
  } catch (error) {
    if (error.status === 404) { // the key that was typed is nobody's, or not of whose calls these pages tell
      $("told").textContent = ["This call is not one of those that are seen here.", ...words, id].join(" · ");
      return;
    }
    words.unshift(error.message);
  }
  const link = document.createElement("a");
  link.href = form.dataset.costAt + encodeURIComponent(id);
  link.textContent = id;
  $("told").replaceChildren(words.join(" · ") + " · ", link);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const api = $("api").value;
  stop = new AbortController();
  $("send").disabled = true;
  $("stop").disabled = false;
  $("answer").replaceChildren();
  $("raw").textContent = "";
  $("told").textContent = "…";
  $("answer").setAttribute("aria-busy", "true"); // read out once it is whole
  const began = performance.now();
  let id = null;
  try {
    const headers = { authorization: "Bearer " + await key(), "content-type": "application/json" };
    const answer = await fetch(URLS[api], { method: "POST", headers, body: JSON.stringify(body()), signal: stop.signal });
    id = answer.headers.get("x-trivium-request-id");
    const streams = (answer.headers.get("content-type") ?? "").startsWith("text/event-stream");
    await (streams ? stream(answer, api) : whole(answer, api));
    await tell(id, began);
  } catch (error) {
    const words = error.name === "AbortError" ? "Stopped." : error.message;
    if (id) setTimeout(() => tell(id, began, words), 500); // what it came to until then
    else $("told").textContent = words;
  } finally {
    $("answer").setAttribute("aria-busy", "false");
    $("send").disabled = false;
    $("stop").disabled = true;
  }
});

// Whose key it is decides which models there are.
async function list() {
  const answer = await fetch("/v1/models", { headers: { authorization: "Bearer " + await key() } });
  if (!answer.ok) return;
  const models = (await answer.json()).data.map((model) => model.id);
  $("models").replaceChildren(...models.map((value) => Object.assign(document.createElement("option"), { value })));
  if (!$("model").value && models.length) $("model").value = models[0];
  code();
}
$("key").addEventListener("change", () => list().catch(() => {}));
$("model").addEventListener("focus", () => { if (!$("models").children.length && (form.dataset.makes || $("key").value)) list().catch(() => {}); });
$("stop").addEventListener("click", () => stop?.abort());
form.addEventListener("input", code);
code();
