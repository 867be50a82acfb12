// Look at one picture: zoom to its pixels, lay it as tiles, hold it beside the photograph.

import { patiently } from "../api.js";
import { html, useEffect, useRef, useSignal } from "../ui.js";
import { link, replace } from "../router.js";
import { isFixedSize, isOfMaterial, isOfPatches, modelOf } from "../data/models.js";
import { addressOf, asSeen, nearestOf, originalsOf, resultsOf, sizeSeen } from "../data/pictures.js";
import { again, followIn, hasMoreLikeThis, moreLikeThis, variationsOf } from "./job-actions.js";
import { Icon } from "./icon.js";
import { JobSettings } from "./job-settings.js";
import { attempt, inBackground } from "./notices.js";
import { useZoom, ZoomArea, ZoomTools } from "./zoom-area.js";
import { Slider } from "./slider.js";

export function Viewer({ job, name, close }) {
  const ref = useRef();
  const mode = useSignal("look"); // look, tiles, slider, beside
  const originals = useSignal([]);
  const results = resultsOf(job);
  const model = modelOf(job.model_id);
  const takesPictures = model && !isOfPatches(model) && !isOfMaterial(model);
  const at = results.findIndex((one) => one.name === name);
  const artifact = results[at];
  const step = (by) => {
    const next = results[at + by];
    if (next) replace("jobs", job.id, next.name);
  };
  useEffect(() => {
    ref.current?.showModal();
  }, [Boolean(artifact)]);
  useEffect(() => {
    let current = true;
    originals.value = [];
    inBackground(async () => {
      const found = await patiently(() => originalsOf(job, name));
      if (current) originals.value = found;
    });
    return () => {
      current = false;
    };
  }, [job.id, name, model?.id]); // the model may be read after the job
  if (!artifact) return null;
  const keys = (event) => {
    if (event.target.matches("input, select")) return;
    if (event.key === "ArrowLeft" && !event.target.closest(".zoom-area")) step(-1);
    if (event.key === "ArrowRight" && !event.target.closest(".zoom-area")) step(1);
  };
  const toggle = (which, icon, label, possible = true) => html`
    <button type="button" aria-pressed=${mode.value === which} disabled=${!possible} onClick=${() => { mode.value = mode.value === which ? "look" : which; }}><${Icon} name=${icon} />${label}</button>`;
  return html`
    <dialog ref=${ref} class="viewer" aria-label=${`Picture ${at + 1} of ${results.length}`} onCancel=${(event) => { event.preventDefault(); close(); }} onKeyDown=${keys}>
      <div class="viewer-bar">
        <button type="button" class="bare" aria-label="Close" onClick=${close}><${Icon} name="close" /></button>
        <span class="viewer-title"><span>${artifact.name}</span> <span class="quiet">${artifact.width} × ${artifact.height}</span></span>
        <div class="viewer-modes" role="group" aria-label="How to look">
          ${toggle("tiles", "tile", "Tiles")}
          ${toggle("slider", "compare", "Slider", originals.value.length > 0)}
          ${toggle("beside", "photo", "Beside", originals.value.length > 0)}
        </div>
        <a class="button" href=${`${artifact.url}?download=true`} download aria-label="Download"><${Icon} name="download" /><span class="word">Download</span></a>
      </div>
      <div class="viewer-body">
        <div class="viewer-stage">
          <${Look} key=${name} job=${job} artifact=${artifact} originals=${originals.value} mode=${mode.value} />
          ${results.length > 1 && html`
            <button type="button" class="turn before" aria-label="The picture before" disabled=${at === 0} onClick=${() => step(-1)}><${Icon} name="back" /></button>
            <button type="button" class="turn after" aria-label="The next picture" disabled=${at === results.length - 1} onClick=${() => step(1)}><${Icon} name="next" /></button>`}
        </div>
        <aside class="viewer-aside" aria-label="How it was made">
          <div class="actions">
            ${hasMoreLikeThis(job) && html`<button type="button" class="primary" onClick=${() => attempt(() => moreLikeThis(job))}><${Icon} name="dice" />More like this</button>`}
            ${takesPictures && html`<button type="button" onClick=${() => attempt(() => variationsOf(job, artifact))}><${Icon} name="vary" />Variations</button>`}
            ${takesPictures && !isFixedSize(model) && html`<button type="button" onClick=${() => attempt(() => followIn(job, artifact))}><${Icon} name="photo" />Use as guide</button>`}
            <button type="button" onClick=${() => attempt(() => again(job))}><${Icon} name="again" />Make again</button>
            ${takesPictures && html`<a class="button" href=${link("make", "inpaint", { model: model.id, job: job.id, name })}><${Icon} name="brush" />Fill in</a>`}
            <a class="button" href=${link("jobs", job.id)}><${Icon} name="jobs" />Its job</a>
          </div>
          <${JobSettings} job=${job} label="Settings of this picture" />
        </aside>
      </div>
    </dialog>`;
}

