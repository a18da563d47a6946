/* The page at /: asks /predict, and shows the answer, the differences and the request's stages. */

import { differences } from "/assets/differences.js";
import { PROBLEMS, WORDS } from "/assets/page.words.js";

export { WORDS };

const LABELS = ["exact_match", "partial_match", "not_match"];

/* Made up, like all addresses that this project shows. */
const EXAMPLES = [
  ["朝阳区建国路88号现代城5号楼1203室", "北京市朝阳区建国路88号现代城5号楼1203室"],
  ["杭州市西湖区文三路478号华星时代广场A座", "文三路478号华星时代广场"],
  ["浦东新区世纪大道100号", "滨江区江南大道1088号"],
];

const at = id => document.getElementById(id);
let language = remembered("language") || (navigator.language.startsWith("zh") ? "zh" : "en");
let shown = null; // the last answer: {pair, answer, stages, seconds, trace}
let running = null; // the request under way
let model = null; // the model that answered last
let problem = null; // what is wrong, said in the language that is asked for then

function remembered(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}

function remember(name, value) {
  try { localStorage.setItem(name, value); } catch { /* a browser that keeps nothing */ }
}

function say(word, ...values) {
  const said = WORDS[language][word];
  return typeof said === "function" ? said(...values) : said;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function translate() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = `MGeo · ${say("title")}`;
  for (const spoken of document.querySelectorAll("[data-say]")) {
    spoken.textContent = say(spoken.dataset.say);
  }
  at("language").textContent = say("other");
  at("language").lang = language === "zh" ? "en" : "zh-CN";
  if (shown) show(shown);
  if (model) nameModel(model);
  if (problem) at("error").textContent = problem();
}

