// The page uses only the public API. Its links are relative, so that it works below any path.

const $ = (selector, root = document) => root.querySelector(selector);
const SHOWN_PICTURES = 48; // per job; its zip holds all
const SHOWN_ROWS = 100;
const RETRY_MS = 2000;
const ABOUT = {
  reconstruct: "The model encodes and decodes each picture, as an auto-encoder; the result comes with its error.",
  inpaint: "Upload pictures with transparent parts (PNG or WebP with an alpha channel). The model paints these parts and keeps the rest.",
  classify: "Choose two or more models, each learned from one category. The result says which of them each picture most likely comes from.",
};
const shown = new Map(); // job id -> its <article>
const known = new Map(); // model id -> the model
const watched = new Set();

class Locked extends Error {} // a key is needed

async function call(path, options = {}) {
  const answer = await fetch(path, options);
  const body = answer.status === 204 ? null : await answer.json();
  const signingIn = path === "v1/session" && options.method === "POST";
  if (answer.status === 401 && !signingIn) throw new Locked();
  if (!answer.ok) throw new Error(body.detail ?? answer.statusText);
  return body;
}

const post = (path, body) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

function element(tag, properties = {}, ...children) {
  const created = Object.assign(document.createElement(tag), properties);
  created.append(...children);
  return created;
}

async function attempt(work) {
  const trouble = $("#trouble");
  trouble.hidden = true;
  try {
    await work();
  } catch (error) {
    const locked = error instanceof Locked;
    if (locked) $("#sign-in").hidden = false;
    document.body.classList.toggle("locked", locked || !$("#sign-in").hidden);
    trouble.textContent = error.message;
    trouble.hidden = locked;
  }
}

function duration(seconds) {
  if (seconds === null) return "";
  return seconds < 90 ? `${Math.round(seconds)} s left` : `${Math.round(seconds / 60)} min left`;
}

function headline(job) {
  const { stage, stages, iteration, iterations, eta_seconds } = job.progress;
  if (job.status === "queued") return job.queue_position ? `queued, position ${job.queue_position}` : "queued";
  if (job.status !== "running") return job.error ? job.error.detail : outcome(job);
  return `stage ${stage}/${stages}, step ${iteration}/${iterations} ${duration(eta_seconds)}`;
}

function outcome(job) {
  if (job.kind !== "reconstruct" || job.status !== "succeeded") return job.status;
  return `mean error ${job.metrics.mean_rmse.toFixed(1)} grey levels`;
}

function pictures(job) {
  const order = (name) => (/^(synthesized|inpainted)/.test(name) ? 0 : name.startsWith("contact") ? 1 : 2);
  return job.artifacts
    .filter((one) => one.media_type === "image/png" && (job.status === "running" || one.name !== "preview.png"))
    .sort((a, b) => order(a.name) - order(b.name) || a.name.localeCompare(b.name))
    .slice(0, SHOWN_PICTURES)
    .map((one) => {
      const url = `v1/jobs/${job.id}/artifacts/${encodeURIComponent(one.name)}`;
      const link = element("a", { href: url }, element("img", { src: `${url}?${one.sha256}`, alt: one.name, loading: "lazy" }));
      return element("figure", {}, link, element("figcaption", { textContent: one.name }));
    });
}

async function probabilities(job, table) {
  const { models, pictures } = await call(`v1/jobs/${job.id}/artifacts/classification.json`);
  const head = ["picture", ...models.map(modelLabel)].map((text) => element("th", { textContent: text }));
  const rows = pictures.slice(0, SHOWN_ROWS).map((one) => element("tr", {},
    element("td", { textContent: one.filename }),
    ...models.map((id) => element("td", {
      textContent: `${(100 * one.probabilities[id]).toFixed(1)} %`,
      className: id === one.most_likely ? "likeliest" : "",
    }))));
  table.replaceChildren(element("tr", {}, ...head), ...rows);
}

// Patches on the torus are windows of a texture, which is drawn at any size.
function ofPatches(params) {
  return Boolean(params.patch_size && params.boundary !== "torus");
}

function modelLabel(id) {
  const name = known.get(id)?.name ?? id.slice(-6);
  const params = known.get(id)?.params;
  if (!params) return name;
  return ofPatches(params) ? `${name} (patches of ${params.patch_size} px)` : `${name} (${params.image_size} px)`;
}

function render(job) {
  const running = job.status === "queued" || job.status === "running";
  const header = element("header", {},
    element("strong", { textContent: job.kind }),
    element("span", { className: "quiet", textContent: job.preset ?? (job.model_id ? modelLabel(job.model_id) : "") }),
    element("span", { textContent: headline(job) }));
  if (running) {
    const cancel = element("button", { className: "plain", textContent: "Cancel", type: "button" });
    cancel.onclick = () => attempt(() => post(`v1/jobs/${job.id}/cancel`, {}));
    header.append(cancel);
  } else if (job.artifacts.length) {
    header.append(element("a", { href: `v1/jobs/${job.id}/artifacts.zip`, textContent: "All files" }));
  }
  const article = element("article", {}, header);
  if (running) article.append(element("progress", { max: 1, value: job.progress.fraction, ariaLabel: "progress" }));
  article.append(element("div", { className: "pictures" }, ...pictures(job)));
  if (job.kind === "classify" && job.status === "succeeded") {
    const table = element("table");
    article.append(table);
    attempt(() => probabilities(job, table));
  }
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
  const source = new EventSource(`v1/jobs/${id}/events`);
  let refreshing = false;
  const refresh = async () => {
    if (refreshing) return;
    refreshing = true;
    await attempt(async () => render(await call(`v1/jobs/${id}`)));
    refreshing = false;
  };
  for (const name of ["status", "progress", "preview"]) source.addEventListener(name, refresh);
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return; // it reconnects by itself
    watched.delete(id);
    setTimeout(refresh, RETRY_MS); // watches it again if it still runs
  });
  source.addEventListener("done", async () => {
    source.close();
    watched.delete(id);
    await attempt(async () => render(await call(`v1/jobs/${id}`)));
    await attempt(models);
  });
}

