// Look: all pictures that were made, newest first.

import { html, signal } from "../ui.js";
import { link } from "../router.js";
import { loaded, loadMore, more } from "../data/jobs.js";
import { gallery, smallOf } from "../data/pictures.js";
import { chooseAll, chosen, clear, toggle, ZIP_MOST, zipOf } from "../data/selection.js";
import { count } from "../format.js";
import { Icon } from "../parts/icon.js";
import { inBackground } from "../parts/notices.js";
import { Thumb } from "../parts/picture.js";
import { Windowed } from "../parts/windowed.js";

const KINDS = [["", "All"], ["synthesized", "Drawn"], ["inpainted", "Filled in"], ["reconstructed", "Reconstructed"]];
const PHONE = 680; // pixels, as in style/views.css: wider pages show pictures of 96 pixels at twice their size, narrower ones as they are, or larger on a finer screen
const shownKind = signal("");

export function Gallery() {
  const pictures = shownKind.value ? gallery.value.filter((one) => one.artifact.name.startsWith(shownKind.value)) : gallery.value;
  return html`
    <header class="view-head">
      <h1 tabindex="-1">Gallery</h1>
      <div class="row" role="group" aria-label="Show">
        ${pictures.length > 1 && html`<button type="button" class="small bare" onClick=${() => chooseAll(pictures)}>Choose all</button>`}
        ${KINDS.map(([name, title]) => html`<button key=${name} type="button" class="small" aria-pressed=${shownKind.value === name} onClick=${() => { shownKind.value = name; }}>${title}</button>`)}
      </div>
    </header>
    ${loaded.value && pictures.length === 0 && !(more.value && shownKind.value)
      ? html`<p class="empty">${shownKind.value ? "There is none of this kind yet." : html`The pictures that you make hang here, each with its settings and its seed. <a href=${link("make", "texture")}>Make the first</a>`}</p>`
      : html`<${Windowed} items=${pictures} minWidth=${(width) => (width < PHONE ? 96 : 192)} cellHeight=${(width) => width} gap=${10} label="Pictures" onEnd=${() => inBackground(loadMore)}
          draw=${(picture, width) => html`<${Cell} picture=${picture} side=${width} />`} />`}
    <${Chosen} />`;
}

function Cell({ picture, side }) {
  const { jobId, artifact } = picture;
  const label = `${artifact.name}, ${artifact.width} by ${artifact.height}`;
  return html`
    <div class="gallery-cell ${chosen.value.has(picture.id) ? "chosen" : ""}">
      <a href=${link("jobs", jobId, artifact.name)} aria-label=${`Look at ${label}`}><${Thumb} src=${smallOf(artifact)} of=${artifact} side=${side} /></a>
      <input type="checkbox" checked=${chosen.value.has(picture.id)} aria-label=${`Choose ${label}`} onChange=${() => toggle(picture)} />
      <span class="gallery-size" aria-hidden="true">${artifact.width} × ${artifact.height}</span>
    </div>`;
}

function Chosen() {
  const pictures = [...chosen.value.values()];
  if (!pictures.length) return null;
  const [one, other] = pictures;
  return html`
    <div class="chosen-bar" role="region" aria-label="Chosen pictures">
      <strong>${count(pictures.length, "picture")}</strong>
      ${pictures.length === 2 && html`<a class="button" href=${link("beside", one.jobId, one.artifact.name, other.jobId, other.artifact.name)} aria-label="Side by side"><${Icon} name="compare" /><span class="word">Side by side</span></a>`}
      ${pictures.length <= ZIP_MOST
        ? html`<a class="button primary" href=${zipOf(pictures)} download><${Icon} name="download" />Download</a>`
        : html`<span class="hint">At most ${ZIP_MOST} fit in one download.</span>`}
      <button type="button" class="bare" aria-label="Choose none" onClick=${clear}><${Icon} name="close" /></button>
    </div>`;
}
