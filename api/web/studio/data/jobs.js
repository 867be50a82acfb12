// The jobs, each a signal, so that an event redraws only what shows its job.

import { get, patiently, remove, send } from "../api.js";
import { batch, computed, signal } from "../ui.js";
import { loadModels } from "./models.js";
import { loadPresets } from "./presets.js";

const PAGE = 50;
const LOOK_MS = 1000; // between two looks at a job that goes on
const SETTLE_MS = 150; // events come in bursts: ask once for several

const byId = new Map(); // id -> signal of the job, undefined until it is read
export const order = signal([]); // ids, newest first, without gaps
export const more = signal(true); // there are older ones than those loaded
export const loaded = signal(false);
export const artifactsChanged = signal(0); // counts, for lists of pictures

export const isFinal = (job) => !["queued", "running"].includes(job.status);
export const peek = (id) => byId.get(id)?.peek();

export const unfinished = computed(() => order.value.map((id) => jobOf(id).value).filter((job) => job && !isFinal(job)));

export function jobOf(id) {
  if (!byId.has(id)) byId.set(id, signal());
  return byId.get(id);
}

// An answer may be older than an event that came before it. Both are numbered, so that such an answer is recognised.
let now = 0;
const lastStatus = new Map(); // id -> the job's status in the last event that had one, and its number
const progressedAt = new Map(); // id -> the number of the last event about the job's progress

// Return what `ask` answers, and the number at which it was asked.
async function asking(ask) {
  const askedAt = ++now;
  return { answer: await ask(), askedAt };
}

// Take over what was answered of a job. If an event has had another status since it was asked, ask again.
function store(job, askedAt) {
  const before = peek(job.id);
  const last = lastStatus.get(job.id);
  if (last?.at > askedAt && last.status !== job.status) {
    readAgain(job.id);
    if (before) return;
  }
  const progress = progressedAt.get(job.id) > askedAt ? before?.progress : job.progress;
  jobOf(job.id).value = { ...job, progress, preview: before?.preview };
  if (before?.artifacts.length !== job.artifacts.length) artifactsChanged.value += 1;
}

function readAgain(id) {
  loadJob(id).catch(() => {}); // the banner says that the service is away; everything is read again when it is back
}

// Put what was read newest first before or behind what is known.
function place(jobs, askedAt, { atEnd }) {
  batch(() => {
    jobs.forEach((job) => store(job, askedAt));
    const ids = jobs.map((job) => job.id);
    const known = new Set(order.peek());
    const fresh = ids.filter((id) => !known.has(id));
    order.value = atEnd ? [...order.peek(), ...fresh] : [...fresh, ...order.peek()];
    loaded.value = true;
  });
}

// Read the newest jobs. If that is a full page of unknown ones, there may be a gap: begin anew.
export async function loadNewest() {
  const { answer, askedAt } = await asking(() => get(`v1/jobs?limit=${PAGE}`));
  const { data, has_more } = answer;
  const known = new Set(order.peek());
  if (!data.some((job) => known.has(job.id))) {
    order.value = [];
    more.value = has_more;
  }
  place(data, askedAt, { atEnd: false });
}

let loadingMore = null;

export function loadMore() {
  if (!more.peek() || !loaded.peek()) return Promise.resolve();
  // Nothing else asks again while the end of the list stays on the screen.
  loadingMore ??= patiently(readMore).finally(() => {
    loadingMore = null;
  });
  return loadingMore;
}

async function readMore() {
  const last = order.peek().at(-1);
  const { answer, askedAt } = await asking(() => get(`v1/jobs?limit=100${last ? `&after=${last}` : ""}`));
  place(answer.data, askedAt, { atEnd: true });
  more.value = answer.has_more;
}

export async function loadJob(id) {
  const { answer, askedAt } = await asking(() => get(`v1/jobs/${encodeURIComponent(id)}`));
  store(answer, askedAt);
  return answer;
}

let settling = null;
const asked = { newest: false, queue: false };

function soon(what) {
  asked[what] = true;
  settling ??= setTimeout(async () => {
    settling = null;
    const { newest, queue } = asked;
    asked.newest = asked.queue = false;
    try {
      if (newest) await loadNewest();
      else if (queue) await loadQueue();
    } catch {
      // the banner says that the service is away; everything is read again when it is back
    }
  }, SETTLE_MS);
}

// Read where queued jobs stand; starts and ends of others move them.
async function loadQueue() {
  if (![...byId.values()].some((one) => one.peek()?.status === "queued")) return;
  const { answer, askedAt } = await asking(() => get("v1/jobs?status=queued&limit=100"));
  batch(() => answer.data.forEach((job) => store(job, askedAt)));
}

const looking = new Set();

// Read which pictures a job has finished so far: those of a job that is split come one by one.
function lookSoon(id) {
  if (looking.has(id)) return;
  looking.add(id);
  setTimeout(() => {
    looking.delete(id);
    if (peek(id)) readAgain(id); // it may have been deleted
  }, LOOK_MS);
}