// The picture in one of the ways to look at it.
function Look({ job, artifact, originals, mode }) {
  const zoom = useZoom();
  const { name, width, height } = artifact;
  const picture = { src: addressOf(artifact), width, height };
  const compared = originals.length > 0 && (mode === "slider" || mode === "beside");
  return html`
    <div class="viewer-look">
      ${mode === "tiles" ? html`<${ZoomArea} key="tiles" pictures=${[picture]} tiles=${3} label=${`${name}, laid three by three`} zoom=${zoom} />`
        : compared ? html`<${Compared} key="compared" picture=${picture} name=${name} originals=${originals} size=${sizeSeen(job, artifact)} mode=${mode} zoom=${zoom} />`
        : html`<${ZoomArea} key="look" pictures=${[picture]} label=${name} zoom=${zoom} />`}
    </div>
    <${ZoomTools} zoom=${zoom} />`;
}

// A picture and one of the user: of several, first the nearest.
function Compared({ originals, picture, size, ...others }) {
  const nearest = useNearest(picture.src, originals, size);
  const chosen = useSignal(null);
  const original = chosen.value ?? nearest;
  if (!original) return html`<p class="hint" role="status">${originals.length > 1 ? "Looking for the nearest of your pictures" : "Reading your picture"}</p>`;
  return html`
    <${Comparison} key=${original.url} picture=${picture} original=${original} size=${size} ...${others} />
    ${originals.length > 1 && html`
      <label class="compared-with">Compared with
        <select value=${originals.indexOf(original)} onChange=${(event) => { chosen.value = originals[event.target.value]; }}>
          ${originals.map((one, index) => html`<option key=${one.url} value=${index}>${one.filename}${one === nearest ? ", the nearest" : ""}</option>`)}
        </select>
      </label>`}`;
}

// The nearest of several pictures; null until it is found.
function useNearest(src, originals, size) {
  const nearest = useSignal(null);
  useEffect(() => {
    let ended = false;
    inBackground(async () => {
      const found = originals.length > 1 ? await nearestOf(src, originals, size) : originals[0];
      if (!ended) nearest.value = found;
    });
    return () => {
      ended = true;
    };
  }, [src, originals]);
  return nearest.value;
}

// A picture and the photograph that belongs to it, at the size at which the model saw it, pixel for pixel.
function Comparison({ picture, name, original, size, mode, zoom }) {
  const photo = useSeen(original, size);
  if (!photo) return html`<p class="hint" role="status">Reading your picture</p>`;
  const frame = [Math.max(picture.width, photo.width), Math.max(picture.height, photo.height)];
  if (mode === "slider") return html`<${Slider} picture=${picture} photo=${photo} frame=${frame} label=${`${name} over your picture`} zoom=${zoom} />`;
  const figure = (one, label, caption) => html`<figure><${ZoomArea} pictures=${[one]} frame=${frame} label=${label} zoom=${zoom} /><figcaption>${caption}</figcaption></figure>`;
  return html`
    <div class="beside">
      ${figure(photo, `${original.filename}, your picture`, `${original.filename} as the model saw it, ${photo.width} × ${photo.height}`)}
      ${figure(picture, name, `${name}, ${picture.width} × ${picture.height}`)}
    </div>`;
}

function useSeen(original, size) {
  const seen = useSignal(null);
  useEffect(() => {
    let ended = false;
    inBackground(async () => {
      const made = await asSeen(original, size);
      if (ended) URL.revokeObjectURL(made.src);
      else seen.value = made;
    });
    return () => {
      ended = true;
      if (seen.peek()) URL.revokeObjectURL(seen.peek().src);
    };
  }, [original.url, ...size]);
  return seen.value;
}
