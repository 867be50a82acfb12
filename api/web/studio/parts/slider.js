// Two pictures on each other, with an edge between them that can be moved: left of it the photograph, right what was made.

import { html, useSignal } from "../ui.js";
import { ZoomArea } from "./zoom-area.js";

const HANDLE = 44; // pixels that the edge can be taken by, as in views.css

export function Slider({ picture, photo, frame, label, zoom }) {
  const at = useSignal(50);
  const edge = `calc(${HANDLE / 2}px + ${at.value / 100} * (100% - ${HANDLE}px))`;
  const pictures = [{ ...photo, clip: `inset(0 calc(100% - ${edge}) 0 0)` }, { ...picture, clip: `inset(0 0 0 ${edge})` }];
  return html`
    <div class="slider">
      <${ZoomArea} pictures=${pictures} frame=${frame} label=${label} zoom=${zoom} />
      <span class="slider-edge" style=${{ left: edge }}></span>
      <input type="range" min="0" max="100" step="0.5" value=${at.value} aria-label="How much of your photograph is shown, in percent" onInput=${(event) => { at.value = Number(event.target.value); }} />
      <span class="slider-word left">your picture</span><span class="slider-word right">made</span>
    </div>`;
}