// Take over what an event says. Only that a job has ended, or has begun another picture, is a reason to ask for it.
export async function applyEvent(name, { job_id: id, ...data }) {
  const held = jobOf(id);
  const job = held.peek();
  if (name === "status" || name === "done") lastStatus.set(id, { status: data.status, at: ++now });
  if (!job) return soon("newest");
  if (name === "progress") {
    progressedAt.set(id, ++now);
    const { metrics, ...progress } = data;
    held.value = { ...job, status: isFinal(job) ? job.status : "running", queue_position: null, waits_for: null, progress };
    if (job.kind === "sample" && progress.stage !== job.progress.stage) lookSoon(id);
  } else if (name === "preview") {
    held.value = { ...job, preview: data };
  } else if (name === "status") {
    // How long an attempt that ended would have taken says nothing.
    const progress = { ...job.progress, eta_seconds: null, silent: false };
    if (data.status !== job.status || job.progress.silent) held.value = { ...job, ...data, queue_position: null, waits_for: null, progress };
    soon("queue");
  } else {
    soon("queue");
    if (isFinal(job) && job.status === data.status) return;
    held.value = { ...job, status: data.status, error: data.error ?? null, unread: data.status === "succeeded" };
    try {
      if (job.kind === "train") loadPresets().catch(() => {}); // with times of before, unless they can be read
      // First, so that all that it made is shown at once; a classification keeps log Z with its models.
      if (["train", "classify"].includes(job.kind)) await patiently(loadModels);
    } finally {
      await patiently(() => loadJob(id)).finally(() => giveUpReading(held));
    }
  }
}

// unread: the job has succeeded, and what it made is still to be read.
function giveUpReading(held) {
  if (held.peek()?.unread) held.value = { ...held.peek(), unread: false };
}

export async function create(body) {
  const once = { "Idempotency-Key": crypto.randomUUID?.() ?? String(Math.random()) };
  const { answer, askedAt } = await asking(() => send("v1/jobs", body, "POST", once));
  place([answer], askedAt, { atEnd: false });
  return answer;
}

export async function cancel(id) {
  await change(id, "cancel", {});
}

export async function resume(id, params) {
  await change(id, "resume", params ? { params } : {});
}

// The part of learning that a stage is, followed by a comma: layers are learned one after the other, or together; with a
// canvas on windows of the picture, before which a coarse picture may be learned. Of objects, small pictures may be first.
export function partOfLearning(job, stage, total = false) {
  const { coarse, layers, canvas } = stagesOf(job);
  if (!stage) return ""; // before the worker has said where it is
  if (stage <= coarse) return "coarse picture, ";
  if (stage > coarse + layers) return "canvas, ";
  if (layers > 1) return total ? `layer ${stage - coarse} of ${layers}, ` : `layer ${stage - coarse}, `;
  if (canvas) return "windows, ";
  return coarse ? "full size, " : "";
}

// What a stage of learning is for, in a sentence; "" for jobs that learn at one size alone.
export function aboutStage(job, stage) {
  const { coarse, layers, canvas } = stagesOf(job);
  if (!stage || !(coarse + canvas)) return "";
  if (!canvas) return stage <= coarse ? "First the layout, from the pictures made small." : "Now the detail: the model begins as that of the small pictures, enlarged.";
  if (stage <= coarse) return "First the layout, from the whole picture made small.";
  if (stage > coarse + layers) return "Last, layout and detail together, on one large canvas.";
  if (!coarse) return "First the detail, from windows of the picture.";
  return "Now the detail, from windows of the picture, which begin as noise. The layout is kept for the last stage.";
}

function stagesOf({ params, progress: { stages } }) {
  const [coarse, canvas] = [params.coarse_iterations, params.canvas_iterations].map((iterations) => (iterations ? 1 : 0));
  return { coarse, layers: stages - coarse - canvas, canvas };
}

// Whether all is learned, and the results are being measured and stored. A job that goes on after its end has a fraction of 1.
export function isFinishing({ kind, status, progress: { stage, stages, iteration, iterations, fraction } }) {
  return kind === "train" && status === "running" && stage === stages && iteration > 0 && iteration === iterations && fraction < 1;
}

// The iterations of the stages before one.
export function iterationsBefore({ params }, stage) {
  const coarse = params.coarse_iterations ?? 0;
  const full = stage - (coarse ? 2 : 1);
  return full < 0 ? 0 : coarse + full * params.iterations;
}

async function change(id, action, body) {
  const { answer, askedAt } = await asking(() => send(`v1/jobs/${id}/${action}`, body));
  store(answer, askedAt);
  soon("queue");
}

export async function discard(id) {
  await remove(`v1/jobs/${id}`);
  order.value = order.peek().filter((one) => one !== id);
  jobOf(id).value = undefined;
  artifactsChanged.value += 1;
}
