// Which of several models each picture comes from, as far as that can be said.

import { get } from "../api.js";
import { html, signal, useEffect } from "../ui.js";
import { certaintyOf } from "../data/certainty.js";
import { modelName, modelOf } from "../data/models.js";
import { inBackground } from "./notices.js";

const SHOWN = 500; // pictures

const tables = signal({}); // job id -> its classification

export function Classification({ job }) {
  useEffect(() => {
    inBackground(async () => {
      const found = await get(`v1/jobs/${job.id}/artifacts/classification.json`);
      tables.value = { ...tables.peek(), [job.id]: found };
    });
  }, [job.id]);
  const table = tables.value[job.id];
  if (!table) return null;
  const certainty = certaintyOf(table);
  if (certainty === "probabilities") return html`<${Probabilities} table=${table} caption="How probable it is that each picture comes from each model" likeliest />`;
  return html`
    <${Verdicts} table=${table} undecided=${certainty === "undecided"} />
    <details><summary>The numbers, which are not probabilities to rely on</summary><${Probabilities} table=${table} caption="What the comparison came out as" /></details>`;
}

const UNDECIDED = "It is undecided which model the pictures come from: that takes log Z of each model, which is not known well enough here. The warnings say why.";
const WITHOUT_SHARES = "Each picture is said to come from the model whose own pictures it is most like; how likely that is is not known. The warnings say why.";

function Verdicts({ table, undecided }) {
  return html`
    <p class="lead" role="status">${undecided ? UNDECIDED : WITHOUT_SHARES}</p>
    <div class="scrolls" tabindex="0" role="region" aria-label="Most likely models">
      <table>
        <caption class="sr">The model that each picture most likely comes from</caption>
        <thead><tr><th scope="col">picture</th><th scope="col">model</th></tr></thead>
        <tbody>
          ${table.pictures.slice(0, SHOWN).map((one, index) => html`
            <tr key=${index}><th scope="row">${one.filename}</th><td class=${undecided ? "" : "likeliest"}>${undecided ? "undecided" : modelName(modelOf(one.most_likely))}</td></tr>`)}
        </tbody>
      </table>
    </div>`;
}

// likeliest: the most likely model of each picture stands out.
function Probabilities({ table, caption, likeliest = false }) {
  return html`
    <div class="scrolls" tabindex="0" role="region" aria-label="Probabilities">
      <table>
        <caption>${caption}</caption>
        <thead><tr><th scope="col">picture</th>${table.models.map((id) => html`<th key=${id} scope="col">${modelName(modelOf(id))}</th>`)}</tr></thead>
        <tbody>
          ${table.pictures.slice(0, SHOWN).map((one, index) => html`
            <tr key=${index}><th scope="row">${one.filename}</th>
              ${table.models.map((id) => html`<td key=${id} class=${likeliest && id === one.most_likely ? "likeliest" : ""}>${(100 * one.probabilities[id]).toFixed(1)} %</td>`)}</tr>`)}
        </tbody>
      </table>
    </div>`;
}
