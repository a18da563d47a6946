/* The page at /: asks /predict, and shows the answer, the differences and the request's stages. */

export const WORDS = {
  en: {
    title: "Are two addresses the same place?",
    docs: "API",
    address1: "The address you have",
    address2: "The candidate to compare",
    key: "API key",
    compare: "Compare",
    examples: "Examples:",
    example0: "same",
    example1: "partly",
    example2: "different",
    similarity: "similarity, 0 to 1",
    probabilities: "What the model believes",
    truncated: "The pair is longer than the model reads; its end was cut.",
    differences: "Differences",
    marked: "Marked",
    legend: "characters are in one address only. Found by this page, not by the model.",
    stages: "Where the time went",
    trace: "Trace",
    copy: "Copy",
    copied: "Copied",
    open: "Open the whole trace",
    footer: "The addresses go to this service and nowhere else, and appear in none of its logs, metrics or traces.",
    exact_match: "The same place",
    partial_match: "Partly the same",
    not_match: "Different places",
    admit: "admit", admit_what: "wait for a thread, check the request",
    tokenize: "tokenize", tokenize_what: "cut both addresses into tokens",
    queue: "queue", queue_what: "wait for the model",
    compute: "compute", compute_what: "the model, with others of its batch",
    respond: "respond", respond_what: "write the answer",
    total: (service, all) => `${service} in the service; ${all} with the network, as this browser saw it.`,
    cached: "This pair was answered from the cache: the model had scored it before.",
    batch: (pairs, tokens, device) => `Its batch: ${pairs} ${pairs === 1 ? "pair" : "pairs"}, ${tokens} tokens, on ${device}.`,
    spoken: (verdict, similarity) => `${verdict}. Similarity ${similarity}.`,
    empty: "Enter both addresses.",
    unreachable: "The service does not answer.",
    wait: seconds => ` Try again in ${seconds} s.`,
    other: "中文",
  },
  zh: {
    title: "两个地址是同一个地方吗？",
    docs: "接口",
    address1: "已有的地址",
    address2: "要比较的候选地址",
    key: "API 密钥",
    compare: "比较",
    examples: "示例：",
    example0: "相同",
    example1: "部分相同",
    example2: "不同",
    similarity: "相似度，0 到 1",
    probabilities: "模型的判断",
    truncated: "这对地址超过模型能读的长度，末尾被截断。",
    differences: "差异",
    marked: "标出",
    legend: "的字只出现在一个地址中。由本页比较得出，与模型无关。",
    stages: "时间花在哪里",
    trace: "追踪",
    copy: "复制",
    copied: "已复制",
    open: "查看完整追踪",
    footer: "地址只发送到本服务，不会出现在它的日志、指标或追踪里。",
    exact_match: "同一地点",
    partial_match: "部分匹配",
    not_match: "不是同一地点",
    admit: "接收", admit_what: "等待线程，检查请求",
    tokenize: "分词", tokenize_what: "把两个地址切成词元",
    queue: "排队", queue_what: "等待模型",
    compute: "计算", compute_what: "模型与同批请求一起计算",
    respond: "应答", respond_what: "写出结果",
    total: (service, all) => `服务用时 ${service}；从浏览器看，含网络共 ${all}。`,
    cached: "这对地址来自缓存：模型之前已经算过。",
    batch: (pairs, tokens, device) => `所在批次：${pairs} 对，${tokens} 个词元，设备 ${device}。`,
    spoken: (verdict, similarity) => `${verdict}。相似度 ${similarity}。`,
    empty: "请填写两个地址。",
    unreachable: "服务没有应答。",
    wait: seconds => ` 请在 ${seconds} 秒后重试。`,
    other: "English",
  },
};

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
}

/* Which characters of each text have no partner in a longest common subsequence. Full-width forms
   and capitals count as their plain twins. */
function differences(first, second) {
  const plain = text => Array.from(text, one => one.normalize("NFKC").toLowerCase());
  const a = plain(first), b = plain(second);
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      longest[i][j] = a[i] === b[j]
        ? longest[i + 1][j + 1] + 1
        : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  const onlyA = a.map(() => true), onlyB = b.map(() => true);
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i] === b[j]) { onlyA[i++] = false; onlyB[j++] = false; }
    else if (longest[i + 1][j] >= longest[i][j + 1]) i++;
    else j++;
  }
  return [onlyA, onlyB];
}

