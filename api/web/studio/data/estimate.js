// How long a job takes: learning with other settings than a preset's, from the time that its jobs took on this service, or that
// it was measured to take; other jobs from what learning such a model takes. As in core/recipe/expected_time.py.

const FIXED_SECONDS = 2; // of a job, whatever it learns: to begin, and to draw and store its results
const GRADIENT_STEPS = 1.5; // Langevin steps that cost as much as the gradient of one picture
// Settings whose effect on the time is not known.
const UNKNOWN = ["layers", "layerwise", "top", "contrastive", "boundary", "batch_size", "optimizer", "precision", "processes"];
const MAX_CANVAS = 1024; // pixels along each side
const SMALL_OBJECT_COST = 0.6; // of an object's coarse level, relative to its full size: maps are as large, and the first filters smaller
const CANVAS_COST = 0.5; // of a pixel of a canvas, relative to one of a window: large ones waste less time

const SLOW_MACHINE_FACTOR = 7; // times as long as measured: of a processor without instructions for bfloat16; docs/experiments/time-of-using.md

// What a preset takes here, or took where it was measured; null if neither is known.
const secondsOf = (preset) => preset.expected_seconds ?? preset.two_core_seconds;

// The seconds of learning, [least, most]: the same if jobs have told how fast this service is. null if they are not known.
export function learningSeconds(preset, changed) {
  const { params, expected_seconds: here } = preset;
  const usual = secondsOf(preset);
  if (!usual || UNKNOWN.some((name) => name in changed && !same(changed[name], params[name]))) return null;
  const times = work({ ...params, ...changed }) / work(params);
  if (!(times > 0 && times < Infinity)) return null;
  return (here ? [1, 1] : [1, SLOW_MACHINE_FACTOR]).map((slow) => FIXED_SECONDS + (usual - FIXED_SECONDS) * times * slow);
}

// Pictures, chains and steps each cost in proportion; so do the pixels of a chain, which windows make few, and a canvas
// many.
function work(params) {
  const { top, image_size, patch_size, num_chains, batch_size, contrastive, langevin_steps, iterations } = params;
  const pictures = batch_size ?? 1;
  const chains = contrastive ? pictures : num_chains;
  const steps = (chains, pictures) => chains * (langevin_steps + GRADIENT_STEPS) + pictures * GRADIENT_STEPS;
  const coarse = params.coarse_iterations * (top === "object" ? SMALL_OBJECT_COST * image_size ** 2 * steps(chains, pictures) : (image_size / params.coarse_factor) ** 2 * steps(1, 1));
  const canvas = params.canvas_iterations * Math.min(image_size, MAX_CANVAS) ** 2 * steps(1, 1);
  return iterations * (patch_size ?? image_size) ** 2 * steps(chains, pictures) + coarse + CANVAS_COST * canvas;
}

// Steps of the jobs that use a model, each on a pixel, that cost as much as one of learning. Measured with `quick`, beside
// its learning: docs/experiments/time-of-using.md.
const STEP_COST = { sample: 0.35, inpaint: 0.5, reconstruct: 0.5, classify: 1.5 };

const SHORT = 5; // seconds: of jobs that took less, too much was fixed

const CHAINS_PER_PILOT = 4; // as in core/theory/partition.py: pilots pass the temperatures first

// What learning took, {seconds, params}, with the iterations that were done; null if the job does not tell. One job alone may
// have run beside others.
function learningOf(job) {
  if (job?.status !== "succeeded" || job.attempt !== 1 || !job.finished_at) return null;
  const last = job.params.canvas_iterations ? "canvas_iterations" : "iterations";
  const done = job.progress.iteration || job.params[last]; // fewer if it ended early
  const seconds = (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000;
  return { seconds, params: { ...job.params, [last]: Math.min(done, job.params[last]) } };
}

// What learning a model like this one takes, [fastest, slowest], each {seconds, params}; null if that is not known. It goes by
// the preset that the jobs of this service have timed, several of them if there are. Without them, by what the preset was
// measured to take, and what the model's own job took.
export function learningLike({ params }, job, presets) {
  const alike = (presets ?? []).filter((one) => secondsOf(one) && same(one.params.layers, params.layers) && one.params.top === params.top);
  const preset = alike.find((one) => one.name === job?.preset) ?? alike[0];
  const own = learningOf(job);
  if (!preset) return own && [own, own];
  const usual = { seconds: secondsOf(preset), params: preset.params };
  if (preset.expected_seconds) return [usual, usual];
  if (own?.seconds >= SHORT) return [usual, own];
  return [usual, { ...usual, seconds: FIXED_SECONDS + (usual.seconds - FIXED_SECONDS) * SLOW_MACHINE_FACTOR }];
}

// The seconds of a job of a kind, [least, most]: steps, on all of its pixels, by a model whose learning takes what
// learningLike says; null if that cannot be told.
export function usingSeconds(kind, steps, learned) {
  const found = learned.map((one) => secondsBy(kind, steps, one));
  return found.every((one) => one < Infinity) ? found.sort((one, other) => one - other) : null;
}

function secondsBy(kind, steps, { seconds, params }) {
  const layered = params.layerwise ? (params.layers.length + 1) / 2 : 1; // stages, and how much of the net there is in each
  const each = Math.max(seconds - FIXED_SECONDS, 0) / (work(params) * layered);
  return FIXED_SECONDS + STEP_COST[kind] * steps * each;
}

// The steps of a job on all of its pixels. given: its parameters, complete. pictures: [width, height] of each that it is
// given. models: how many draw together. found: log Z is kept with the model, so that pictures alone are looked at.
export function pixelSteps(kind, given, { side, pictures, models = 1, found = false }) {
  const square = side ** 2;
  if (kind === "sample") return given.count * given.width * given.height * Math.ceil(given.steps * (given.start_strength ?? 1)) * models;
  if (kind === "inpaint") return given.count * given.steps * pictures.reduce((sum, [width, height]) => sum + width * height, 0);
  if (kind === "reconstruct") return pictures.length * square * (given.mode === "attractor" ? given.steps : 1);
  if (found) return pictures.length * square;
  return (given.chains + Math.ceil(given.chains / CHAINS_PER_PILOT)) * given.temperatures * given.steps * square; // of each model
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
