// How far a classification can be believed.

const MIN_EFFECTIVE_SAMPLES = 2; // below it a single chain carries the estimate of log Z; as in core/schemas/classification.py

// found: a job's classification, or its metrics. "probabilities"; or "order", if only the most likely model is known; or
// "undecided".
export function certaintyOf({ compared_by: by, log_partitions: estimates = [] }) {
  if (by === "own_pictures") return "order";
  return estimates.some((one) => one.effective_samples < MIN_EFFECTIVE_SAMPLES) ? "undecided" : "probabilities";
}

const REACHED_SIDE = 32; // pixels: annealing seldom finds log Z of larger textures; core/README.md has the measurements

// Whether a classification with these parameters takes log Z as it is kept with a model; as KeptPartition.is_enough in
// core/schemas/classification.py.
export const isFound = ({ log_partition: kept }, { chains, temperatures, steps, refine }) =>
  Boolean(kept) && !refine && kept.temperatures * kept.steps >= temperatures * steps && kept.chains >= chains;

// What makes a classification by these models uncertain, as far as it is known before, in sentences; most important first.
// params: its parameters, complete. nameOf: what a model is called. The service's own warnings: worker/classify.py.
export function doubtsOf(models, params, nameOf) {
  if (models.length < 2) return [];
  const named = (some) => listed(some.map(nameOf));
  const differ = (name) => new Set(models.map((one) => one.params[name])).size > 1;
  const side = models[0].params.image_size;
  const single = models.filter((one) => isFound(one, params) && one.log_partition.effective_samples < MIN_EFFECTIVE_SAMPLES);
  const unknown = models.filter((one) => !isFound(one, params));
  const onTorus = models.filter((one) => one.params.boundary === "torus");
  return [
    side > REACHED_SIDE && `With models of ${side} px it is seldom found how probable each model is: expect to be told which model each picture is most like. Models of ${REACHED_SIDE} px or less may tell more.`,
    onTorus.length > 0 && `${named(onTorus)} ${onTorus.length > 1 ? "were" : "was"} learned with the boundary torus, as if opposite edges met, but pictures have edges: models learned with padded are more reliable.`,
    models.some((one) => one.params.contrast !== null) && "The models may have been learned at different contrasts: if “contrast” is left empty when they learn, they are compared more reliably.",
    differ("reference_std") && "The models were learned with different reference std: one value for all is more reliable.",
    differ("even_light") && "The models learned from pictures whose light was evened differently: here no picture is evened.",
    single.length > 0 && `What is known of log Z of ${named(single)} rests on a single chain: “refine” improves it.`,
    unknown.length > 0 && `log Z of ${named(unknown)} is ${params.refine ? "improved" : "found"} first, which takes most of the time. It is kept for the next classification.`,
  ].filter(Boolean);
}

const listed = (names) => (names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names[0]);
