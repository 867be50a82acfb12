// How long learning takes with other settings than a preset's, from the time that was measured for the preset.

const FIXED_SECONDS = 2; // of a job, whatever it learns: to begin, and to draw and store its results
const GRADIENT_STEPS = 1.5; // Langevin steps that cost as much as the gradient of one picture
// Settings whose effect on the time is not known.
const UNKNOWN = ["layers", "layerwise", "top", "contrastive", "boundary", "batch_size", "optimizer", "precision", "processes"];
const MAX_CANVAS = 1024; // pixels along each side
const CANVAS_COST = 0.5; // of a pixel of a canvas, relative to one of a window: large ones waste less time

// The seconds on the machine that the preset was measured on; null if that cannot be told.
export function learningSeconds({ two_core_seconds: measured, params }, changed) {
  if (!measured || UNKNOWN.some((name) => name in changed && !same(changed[name], params[name]))) return null;
  const times = work({ ...params, ...changed }) / work(params);
  return times > 0 && times < Infinity ? FIXED_SECONDS + (measured - FIXED_SECONDS) * times : null;
}

// Pictures, chains and steps each cost in proportion; so do the pixels of a chain, which windows make few, and a canvas
// many.
function work(params) {
  const { image_size, patch_size, num_chains, batch_size, contrastive, langevin_steps, iterations } = params;
  const pictures = batch_size ?? 1;
  const chains = contrastive ? pictures : num_chains;
  const steps = (chains, pictures) => chains * (langevin_steps + GRADIENT_STEPS) + pictures * GRADIENT_STEPS;
  const coarse = params.coarse_iterations * (image_size / params.coarse_factor) ** 2 * steps(1, 1);
  const canvas = params.canvas_iterations * Math.min(image_size, MAX_CANVAS) ** 2 * steps(1, 1);
  return iterations * (patch_size ?? image_size) ** 2 * steps(chains, pictures) + coarse + CANVAS_COST * canvas;
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
