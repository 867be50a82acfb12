// What a training job measured and what its chains looked like, read once and then continued by events.

import { get } from "../api.js";
import { signal } from "../ui.js";

const MAX_POINTS = 4000; // drawn; of more, every second is dropped
const DRAW_MS = 1000; // between two times that curves are drawn, which costs more than all else of an event

const series = new Map(); // job id -> signal of [{stage, iteration, …}]
const arrived = new Map(); // job id -> points that are not drawn yet
const previews = new Map(); // job id -> signal of [{step, stage, iteration, url, …}]

export function seriesOf(id) {
  if (!series.has(id)) series.set(id, signal([]));
  return series.get(id);
}

export function previewsOf(id) {
  if (!previews.has(id)) previews.set(id, signal([]));
  return previews.get(id);
}

export async function loadSeries(id) {
  const { data } = await get(`v1/jobs/${id}/metrics`);
  seriesOf(id).value = thinned(data);
}

export async function loadPreviews(id) {
  const { data } = await get(`v1/jobs/${id}/previews`);
  previewsOf(id).value = data;
}

export function continueSeries(name, { job_id: id, ...data }) {
  if (name === "progress" && data.metrics && series.has(id)) {
    if (!arrived.has(id)) {
      arrived.set(id, []);
      setTimeout(drawArrived, DRAW_MS, id);
    }
    arrived.get(id).push(data.metrics);
  }
  if (name === "preview" && previews.has(id)) {
    const kept = previews.get(id).peek().filter((one) => one.step !== data.step);
    previews.get(id).value = [...kept, { ...data, url: `v1/jobs/${id}/previews/${data.step}` }];
  }
}

// Draw the points that arrived. They take the place of those that an answer has brought meanwhile, or that learning has
// gone back behind.
function drawArrived(id) {
  const points = arrived.get(id);
  arrived.delete(id);
  const before = series.get(id).peek().filter((one) => isLater(points[0], one));
  series.get(id).value = thinned([...before, ...points]);
}

const isLater = (one, other) => one.stage > other.stage || (one.stage === other.stage && one.iteration > other.iteration);

function thinned(points) {
  return points.length > MAX_POINTS ? points.filter((_, index) => index % 2 === 0 || index === points.length - 1) : points;
}
