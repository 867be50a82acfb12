// How long the job that is being filled in will take.

import { computed } from "../ui.js";
import { isFound } from "./certainty.js";
import * as draft from "./draft.js";
import { learningLike, pixelSteps, usingSeconds } from "./estimate.js";
import { jobOf } from "./jobs.js";
import { jobKind } from "./kinds.js";
import { modelOf, sideOf } from "./models.js";
import { parametersOf, presets } from "./presets.js";
import { blendOf, canBlend, pictures as steering } from "./steering.js";

// As in core/schemas: Langevin steps if none are asked for, of pictures laid with patches of a canvas, and of a seam.
const STEPS = 200;
const CANVAS_STEPS = 60;
const SEAM_STEPS = 60;

// The seconds of a job that uses models, [least, most]; null if that cannot be told.
export const usingTime = computed(() => {
  const kind = jobKind(draft.kind.value);
  const models = draft.modelIds.value.map(modelOf).filter(Boolean);
  if (draft.kind.value.group === "learn" || draft.missing.value || !models.length) return null;
  const params = complete(kind, models[0]);
  const times = models.map((model) => {
    const learned = learningLike(model, jobOf(model.job_id ?? "").value, presets.value);
    return learned && usingSeconds(kind, pixelSteps(kind, params, about(kind, model, params)), learned);
  });
  if (!times.every(Boolean)) return null;
  return [0, 1].map((end) => times.reduce((sum, one) => sum + one[end], 0));
});

// The job's parameters, with what the service sets where nothing is.
export function complete(kind, model) {
  const defaults = Object.fromEntries(parametersOf(kind).map((one) => [one.name, one.default]));
  const given = { ...defaults, ...draft.overrides.value };
  const { start, guide } = steering.value;
  const laid = model.params.canvas_iterations && !start && !guide && !blended(model);
  const usual = kind === "inpaint" ? (draft.kind.value.id === "seam" ? SEAM_STEPS : STEPS) : laid ? CANVAS_STEPS : STEPS;
  const side = sideOf(model);
  const strength = kind === "sample" && start ? start.strength ?? defaults.start_strength ?? 0.4 : null;
  return { ...given, steps: given.steps ?? usual, width: given.width ?? side, height: given.height ?? side, start_strength: strength };
}

const blended = (model) => (canBlend(model) ? blendOf(model).length : 0);

function about(kind, model, params) {
  const side = sideOf(model);
  const pictures = draft.kind.value.id === "seam" ? draft.sizes.value : Array.from({ length: kind === "inpaint" ? 1 : draft.pictureCount.value }, () => [side, side]);
  return { side, pictures, models: 1 + (kind === "sample" ? blended(model) : 0), found: kind === "classify" && isFound(model, params) };
}