async function models() {
  const { data } = await call("v1/models?limit=100");
  data.forEach((one) => known.set(one.id, one));
  for (const select of [$("#sample [name=model_id]"), $("#apply [name=model_id]")]) {
    const chosen = new Set([...select.selectedOptions].map((one) => one.value));
    select.replaceChildren(...data.map((one) => new Option(modelLabel(one.id), one.id, false, chosen.has(one.id))));
  }
  updateSizeFields();
}

async function datasets(chosen) {
  const { data } = await call("v1/datasets?limit=100");
  const label = (one) => `${one.name ?? one.images[0].filename} (${one.images.length})`;
  const select = $("#apply [name=dataset_id]");
  const before = chosen ?? select.value;
  select.replaceChildren(new Option("new pictures", ""), ...data.map((one) => new Option(label(one), one.id)));
  select.value = data.some((one) => one.id === before) ? before : "";
  updateUploadField();
}

// Either a stored dataset or new files.
function updateUploadField() {
  const fresh = $("#apply [name=dataset_id]").value === "";
  $("#apply .upload").hidden = !fresh;
  $("#apply [name=images]").required = fresh;
}

// A model of an object or of patches draws only at its own size.
function updateSizeFields() {
  const params = known.get($("#sample [name=model_id]").value)?.params;
  const fixed = Boolean(params && (ofPatches(params) || params.top === "object"));
  for (const name of ["width", "height", "tileable"]) $(`#sample [name=${name}]`).disabled = fixed;
}

function updateKindFields() {
  const kind = $("#apply [name=kind]").value;
  for (const label of document.querySelectorAll("#apply [data-kind]")) label.hidden = label.dataset.kind !== kind;
  $("#apply [name=model_id]").multiple = kind === "classify";
  $("#apply label span").textContent = kind === "classify" ? "Models" : "Model";
  $("#about-kind").textContent = ABOUT[kind];
}

async function upload(form) {
  const { id, images, skipped = [] } = await call("v1/datasets", { method: "POST", body: form });
  const lines = images.filter((one) => one.notes.length).map((one) => `${one.filename}: ${one.notes.join("; ")}`);
  if (skipped.length) lines.push(`Skipped: ${skipped.map((one) => `${one.file} (${one.reason})`).join(", ")}`);
  $("#notice").textContent = lines.join("\n");
  $("#notice").hidden = lines.length === 0;
  return id;
}

// The key becomes a cookie that this script cannot read; the browser sends it with pictures and event streams, too.
$("#sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    await post("v1/session", { key: new FormData(event.target).get("key") });
    location.reload();
  });
});

$("#signed-in button").addEventListener("click", () => attempt(async () => {
  await call("v1/session", { method: "DELETE" });
  location.reload();
}));

$("#train").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const form = new FormData(event.target);
    const preset = form.get("preset");
    form.delete("preset");
    render(await post("v1/jobs", { kind: "train", dataset_id: await upload(form), preset }));
    await datasets();
  });
});

$("#sample").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const form = new FormData(event.target);
    const number = (name) => (form.get(name) ? Number(form.get(name)) : undefined);
    const params = { count: number("count"), width: number("width"), height: number("height"), tileable: form.has("tileable") };
    render(await post("v1/jobs", { kind: "sample", model_id: form.get("model_id"), params }));
  });
});

$("#apply").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const form = new FormData(event.target);
    const kind = form.get("kind");
    let dataset_id = form.get("dataset_id");
    if (!dataset_id) {
      const files = new FormData();
      for (const file of form.getAll("images")) files.append("images", file);
      dataset_id = await upload(files);
      await datasets(dataset_id);
    }
    const params = { reconstruct: { mode: form.get("mode") }, inpaint: { count: Number(form.get("count")) }, classify: {} }[kind];
    const chosen = kind === "classify" ? { model_ids: form.getAll("model_id") } : { model_id: form.get("model_id") };
    render(await post("v1/jobs", { kind, dataset_id, params, ...chosen }));
  });
});

$("#sample [name=model_id]").addEventListener("change", updateSizeFields);
$("#apply [name=kind]").addEventListener("change", updateKindFields);
$("#apply [name=dataset_id]").addEventListener("change", updateUploadField);

attempt(async () => {
  updateKindFields();
  const { key } = await call("v1/session");
  $("#signed-in").hidden = !key;
  if (key) $("#signed-in span").textContent = `Signed in as ${key.name}.`;
  const { data } = await call("v1/presets");
  const select = $("#train [name=preset]");
  select.append(...data.map((one) => new Option(one.name, one.name, one.name === "quick", one.name === "quick")));
  const describe = () => ($("#about-preset").textContent = data.find((one) => one.name === select.value).description);
  select.addEventListener("change", describe);
  describe();
  await models();
  await datasets();
  const jobs = await call("v1/jobs?limit=20");
  jobs.data.reverse().forEach(render);
});
