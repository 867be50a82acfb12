// Pictures that follow each other in time: one of them, a scrubber over all, and a button that plays them.

import { html, useEffect, useSignal } from "../ui.js";
import { Icon } from "./icon.js";
import { Changing } from "./picture.js";

const FRAME_MS = 160;

// frames: [{url, width, height}]; of several pictures [{pictures: [such], columns}]. words(frame): which moment it is.
// about(frame): a sentence on it. waiting: what is said while there are none. live: its last frame is not the last.
export function Film({ frames, words, about, alt, label, playLabel, waiting, live = false, onFocus }) {
  const at = useSignal(null); // null follows the latest
  const playing = useSignal(false);
  const last = frames.length - 1;
  const shown = frames[Math.min(at.value ?? last, last)];
  const said = shown && words(shown);
  useEffect(() => {
    if (!playing.value) return;
    const timer = setInterval(() => {
      const next = (at.peek() ?? last) + 1;
      if (next > last) playing.value = false;
      else at.value = next;
    }, FRAME_MS);
    return () => clearInterval(timer);
  }, [playing.value, last]);
  const play = () => {
    if (!playing.value && (at.value ?? last) >= last) at.value = 0;
    playing.value = !playing.value;
  };
  const scrub = (event) => {
    playing.value = false;
    const chosen = Number(event.target.value);
    at.value = chosen === last ? null : chosen;
  };
  return html`
    <div class="stage">
      <div class="stage-picture ${shown ? "" : "waiting"}">
        ${!shown ? html`<p>${waiting}</p>` : shown.pictures ? html`<${Sheet} ...${shown} label=${alt(shown)} />` : html`<${Changing} src=${shown.url} alt=${alt(shown)} width=${shown.width} height=${shown.height} />`}
      </div>
      ${about && html`<p class="hint stage-about">${shown && about(shown)}</p>`}
      <div class="scrubber ${frames.length > 1 ? "" : "later"}">
        <button type="button" class="bare" onClick=${play} aria-label=${playing.value ? "Stop" : playLabel}><${Icon} name=${playing.value ? "pause" : "play"} /></button>
        <input type="range" min="0" max=${last} value=${Math.min(at.value ?? last, last)} aria-label=${label}
          aria-valuetext=${said} onInput=${scrub} onFocus=${onFocus} />
        <output>${at.value === null && live ? "live" : said}</output>
      </div>
    </div>`;
}

const Sheet = ({ pictures, columns, label }) => html`
  <div class="changing sheet" role="img" aria-label=${label} style=${{ gridTemplateColumns: `repeat(${columns}, 1fr)`, aspectRatio: `${columns * pictures[0].width} / ${Math.ceil(pictures.length / columns) * pictures[0].height}` }}>
    ${pictures.map(({ url, width, height }) => html`<img key=${url} src=${url} alt="" width=${width} height=${height} />`)}
  </div>`;
