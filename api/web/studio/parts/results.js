// The pictures that a job made.

import { html } from "../ui.js";
import { link } from "../router.js";
import { resultsOf, roleOf, smallOf } from "../data/pictures.js";
import { Thumb } from "./picture.js";

export function Results({ job, only = false }) {
  const results = resultsOf(job);
  const others = job.artifacts.filter((one) => !results.includes(one) && one.name !== "preview.png");
  return html`
    ${results.length > 0 && html`
      <section aria-labelledby="results-title">
        <h2 id="results-title">Pictures</h2>
        <ul class="results ${results.length === 1 ? "one" : ""}">
          ${results.map((one) => html`
            <li key=${one.name}>
              <a href=${link("jobs", job.id, one.name)} aria-label=${`Look at ${one.name}, ${one.width} by ${one.height} pixels`}><${Thumb} src=${smallOf(one)} size=${256} of=${one} /></a>
              ${roleOf(one) && html`<span class="hint">${roleOf(one)}</span>`}
            </li>`)}
        </ul>
      </section>`}
    ${!only && others.length > 0 && html`
      <details class="files"><summary>Other files</summary>
        <ul>${others.map((one) => html`<li key=${one.name}><a href=${one.url}>${one.name}</a></li>`)}</ul>
      </details>`}`;
}
