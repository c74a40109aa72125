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

for (const input of document.querySelectorAll("[data-fills]")) {
  const places = [...document.querySelectorAll(".snippet pre")].map((pre) => [pre, pre.textContent]);
  input.addEventListener("input", () => {
    const key = input.value.trim() || input.dataset.fills;
    for (const [pre, text] of places) pre.textContent = text.replaceAll(input.dataset.fills, key);
  });
}

for (const select of document.querySelectorAll("select[data-sends]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

function seconds(cell) {
  if (cell.dataset.at) return Number(cell.dataset.at);
  const said = cell.dataset.day;
  return Date.parse(said.length === 10 ? said + "T00:00Z" : said) / 1000;
}

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
  const bars = uPlot.paths.bars({ size: [0.7, 60], align: 1 }); // from the beginning of the hour or day
  const short = (v) => Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(v);
  const show = (name) => (_, v) => (v == null ? "–" : name === "usd" ? "$" + v.toFixed(4) : short(v));
  const used = [...new Set(heads.map((_, i) => scale(i)))];
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
    axes: [axis, ...used.slice(0, 2).map((name, i) => ({
      ...axis, scale: name, side: i ? 1 : 3, size: 64, grid: { show: i === 0, stroke: line, width: 1 },
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