/* One address, its parts marked as they were found. */
function marked(target, parts) {
  const tags = { both: "span", moved: "u", only: "mark" };
  target.replaceChildren(...parts.map(part => element(tags[part.found], "", part.text)));
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function milliseconds(value) {
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ms`;
}

/* The Server-Timing header: the stages in order, each beginning where the one before it ended. */
function stagesOf(header) {
  let start = 0;
  return (header || "").split(",").filter(Boolean).map(part => {
    const [name, duration] = part.trim().split(";dur=");
    const stage = { name, start, duration: Number(duration) };
    start += stage.duration;
    return stage;
  });
}

function showStages(stages, seconds) {
  const total = stages.reduce((sum, stage) => sum + stage.duration, 0) || 1;
  at("total").textContent = say("total", milliseconds(total), milliseconds(seconds * 1000));
  at("waterfall").replaceChildren(...stages.map(stage => {
    const row = element("li");
    const name = element("span", "name", say(stage.name) || stage.name);
    name.append(element("small", "", say(`${stage.name}_what`) || ""));
    const lane = element("span", "lane"), span = element("span", "span");
    lane.setAttribute("aria-hidden", "true");
    span.style.insetInlineStart = `${Math.min(99.5, 100 * stage.start / total)}%`;
    span.style.width = `${100 * stage.duration / total}%`;
    lane.append(span);
    row.append(name, lane, element("span", "time", milliseconds(stage.duration)));
    return row;
  }));
}

/* What the trace knows beyond the header; nothing where another replica answered the request. */
function showTrace(id, trace) {
  at("trace-id").textContent = id;
  at("trace-url").hidden = !(trace && trace.url);
  if (trace && trace.url) at("trace-url").href = trace.url;
  const request = trace && trace.requests[trace.requests.length - 1];
  const of = name => (request && request.stages.find(stage => stage.name === name) || {}).attributes || {};
  const compute = of("compute");
  at("batch").textContent = of("admit")["mgeo.pairs.cached"] === 1
    ? say("cached")
    : "mgeo.batch.size" in compute
      ? say("batch", compute["mgeo.batch.size"], compute["mgeo.batch.tokens"], compute["mgeo.device"])
      : "";
}

function show({ pair, answer, stages, seconds, id, trace }) {
  at("verdict").textContent = say(answer.label);
  at("verdict").className = answer.label;
  at("meaning").textContent = say(`${answer.label}_means`);
  at("similarity").textContent = answer.similarity.toFixed(3);
  at("truncated").hidden = !answer.truncated;
  at("unread").hidden = !answer.unread;
  at("unread").textContent = answer.unread ? say("unread", percent(answer.unread)) : "";
  at("probabilities").replaceChildren(...LABELS.map(label => {
    const share = answer.probabilities[label];
    const row = element("tr", label), name = element("th", "", say(label));
    name.scope = "row";
    const bar = element("td", "bar"), track = element("span", "track"), fill = element("span", "fill");
    track.setAttribute("aria-hidden", "true");
    fill.style.width = `${100 * share}%`;
    track.append(fill);
    bar.append(track);
    row.append(name, bar, element("td", "share", percent(share)));
    return row;
  }));
  const [first, second] = differences(...pair);
  marked(at("first"), first);
  marked(at("second"), second);
  showStages(stages, seconds);
  showTrace(id, trace);
  at("result").hidden = false;
}

function fail(said, fields = []) {
  problem = said;
  at("error").textContent = said ? said() : "";
  for (const name of ["address1", "address2"]) {
    at(name).setAttribute("aria-invalid", fields.includes(name) ? "true" : "false");
  }
  if (fields.length) at(fields[0]).focus();
}

function headers(more) {
  const key = at("key").value.trim();
  return { ...more, ...(key && { Authorization: `Bearer ${key}` }) };
}

/* A problem document as the page says it. */
function told(answer, wait) {
  const known = PROBLEMS[(answer.type || "").replace("urn:mgeo:problem:", "")];
  const detail = answer.detail || answer.title || "";
  return (language === "zh" && known ? known(detail) : detail) + (wait ? say("wait", wait) : "");
}

/* Asks for the pair in the form. `fresh`: past the cache; `quiet`: nobody has asked for it yet. */
async function compare({ fresh = false, quiet = false } = {}) {
  const pair = [at("address1").value, at("address2").value];
  const blank = ["address1", "address2"].filter((_, index) => !pair[index].trim());
  fail(null);
  if (blank.length) return fail(() => say("empty"), blank);
  if (running) running.abort();
  const mine = running = new AbortController();
  at("compare").setAttribute("aria-busy", "true");
  try {
    const began = performance.now();
    const response = await fetch("/predict", {
      method: "POST",
      headers: headers({ "Content-Type": "application/json", ...(fresh && { "Cache-Control": "no-cache" }) }),
      body: JSON.stringify({ address1: pair[0], address2: pair[1] }),
      signal: mine.signal,
    });
    const answer = await response.json();
    const seconds = (performance.now() - began) / 1000;
    if (!response.ok) {
      if (response.status === 401) at("key-field").hidden = false;
      if (response.status === 401 && quiet) return;
      const wait = response.headers.get("Retry-After");
      const faulty = ["address1", "address2"].filter(field => (answer.detail || "").startsWith(field));
      return fail(() => told(answer, wait), faulty);
    }
    const id = (response.headers.get("traceparent") || "").split("-")[1] || "";
    const stages = stagesOf(response.headers.get("Server-Timing"));
    shown = { pair, answer, stages, seconds, id, trace: null };
    show(shown);
    nameModel(answer.model);
    at("spoken").textContent = say("spoken", say(answer.label), answer.similarity.toFixed(3));
    if (window.innerWidth < 736 && !quiet) at("verdict").focus();
    const found = await fetch(`/traces/${id}`, { headers: headers({}), signal: mine.signal });
    if (found.ok) {
      shown.trace = await found.json();
      showTrace(id, shown.trace);
    }
  } catch (error) {
    if (error.name !== "AbortError") fail(() => say("unreachable"));
  } finally {
    if (running === mine) {
      running = null;
      at("compare").removeAttribute("aria-busy");
    }
  }
}

function nameModel(answered) {
  model = answered;
  at("model-name").textContent = `${model.name} · ${model.version}`;
  at("model-description").textContent = say("about", model.description || "");
  at("model").hidden = false;
}

at("form").addEventListener("submit", event => {
  event.preventDefault();
  compare();
});

/* The fields grow with a long address, but hold one line of text: Enter asks, pasted lines join. */
for (const field of [at("address1"), at("address2")]) {
  field.addEventListener("keydown", event => {
    // The Enter that ends a composition chooses a word of Chinese.
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    at("form").requestSubmit();
  });
  field.addEventListener("input", () => {
    if (/[\r\n]/.test(field.value)) field.value = field.value.replace(/[\r\n]+/g, " ");
  });
}

for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => {
    [at("address1").value, at("address2").value] = EXAMPLES[button.dataset.example];
    compare();
  });
}

at("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  remember("language", language);
  translate();
});

at("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(at("trace-id").textContent);
    at("copy").textContent = say("copied");
    setTimeout(() => { at("copy").textContent = say("copy"); }, 1500);
  } catch {
    getSelection().selectAllChildren(at("trace-id")); // no clipboard without HTTPS: to copy by hand
  }
});

at("again").addEventListener("click", () => compare({ fresh: true }));

[at("address1").value, at("address2").value] = EXAMPLES[1];
translate();
fetch("/model", { headers: headers({}) })
  .then(response => response.ok ? response.json().then(nameModel) : null)
  .catch(() => null);
compare({ quiet: true });
