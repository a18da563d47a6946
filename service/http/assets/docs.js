/* The page at /docs: every route of the OpenAPI document, with a form that asks it. */

import { CHINESE, WORDS } from "/assets/docs.words.js";

export { WORDS };

const at = id => document.getElementById(id);
let language = remembered("language") || (navigator.language.startsWith("zh") ? "zh" : "en");

function remembered(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}

function remember(name, value) {
  try { localStorage.setItem(name, value); } catch { /* a browser that keeps nothing */ }
}

/* Names in backticks are code. */
function write(target, sentence) {
  target.replaceChildren(...sentence.split("`").map((part, place) =>
    place % 2 ? element("code", { text: part }) : part));
}

/* `say` is a word of this page; `told` is what the document says in English; `text` stays as it is. */
function element(tag, { say, told, text, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (say) made.dataset.say = say;
  if (told) write(made, made.dataset.told = told);
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

function translate() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const spoken of document.querySelectorAll("[data-say]")) {
    spoken.textContent = WORDS[language][spoken.dataset.say];
  }
  for (const one of document.querySelectorAll("[data-told]")) {
    write(one, language === "zh" && CHINESE[one.dataset.told] || one.dataset.told);
  }
  at("language").textContent = WORDS[language].other;
  at("language").lang = language === "zh" ? "en" : "zh-CN";
}

/* A schema with its references followed, and the name that it was referred to by. */
function resolved(schema, components) {
  const name = schema.$ref && schema.$ref.split("/").pop();
  return name ? { ...components[name], name } : schema;
}

function typeOf(schema, components) {
  const { name, type, anyOf, items, const: only, enum: choices } = resolved(schema, components);
  if (only !== undefined) return JSON.stringify(only);
  if (choices) return choices.join(" | ");
  if (anyOf) return anyOf.map(part => typeOf(part, components)).join(" | ");
  if (type === "array") return `[${items ? typeOf(items, components) : ""}]`;
  return name || [type].flat().join(" | ") || "any";
}

/* What bounds a value, in parts that are translated one by one. */
function limits(schema) {
  const said = [];
  if ("minimum" in schema || "maximum" in schema) said.push([`${schema.minimum ?? "…"}–${schema.maximum ?? "…"}`]);
  if ("maxLength" in schema) said.push([`≤ ${schema.maxLength} `, "chars"]);
  if ("maxItems" in schema) said.push([`≤ ${schema.maxItems} `, "items"]);
  if ("default" in schema) said.push(["", "default", ` ${JSON.stringify(schema.default)}`]);
  return said.map(([before, say, after = ""], place) => element("span", {},
    place ? "; " : " ", before, ...(say ? [element("span", { say })] : []), after));
}

/* One table for a named schema, and then those that it refers to. */
function tables(schema, components, caption, done = new Set()) {
  const { name, properties, required = [], items, anyOf, description, additionalProperties } =
    resolved(schema, components);
  const inner = [items, additionalProperties, ...(anyOf || [])].filter(part => part && typeof part === "object");
  if (!properties) return inner.flatMap(part => tables(part, components, caption, done));
  if (done.has(name)) return [];
  done.add(name);
  const head = element("tr", {}, ...["field", "type", "what"].map(say => element("th", { scope: "col", say })));
  const rows = Object.entries(properties).map(([field, raw]) => {
    const whole = resolved(raw, components);
    const told = raw.description || whole.description;
    return element("tr", {},
      element("th", { scope: "row" }, element("code", { text: field + (required.includes(field) ? "" : "?") })),
      element("td", {}, element("code", { text: typeOf(raw, components) })),
      element("td", {}, ...(told ? [element("span", { told })] : []), ...limits(whole)));
  });
  const title = element("caption", {}, element("span", done.size === 1 ? { say: caption } : { text: name }));
  if (description) title.append(element("span", { class: "note", told: description }));
  const table = element("table", { class: "schema" }, title,
    element("thead", {}, head), element("tbody", {}, ...rows));
  return [element("div", { class: "scroll", tabindex: "0" }, table)].concat(Object.values(properties).flatMap(part => tables(part, components, caption, done)));
}

