// The pictures that a job made.

import { html } from "../ui.js";
import { link } from "../router.js";
import { resultsOf, roleOf, smallOf } from "../data/pictures.js";
import { Thumb } from "./picture.js";

// Pixels along each side of a square for a picture: at least, in a row of several, and of one alone; at most, on a phone.
const IN_A_ROW = 190;
const ALONE = 380;
const ON_A_PHONE = 300;

// The sides of the squares in which these pictures are shown: small ones at a whole number of times their size.
function squares(pictures) {
  const side = Math.max(...pictures.map((one) => Math.max(one.width, one.height)));
  const atLeast = (least) => (side < least ? side * Math.ceil(least / side) : least);
  const onAPhone = side * Math.max(1, Math.floor(ON_A_PHONE / side));
  return `--row: ${atLeast(IN_A_ROW)}px; --alone: ${atLeast(ALONE)}px; --phone: ${Math.min(onAPhone, ON_A_PHONE)}px`;
}

function sizeOf(pictures) {
  const sizes = new Set(pictures.map(({ width, height }) => `${width} × ${height} pixels`));
  return sizes.size === 1 ? [...sizes][0] : "";
}

// beside: they stand beside something else, so that one alone is not larger than others.
export function Results({ job, beside = false }) {
  const results = resultsOf(job);
  if (!results.length) return null;
  return html`
    <section aria-labelledby="results-title">
      <h2 id="results-title">Pictures <span class="hint">${sizeOf(results)}</span></h2>
      <ul class="results ${results.length === 1 && !beside ? "one" : ""}" style=${squares(results)}>
        ${results.map((one) => html`
          <li key=${one.name}>
            <a href=${link("jobs", job.id, one.name)} aria-label=${`Look at ${one.name}, ${one.width} by ${one.height} pixels`}><${Thumb} src=${smallOf(one)} size=${256} of=${one} /></a>
            ${roleOf(one) && html`<span class="hint">${roleOf(one)}</span>`}
          </li>`)}
      </ul>
    </section>`;
}

export function OtherFiles({ job }) {
  const results = resultsOf(job);
  const others = job.artifacts.filter((one) => !results.includes(one) && one.name !== "preview.png");
  if (!others.length) return null;
  return html`
    <details class="files"><summary>Other files</summary>
      <ul>${others.map((one) => html`<li key=${one.name}><a href=${one.url}>${one.name}</a></li>`)}</ul>
    </details>`;
}
