// Look: all pictures that were made, newest first.

import { html } from "../ui.js";
import { link } from "../router.js";
import { loaded, loadMore } from "../data/jobs.js";
import { gallery, smallOf } from "../data/pictures.js";
import { attempt } from "../parts/notices.js";
import { Thumb } from "../parts/picture.js";
import { Windowed } from "../parts/windowed.js";

export function Gallery() {
  const pictures = gallery.value;
  return html`
    <header class="view-head"><h1 tabindex="-1">Gallery</h1></header>
    ${loaded.value && pictures.length === 0
      ? html`<p class="empty">The pictures that you make hang here. <a href=${link("make", "texture")}>Make the first</a></p>`
      : html`<${Windowed} items=${pictures} minWidth=${168} cellHeight=${(width) => width} gap=${8} label="Pictures" onEnd=${() => attempt(loadMore)}
          draw=${({ jobId, artifact }) => html`<a class="gallery-cell" href=${link("jobs", jobId, artifact.name)} aria-label=${`Look at ${artifact.name} of ${jobId}`}><${Thumb} src=${smallOf(artifact)} /></a>`} />`}`;
}
