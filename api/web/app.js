// The page is a client like any other: it uses only the public API.

const $ = (selector, root = document) => root.querySelector(selector);
const shown = new Map(); // job id -> its <article>
const watched = new Set();

async function call(path, options = {}) {
  const answer = await fetch(path, options);
  const body = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(body.detail ?? answer.statusText);
  return body;
}

const post = (path, body) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

async function attempt(work) {
  const trouble = $("#trouble");
  trouble.hidden = true;
  try {
    await work();
  } catch (error) {
    trouble.textContent = error.message;
    trouble.hidden = false;
  }
}

function duration(seconds) {
  if (seconds === null) return "";
  return seconds < 90 ? `${Math.round(seconds)} s left` : `${Math.round(seconds / 60)} min left`;
}

function headline(job) {
  const { stage, stages, iteration, iterations, eta_seconds } = job.progress;
  if (job.status === "queued") return job.queue_position ? `waiting, ${job.queue_position} in line` : "waiting";
  if (job.status !== "running") return job.error ? job.error.detail : job.status;
  return `stage ${stage}/${stages}, step ${iteration}/${iterations} ${duration(eta_seconds)}`;
}

function pictures(job) {
  const order = (name) => (name.startsWith("synthesized") ? 0 : name.startsWith("contact") ? 1 : 2);
  return job.artifacts
    .filter((one) => one.media_type === "image/png" && (job.status === "running" || one.name !== "preview.png"))
    .sort((a, b) => order(a.name) - order(b.name) || a.name.localeCompare(b.name))
    .map((one) => {
      const link = element("a", { href: one.url }, element("img", { src: `${one.url}?${one.sha256}`, alt: one.name, loading: "lazy" }));
      return element("figure", {}, link, element("figcaption", { textContent: one.name }));
    });
}

function draw(job) {
  const running = job.status === "queued" || job.status === "running";
  const header = element("header", {},
    element("strong", { textContent: job.kind }),
    element("span", { className: "quiet", textContent: job.preset ?? job.model_id ?? "" }),
    element("span", { textContent: headline(job) }));
  if (running) {
    const cancel = element("button", { className: "plain", textContent: "Cancel", type: "button" });
    cancel.onclick = () => attempt(() => post(`/v1/jobs/${job.id}/cancel`, {}));
    header.append(cancel);
  } else if (job.artifacts.length) {
    header.append(element("a", { href: `/v1/jobs/${job.id}/artifacts.zip`, textContent: "All files" }));
  }
  const article = element("article", {}, header);
  if (running) article.append(element("progress", { max: 1, value: job.progress.fraction, ariaLabel: "progress" }));
  article.append(element("div", { className: "pictures" }, ...pictures(job)));
  const before = shown.get(job.id);
  if (before) before.replaceWith(article);
  else {
    if (!shown.size) $("#jobs").replaceChildren();
    $("#jobs").prepend(article);
  }
  shown.set(job.id, article);
  if (running) watch(job.id);
}

function watch(id) {
  if (watched.has(id)) return;
  watched.add(id);
  const source = new EventSource(`/v1/jobs/${id}/events`);
  let asking = false;
  const look = async () => {
    if (asking) return;
    asking = true;
    await attempt(async () => draw(await call(`/v1/jobs/${id}`)));
    asking = false;
  };
  for (const name of ["status", "progress", "preview"]) source.addEventListener(name, look);
  source.addEventListener("done", async () => {
    source.close();
    watched.delete(id);
    await attempt(async () => draw(await call(`/v1/jobs/${id}`)));
    await attempt(models);
  });
}

async function models() {
  const select = $("#sample [name=model_id]");
  const { data } = await call("/v1/models?limit=50");
  select.replaceChildren(...data.map((one) => new Option(`${one.name ?? one.id.slice(-6)} (${one.params.image_size} px)`, one.id)));
}

$("#train").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const form = new FormData(event.target);
    const preset = form.get("preset");
    form.delete("preset");
    const dataset = await call("/v1/datasets", { method: "POST", body: form });
    draw(await post("/v1/jobs", { kind: "train", dataset_id: dataset.id, preset }));
  });
});

$("#sample").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const form = new FormData(event.target);
    const number = (name) => (form.get(name) ? Number(form.get(name)) : undefined);
    const params = { count: number("count"), width: number("width"), height: number("height"), tileable: form.has("tileable") };
    draw(await post("/v1/jobs", { kind: "sample", model_id: form.get("model_id"), params }));
  });
});

attempt(async () => {
  const { data } = await call("/v1/presets");
  const select = $("#train [name=preset]");
  select.append(...data.map((one) => new Option(one.name, one.name, one.name === "quick", one.name === "quick")));
  const tell = () => ($("#about-preset").textContent = data.find((one) => one.name === select.value).description);
  select.addEventListener("change", tell);
  tell();
  await models();
  const jobs = await call("/v1/jobs?limit=20");
  jobs.data.reverse().forEach(draw);
});
