// How far a classification can be believed.

const MIN_EFFECTIVE_SAMPLES = 2; // below it a single chain carries the estimate of log Z; as in core/schemas/classification.py

// found: a job's classification, or its metrics. "probabilities"; or "order", if only the most likely model is known; or
// "undecided".
export function certaintyOf({ compared_by: by, log_partitions: estimates = [] }) {
  if (by === "own_pictures") return "order";
  return estimates.some((one) => one.effective_samples < MIN_EFFECTIVE_SAMPLES) ? "undecided" : "probabilities";
}