function marked(target, text, only) {
  target.replaceChildren();
  Array.from(text).forEach((character, index) => {
    const last = target.lastChild;
    const tag = only[index] ? "MARK" : "SPAN";
    if (last && last.tagName === tag) last.textContent += character;
    else target.append(element(tag, "", character));
  });
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
  at("similarity").textContent = answer.similarity.toFixed(3);
  at("truncated").hidden = !answer.truncated;
  at("probabilities").replaceChildren(...LABELS.map(label => {
    const share = answer.probabilities[label];
    const row = element("tr", label), name = element("th", "", say(label));
    name.scope = "row";
    const bar = element("td", "bar"), track = element("span", "track"), fill = element("span", "fill");
    track.setAttribute("aria-hidden", "true");
    fill.style.width = `${100 * share}%`;
    track.append(fill);
    bar.append(track);
    row.append(name, bar, element("td", "share", `${(100 * share).toFixed(1)} %`));
    return row;
  }));
  const [onlyFirst, onlySecond] = differences(...pair);
  marked(at("first"), pair[0], onlyFirst);
  marked(at("second"), pair[1], onlySecond);
  showStages(stages, seconds);
  showTrace(id, trace);
  at("result").hidden = false;
}

function fail(message, fields = []) {
  at("error").textContent = message;
  for (const name of ["address1", "address2"]) {
    at(name).setAttribute("aria-invalid", fields.includes(name) ? "true" : "false");
  }
  if (fields.length) at(fields[0]).focus();
}

function headers(more) {
  const key = at("key").value.trim();
  return { ...more, ...(key && { Authorization: `Bearer ${key}` }) };
}

async function compare() {
  const pair = [at("address1").value, at("address2").value];
  const blank = ["address1", "address2"].filter((_, index) => !pair[index].trim());
  fail("");
  if (blank.length) return fail(say("empty"), blank);
  if (running) running.abort();
  const mine = running = new AbortController();
  at("compare").setAttribute("aria-busy", "true");
  try {
    const began = performance.now();
    const response = await fetch("/predict", {
      method: "POST",
      headers: headers({ "Content-Type": "application/json" }),
      body: JSON.stringify({ address1: pair[0], address2: pair[1] }),
      signal: mine.signal,
    });
    const answer = await response.json();
    const seconds = (performance.now() - began) / 1000;
    if (!response.ok) {
      if (response.status === 401) at("key-field").hidden = false;
      const wait = response.headers.get("Retry-After");
      const faulty = ["address1", "address2"].filter(field => (answer.detail || "").startsWith(field));
      return fail((answer.detail || answer.title) + (wait ? say("wait", wait) : ""), faulty);
    }
    const id = (response.headers.get("traceparent") || "").split("-")[1] || "";
    const stages = stagesOf(response.headers.get("Server-Timing"));
    shown = { pair, answer, stages, seconds, id, trace: null };
    show(shown);
    nameModel(answer.model);
    at("spoken").textContent = say("spoken", say(answer.label), answer.similarity.toFixed(3));
    if (window.innerWidth < 736) at("verdict").focus();
    const found = await fetch(`/traces/${id}`, { headers: headers({}), signal: mine.signal });
    if (found.ok) {
      shown.trace = await found.json();
      showTrace(id, shown.trace);
    }
  } catch (error) {
    if (error.name !== "AbortError") fail(say("unreachable"));
  } finally {
    if (running === mine) {
      running = null;
      at("compare").removeAttribute("aria-busy");
    }
  }
}

function nameModel(model) {
  at("model-name").textContent = `${model.name} · ${model.version}`;
  at("model-description").textContent = model.description || "";
  at("model").hidden = false;
}

at("form").addEventListener("submit", event => {
  event.preventDefault();
  compare();
});

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

[at("address1").value, at("address2").value] = EXAMPLES[1];
translate();
fetch("/model", { headers: headers({}) })
  .then(response => response.ok ? response.json().then(nameModel) : null)
  .catch(() => null);
