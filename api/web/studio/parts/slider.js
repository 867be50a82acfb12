// Two pictures on each other, with an edge between them that can be moved.

import { html, useSignal } from "../ui.js";

export function Slider({ picture, photo, width, height }) {
  const at = useSignal(50);
  const cut = { clipPath: `inset(0 0 0 ${at.value}%)` };
  return html`
    <div class="slider" style=${{ aspectRatio: `${width} / ${height}` }}>
      <img src=${photo} alt="Your photograph" />
      <img src=${picture} alt="What was made" style=${cut} />
      <span class="slider-edge" style=${{ left: `${at.value}%` }}></span>
      <input type="range" min="0" max="100" step="0.5" value=${at.value} aria-label="How much of your photograph is shown, in percent" onInput=${(event) => { at.value = Number(event.target.value); }} />
      <span class="slider-word left">your picture</span><span class="slider-word right">made</span>
    </div>`;
}