async function send(operation, form, output) {
  const path = operation.path.replace(/{(\w+)}/g, (_, name) => encodeURIComponent(form.elements[name].value));
  const body = form.elements.body;
  const given = (operation.parameters || [])
    .filter(one => one.in === "header" && form.elements[one.name].value.trim())
    .map(one => [one.name, form.elements[one.name].value.trim()]);
  const key = at("key").value.trim();
  output.replaceChildren();
  try {
    const began = performance.now();
    const response = await fetch(path, {
      method: operation.method,
      headers: {
        ...Object.fromEntries(given),
        ...(body && { "Content-Type": "application/json" }),
        ...(key && { Authorization: `Bearer ${key}` }),
      },
      body: body && body.value,
    });
    if (response.status === 401) at("key-form").hidden = false;
    const text = await response.text();
    const milliseconds = (performance.now() - began).toFixed(1);
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* it is no JSON */ }
    const headers = ["Content-Type", "Retry-After", "Server-Timing", "traceparent"]
      .filter(name => response.headers.get(name)).map(name => `${name}: ${response.headers.get(name)}`);
    output.append(
      element("p", {}, element("strong", { text: `${response.status} ${response.statusText}` }), ` · ${milliseconds} ms`),
      element("pre", { tabindex: "0", text: headers.join("\n") }),
      element("pre", { tabindex: "0", lang: "zh-CN", text: shown }));
  } catch {
    output.append(element("p", { class: "error", text: WORDS[language].unreachable }));
  }
}

function operationOf(operation, components) {
  const { method, path, summary, description, parameters = [], requestBody, responses, operationId } = operation;
  const form = element("form", { class: "inside" });
  if (description) form.append(element("p", { told: description }));
  const taken = requestBody && requestBody.content["application/json"].schema;
  if (taken) {
    const id = `${operationId}-body`;
    const [example] = resolved(taken, components).examples || [{}];
    const area = element("textarea", { id, name: "body", class: "code", spellcheck: "false", lang: "zh-CN" });
    area.value = JSON.stringify(example, null, 2);
    form.append(element("div", { class: "field" }, element("label", { for: id, say: "body" }), area));
  }
  for (const { name, required, description: what = "" } of parameters) {
    const id = `${operationId}-${name}`;
    form.append(element("div", { class: "field" },
      element("label", { for: id, text: name }),
      element("input", { id, name, autocomplete: "off", ...(required && { required: "" }) }),
      element("p", { class: "note", told: what })));
  }
  const output = element("div", { role: "status", "aria-live": "polite" });
  form.append(element("button", { type: "submit", class: "primary", say: "send" }), output);
  if (taken) form.append(...tables(taken, components, "takes"));
  const given = responses["200"].content["application/json"];
  if (given) form.append(...tables(given.schema, components, "gives"));
  form.addEventListener("submit", event => {
    event.preventDefault();
    send(operation, form, output);
  });
  return element("details", { class: "operation card", id: operationId },
    element("summary", {}, element("code", { class: "method", text: method }),
      element("code", { text: path }), element("span", { class: "note", told: summary })),
    form);
}

async function load() {
  const key = at("key").value.trim();
  const response = await fetch("/openapi.json", { headers: { ...(key && { Authorization: `Bearer ${key}` }) } });
  if (response.status === 401) {
    at("key-form").hidden = false;
    return;
  }
  const document_ = await response.json();
  const groups = new Map();
  for (const [path, item] of Object.entries(document_.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const [tag] = operation.tags;
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push({ ...operation, path, method: method.toUpperCase() });
    }
  }
  at("operations").replaceChildren();
  at("version").textContent = `OpenAPI ${document_.openapi} · ${document_.info.version}`;
  for (const [tag, operations] of groups) {
    at("operations").append(element("section", { class: "group" }, element("h2", { told: tag }),
      ...operations.map(operation => operationOf(operation, document_.components.schemas))));
  }
  at("operations").querySelector("details").open = true;
  translate();
}

at("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  remember("language", language);
  translate();
});

at("key-form").addEventListener("submit", event => {
  event.preventDefault();
  start();
});

function start() {
  load().catch(() => { at("error").textContent = WORDS[language].unreachable; });
}

translate();
start();
