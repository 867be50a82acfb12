// How well the learning goes, as curves, with what to look for in words.

import { html, useMemo } from "../ui.js";
import { iterationsBefore } from "../data/jobs.js";
import { seriesOf } from "../data/series.js";
import { Chart } from "./chart.js";

const COLOURS = ["--line-1", "--line-2", "--line-3", "--line-4", "--line-5", "--line-6"];

// The job around it changes with each event; its charts change with new points alone.
export function Curves({ job }) {
  const points = seriesOf(job.id).value;
  const charts = useMemo(() => chartsOf(points, job), [points, job.params.iterations]);
  if (points.length < 2) return null;
  const starts = startsOf(job);
  return html`
    <section class="curves" aria-labelledby="curves-title">
      <h2 id="curves-title">Learning curves</h2>
      ${starts.length > 0 && html`<p class="hint">Over the steps of all stages. A dotted line shows where a stage begins.</p>`}
      <div class="charts">${charts.map((one) => html`<${Chart} key=${one.title} ...${one} starts=${starts} />`)}</div>
    </section>`;
}

// The steps, counted over all stages, at which those after the first begin.
const startsOf = (job) => Array.from({ length: job.progress.stages - 1 }, (_, index) => iterationsBefore(job, index + 2));

export function chartsOf(points, job) {
  const x = points.map((one) => iterationsBefore(job, one.stage) + one.iteration);
  const pick = (read) => points.map((one) => read(one) ?? null);
  // An object's net ends with one filter over all of the map: it has a single unit, which is on or off.
  const shares = points.map(({ active_share: share = [] }) => (job.params.top === "object" ? share.slice(0, -1) : share));
  return [
    {
      title: "Contrast",
      about: "The chains should reach the pictures' line.",
      x,
      lines: [
        { label: "pictures", colour: "--quiet", dash: [4, 4], values: pick((one) => one.data_std) },
        { label: "chains", colour: "--line-1", values: pick((one) => one.chain_std) },
        ...(points.some((one) => one.shown_std) ? [{ label: "as shown", colour: "--line-2", values: pick((one) => one.shown_std) }] : []),
      ],
    },
    {
      title: "Active units",
      about: "After the first steps, a layer near 0 or 100 % does little.",
      x,
      lines: layersOf(shares).map((layer) => ({
        label: `layer ${layer + 1}, %`,
        colour: COLOURS[layer % COLOURS.length],
        values: shares.map((one) => (layer in one ? 100 * one[layer] : null)),
      })),
    },
    {
      title: "Score gap",
      about: "Pictures minus chains: near 0 the net cannot tell them apart.",
      x,
      lines: [{ label: "gap", colour: "--line-1", values: pick((one) => one.score_difference) }],
    },
    ...(reconstruction(points) ? [{
      title: "Reconstruction error",
      about: "Grey levels between pictures and what the net draws of them.",
      x,
      lines: [{ label: "error", colour: "--line-2", values: pick((one) => one.reconstruction_std) }],
    }] : []),
  ];
}

const layersOf = (shares) => Array.from({ length: Math.max(...shares.map((one) => one.length)) }, (_, index) => index);

// Whether it was measured: at every tenth iteration; by older versions in contrastive divergence alone.
const reconstruction = (points) => points.some((one) => one.reconstruction_std);
