// What pages do beyond what their HTML does: copying, keys put into snippets, charts drawn from tables.
"use strict";

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const from = document.getElementById(button.dataset.copy);
    const words = button.firstChild;
    try {
      await navigator.clipboard.writeText(from.textContent);
      words.data = "Copied";
    } catch {
      // Without TLS browsers keep the clipboard to themselves: what is selected can be copied by hand.
      const range = document.createRange();
      range.selectNodeContents(from);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      words.data = document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
    }
    setTimeout(() => { words.data = "Copy"; }, 2000);
  });
}

// Who looks elsewhere is not here: what renews itself rests meanwhile, and the session may end.
document.addEventListener("htmx:beforeRequest", (event) => { if (document.hidden) event.preventDefault(); });

for (const one of document.querySelectorAll(".needs-js")) one.hidden = false;

// Snippets: the reader's key, and a model that it may use. No name but a plain one goes into a line for a shell.
const places = [...document.querySelectorAll(".snippet pre")].map((pre) => [pre, pre.textContent]);
const filled = { YOUR_KEY: "YOUR_KEY", MODEL: "MODEL" };

function fill(words) {
  Object.assign(filled, words);
  for (const [pre, text] of places) pre.textContent = text.replace(/\b(YOUR_KEY|MODEL)\b/g, (word) => filled[word]);
}

async function fillModel(key) {
  if (!places.some(([, text]) => /\bMODEL\b/.test(text))) return;
  const answer = await fetch("/v1/models", { headers: { authorization: "Bearer " + key } }).catch(() => null);
  const models = answer?.ok ? (await answer.json()).data.map((model) => model.id) : [];
  fill({ MODEL: models.find((id) => /^[\w./:@-]+$/.test(id)) ?? "MODEL" });
}

for (const input of document.querySelectorAll("[data-fills]")) {
  input.addEventListener("input", () => {
    const key = input.value.trim();
    fill({ [input.dataset.fills]: key || input.dataset.fills });
    if (/^tv-\w{40,}$/.test(key)) fillModel(key);
  });
}
for (const shown of document.querySelectorAll("[data-is-key]")) fillModel(shown.textContent);
// Loaded again, a page that shows what is shown once would make another: what is loaded then is the list.
for (const shown of document.querySelectorAll("[data-done]")) history.replaceState(null, "", shown.dataset.done);

// Where there is room the menu is there; browsers that cannot be told so by style are told here.
const menu = document.querySelector(".pages");
if (menu && !CSS.supports("selector(::details-content)")) menu.open = matchMedia("(min-width: 48.01rem)").matches;

// What was sent once is not sent again by a second click.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
}
// A page that comes back says in its filters what they were when it was made, as its figures do.
addEventListener("pageshow", (event) => {
  for (const form of document.forms) {
    delete form.dataset.sent;
    if (event.persisted && form.getAttribute("method") === "get") form.reset();
  }
});

// A day that is chosen is meant; one that is not looked at must not stand there.
const period = document.getElementById("period");
for (const name of period ? ["since", "until"] : []) {
  const day = document.getElementById(name);
  if (!day) continue;
  day.addEventListener("change", () => { period.value = "custom"; });
  period.addEventListener("change", () => { if (period.value !== "custom") day.value = ""; });
}

for (const select of document.querySelectorAll("select[data-sends]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

function seconds(cell) {
  if (cell.dataset.at) return Number(cell.dataset.at);
  const said = cell.dataset.day;
  return Date.parse(said.length === 10 ? said + "T00:00Z" : said) / 1000;
}

// As everywhere on these pages: 24 hours, year-month-day. Increment, text, and text where a greater unit begins.
const TIMES = [
  [31536000, "{YYYY}", null, null, null, null, null, null, 1],
  [2419200, "{YYYY}-{MM}", null, null, null, null, null, null, 1],
  [86400, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
  [3600, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
];

function draw(place) {
  const table = document.getElementById(place.dataset.chart);
  const heads = [...table.tHead.rows[0].cells].slice(1);
  const rows = [...table.tBodies[0].rows];
  if (rows.length === 0) return;
  const times = rows.map((row) => seconds(row.cells[0]));
  const columns = heads.map((_, i) => rows.map((row) => Number(row.cells[i + 1].dataset.value)));
  const style = getComputedStyle(document.documentElement);
  const [ink, line] = ["--faint", "--line"].map((name) => style.getPropertyValue(name).trim());
  const colors = ["--bar", "--bar-2", "--bad", "--good"].map((name) => style.getPropertyValue(name).trim());
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const scale = (i) => (heads[i].dataset.usd ? "usd" : /token/.test(heads[i].textContent) ? "tokens" : "n");
  const wide = [0.7 * Number(place.dataset.step)]; // of the hour, day or month, from its beginning
  const bars = uPlot.paths.bars({ disp: { x0: { unit: 1, values: () => times }, size: { unit: 1, values: () => wide } } });
  const short = (v) => Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(v);
  const show = (name) => (_, v) => (v == null ? "–" : name === "usd" ? "$" + v.toFixed(4) : short(v));
  const used = [...new Set(heads.map((_, i) => scale(i)))];
  const shown = new Set(heads.slice(0, 2).map((_, i) => scale(i)));
  place.replaceChildren();
  new uPlot({
    width: Math.max(280, place.parentElement.clientWidth - 36),
    height: 220,
    tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
    cursor: { y: false },
    scales: {
      x: place.dataset.since ? { range: [Number(place.dataset.since), Number(place.dataset.until)] } : {},
      ...Object.fromEntries(used.map((name) => [name, { range: (_, least, most) => [0, most * 1.1 || 1] }])),
    },
    axes: [{ ...axis, values: TIMES }, ...used.map((name, i) => ({
      ...axis, scale: name, show: shown.has(name), side: i ? 1 : 3, size: 64, grid: { show: i === 0, stroke: line, width: 1 },
      values: (_, all) => all.map((v) => (name === "usd" ? "$" + (v < 0.01 && v ? v.toPrecision(1) : v.toFixed(2)) : short(v))),
    }))],
    series: [{ value: "{YYYY}-{MM}-{DD} {HH}:{mm}" }, ...heads.map((head, i) => ({
      label: head.textContent, scale: scale(i), stroke: colors[i % 4], width: 2, value: show(scale(i)),
      fill: i === 0 ? colors[0] + "66" : undefined, paths: i === 0 ? bars : undefined, points: { show: i !== 0 && rows.length < 32 },
      show: i < 2,
    }))],
  }, [times, ...columns], place);
}

if (window.uPlot) {
  const charts = [...document.querySelectorAll("[data-chart]")];
  const all = () => charts.forEach(draw);
  all();
  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(all, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
}
