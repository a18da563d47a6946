/* What the page at /docs says, in both languages. */

export const WORDS = {
  en: {
    title: "The API", made: "Made from", page: "Try a pair",
    key: "API key",
    send: "Send", body: "Body", answer: "Answer", takes: "Request fields", gives: "Response fields",
    field: "field", type: "type", what: "description", other: "中文",
    unreachable: "The service does not answer.",
    chars: "chars", items: "items", default: "default",
  },
  zh: {
    title: "接口文档", made: "生成自", page: "试一对地址",
    key: "API 密钥",
    send: "发送", body: "请求体", answer: "应答", takes: "请求的字段", gives: "应答的字段",
    field: "字段", type: "类型", what: "说明", other: "English",
    unreachable: "服务没有应答。",
    chars: "个字符", items: "项", default: "默认",
  },
};

/* The document's own sentences in Chinese; one that is not here is shown in English. */
export const CHINESE = {
  "A part that differs, or that only one address has.":
    "只有一个地址写了、或两个地址写法不同的部分。",
  "A tensor of an answer.":
    "应答中的一个张量。",
  "A tensor of the model; -1 stands for the number of pairs.":
    "模型的一个张量；-1 代表地址对的数量。",
  "About":
    "关于",
  "All parts that differ, in the same order.":
    "所有不同的部分，顺序相同。",
  "An entry of the register that the model scored.":
    "模型比较过的一个登记库条目。",
  "Any text that is the same for all requests of a session: one model answers all of them. Without it the addresses decide, in whichever order they are.":
    "属于同一会话的请求共用的任意文本：它们由同一个模型应答。不填时由地址对决定，与两个地址的先后无关。",
  "The address as the register has it.":
    "登记库中的原文。",
  "Best first: by similarity and by the order of the search.":
    "最佳的在前：综合相似度与检索的先后次序。",
  "Both addresses, in any order.":
    "两个地址，先后不限。",
  "Documentation":
    "文档",
  "Entries that the model scored.":
    "模型比较过的条目数。",
  "Find one address in the register.":
    "在登记库中查找一个地址。",
  "From the request's beginning.":
    "从请求开始算起。",
  "Return the log-odds of the similarity instead of the similarity.":
    "给出 logit（其 logistic 函数值为相似度），而不是相似度。",
  "Health":
    "健康检查",
  "Its similarity less that of the next candidate, which may be the more similar one; null for the last.":
    "相似度减去下一个候选的相似度，下一个也可能更相似；最后一个为 null。",
  "The part of the first address, in half width and simplified characters; null if it has none.":
    "第一个地址中的写法，转为半角和简体；没有写时为 null。",
  "In the shape of text-embeddings-inference, or of Cohere and Jina.":
    "格式与 text-embeddings-inference 一致，或者与 Cohere、Jina 一致。",
  "Kinds of parts that both addresses have and that cannot be the same, from the largest to the smallest.":
    "两个地址互相矛盾的部分：双方都写了，并且不可能相同。按从大到小排列。",
  "Its place in `texts`.":
    "它在 `texts` 中的位置。",
  "Its place in `documents`.":
    "它在 `documents` 中的位置。",
  "Its similarity to the query, from 0 to 1; see `raw_scores`.":
    "它与查询地址的相似度，0 到 1；另见 `raw_scores`。",
  "Model metadata.":
    "模型的元数据。",
  "Names the field and its limit, never its value.":
    "指出字段及其限制，绝不包含字段的值。",
  "Version of its content, as `index info` shows it.":
    "由内容算出的版本，与 `index info` 相同。",
  "One candidate.":
    "一个候选。",
  "One for each pair, in order: its prediction, or its problem.":
    "按顺序每对一项：预测结果，或者错误说明。",
  "One pair's answer, and the model that gave it.":
    "一对地址的结果，以及给出结果的模型。",
  "One pair's answer.":
    "一对地址的结果。",
  "One request and its stages, which add up to the whole.":
    "一个请求及其各阶段，各阶段之和等于总时间。",
  "One stage of a request.":
    "请求的一个阶段。",
  "Open Inference Protocol":
    "开放推理协议（Open Inference Protocol）",
  "P(exact_match) + 0.5 P(partial_match).":
    "P(exact_match) + 0.5 P(partial_match)。",
  "Predictions":
    "预测",
  "Repeat each candidate in the answer.":
    "在应答中重复每个候选地址。",
  "Repeated in the answer.":
    "在应答中原样返回。",
  "Row-major, in one list.":
    "按行展开成一个列表。",
  "Say in what the two addresses differ.":
    "说明两个地址有哪些不同。",
  "Score many pairs; a bad one is reported in its place.":
    "给多对地址打分；不合格的一对在原位报告。",
  "Score one pair of addresses.":
    "给一对地址打分。",
  "Score pairs by a model.":
    "用一个模型给地址对打分。",
  "Score pairs by a version of a model.":
    "用模型的一个版本给地址对打分。",
  "Score the part of a too long pair that the model reads; false refuses the pair.":
    "过长的地址对只按模型能读的部分打分；false 则拒绝。",
  "Server metadata.":
    "服务的元数据。",
  "Share of an address that the model cannot read; only above 0.":
    "地址中模型读不出的字符比例；大于 0 时才有。",
  "Share of an address's characters that the model does not know; the larger of the two. Above 0 the answer is about the rest, so check such a match. If text is normalised (MGEO_NORMALIZE) and the addresses differ in such characters, the label is never exact_match.":
    "地址中模型不认识的字符比例，取两个地址中较大的。大于 0 时结果只针对其余部分：这样的匹配请人工核对。做了文本规范化（MGEO_NORMALIZE）时，两个地址在这些字符上不同就不会是 exact_match。",
  "Sort candidates by their similarity to one address.":
    "按与一个地址的相似度给候选地址排序。",
  "One of the documents.":
    "其中一个候选地址。",
  "A candidate, as it was sent.":
    "候选地址，与提交的相同。",
  "The name of the model that answered.":
    "给出应答的模型的名称。",
  "Stable: `urn:mgeo:problem:` and a name.":
    "固定不变：`urn:mgeo:problem:` 加名称。",
  "That the listener answers.":
    "监听端口有应答。",
  "That the model is ready.":
    "模型已就绪。",
  "That the server is live.":
    "服务存活。",
  "That the server is ready.":
    "服务已就绪。",
  "The address you have.":
    "已有的地址。",
  "The answer to a batch.":
    "批量请求的应答。",
  "The answer to `documents`.":
    "用 `documents` 提问时的应答。",
  "The answer to a search.":
    "一次查找的应答。",
  "The answer, one row for each pair.":
    "应答，每对一行。",
  "The candidate it is compared with.":
    "与之比较的候选地址。",
  "The candidate, with `return_text`.":
    "候选地址本身，`return_text` 为真时才有。",
  "The candidates that it is compared with.":
    "与之比较的候选地址列表。",
  "The city of addresses that name none, for `explain`: 杭州市 or 杭州.":
    "用于 `explain`：地址没有写城市时所在的城市，如 杭州市 或 杭州。",
  "The first 12 hex digits of a sha256 over the model's files.":
    "模型文件的 sha256 的前 12 位十六进制数。",
  "The model that answers, if there are several: its declared name, or its version. Without it the traffic is split by weight.":
    "有多个模型时，由哪个应答：声明时的名称或版本。不填时按权重分配流量。",
  "The model's probability of each label; they sum to 1.":
    "模型给出的各标签概率，总和为 1。",
  "The most probable label.":
    "概率最大的标签。",
  "That nothing is billed: a client of Cohere's may look for it in every answer.":
    "不计费：Cohere 的客户端可能在每个响应中查找这一项。",
  "What a call costs.":
    "一次调用的费用。",
  "The most similar one first.":
    "最相似的在前。",
  "The pairs to score. One that is not a pair gets its problem in its place.":
    "要打分的地址对。不合格的一项在原位得到错误说明。",
  "The province of addresses that name none, for `explain`: 浙江省 or 浙江.":
    "用于 `explain`：地址没有写省份时所在的省份，如 浙江省 或 浙江。",
  "The recent requests of a trace, oldest first.":
    "属于这个 trace 的最近请求，最早的在前。",
  "The same for all tensors.":
    "对所有张量同样处理。",
  "The same for the second address.":
    "第二个地址中的写法，规则相同。",
  "The tensors of a model.":
    "模型的张量。",
  "The tensors of a version of a model.":
    "模型某个版本的张量。",
  "The texts, in one list or nested as the shape says.":
    "文本，放在一个列表里，或按形状嵌套。",
  "The title again, as the original script had it.":
    "与标题相同，沿用原脚本的字段。",
  "This document.":
    "本文档。",
  "This process keeps its last 256 POST requests that a worker thread took. Each answer has its trace id in its `traceparent` header.":
    "本进程保留最近 256 个由线程处理过的 POST 请求。每个应答的 `traceparent` 头里有它的 trace ID。",
  "What is wrong: RFC 9457, with the original script's `error` member.":
    "错误说明：遵循 RFC 9457，另有原脚本的 `error` 字段。",
  "The attributes of its span.":
    "它的 span 带的属性。",
  "The backend that ran the model, with its precision, as in `MGEO_BACKEND`; `torch` is fp32.":
    "运行模型的后端及其精度，名称同 `MGEO_BACKEND`；`torch` 是 fp32。",
  "Its id in the register.":
    "它在登记库中的编号。",
  "What this server is.":
    "本服务的信息。",
  "Link to the whole trace (`MGEO_TRACE_URL`).":
    "查看完整 trace 的链接（`MGEO_TRACE_URL`）。",
  "Where the time of a recent request went.":
    "最近一个请求的时间花在哪里。",
  "Whether a model is ready.":
    "模型是否就绪。",
  "Whether a version of a model is ready.":
    "模型的某个版本是否就绪。",
  "Whether it takes requests.":
    "是否接受请求。",
  "Whether it works.":
    "是否正常工作。",
  "Whether the first candidate has another label than `not_match`.":
    "第一个候选的标签是否不是 `not_match`。",
  "Whether the listener answers.":
    "监听端口是否应答。",
  "Whether the pair was longer than the model reads.":
    "地址对是否超过模型能读的长度。",
  "Whether to give this tensor in the binary form.":
    "是否以二进制形式给出这个张量。",
  "The model that answered, with its own description if it has one.":
    "由哪个模型应答；若模型自己有说明，也一并给出。",
  "Which model answers; of several, the one with the most traffic.":
    "由哪个模型应答；有多个时，是流量最多的那个。",
  "Which register answered.":
    "由哪个登记库应答。",
  "With `explain`: the parts in which two addresses differ, by their texts alone. In `/match`, `address1` is the address of the request, and `address2` the entry.":
    "请求带 `explain` 时才有：只根据文本说明两个地址有哪些不同。在 `/match` 里，`address1` 是查询的地址，`address2` 是登记库条目。",
  "With `no-cache` the model computes the answer, even if the cache has it.":
    "填 `no-cache` 时不用缓存，由模型重新计算。",
  "[pairs], or [pairs, 1].":
    "[对数]，或 [对数, 1]。",
  "The model that answers, if there are several.":
    "有多个模型时，由哪个应答。",
  "The tensors to return; all if empty.":
    "需要哪些张量；不填则全部给出。",
  "A candidate; without a readable address it has the score 0.":
    "一个候选地址；没有可读的地址时得分为 0。",
  "Milliseconds that the client waits; no work is done for it after that. The service's own limit applies too. 0 means that the client sets no limit.":
    "客户端愿意等待的毫秒数：超过之后不再为它计算。服务自己的时限同样有效。0 表示客户端没有时限。",
  "Which end of a too long pair is cut; this model reads the beginning.":
    "过长时截去哪一端：这个模型读取开头。",
  "`backend`: what ran the model, as in `MGEO_BACKEND`.":
    "`backend`：运行模型的后端，名称同 `MGEO_BACKEND`。",
  "`name` is any part of no other kind, such as an estate or a shop.":
    "`name` 指不属于其他各类的部分，如小区或店铺的名称。",
};
