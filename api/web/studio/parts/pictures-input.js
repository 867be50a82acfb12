// Where pictures come in: dropped, pasted, chosen, from an earlier set or from the examples.

import { drawCovering, shrunk } from "../canvas.js";
import { html, scrollToStart, useEffect, useMemo, useRef, useSignal, useState } from "../ui.js";
import { go } from "../router.js";
import * as draft from "../data/draft.js";
import { ROLES } from "../data/roles.js";
import { replay } from "../data/replays.js";
import { fitsSide, MAX_PIXELS, waysToFit } from "../data/fit.js";
import { withoutPainted } from "../data/learned-part.js";
import { datasetName, datasets, thumbnail } from "../data/datasets.js";
import { EXAMPLES, exampleFiles } from "../data/examples.js";
import { count, fileSize, shortened } from "../format.js";
import { Brush } from "./brush.js";
import { AsSeen, CropFrame } from "./crop.js";
import { dropping } from "./drop.js";
import { Icon } from "./icon.js";
import { Mask } from "./mask.js";
import { attempt, inBackground } from "./notices.js";
import { Thumb } from "./picture.js";

const PAINTED_SIDE = 512; // pixels of the picture that is painted over, at most
const SHOWN = 60; // pictures of those chosen, until all are asked for
const SEEN_SIDE = 1024; // and of what is shown of it

export const ACCEPT = "image/png,image/jpeg,image/webp,image/tiff,image/bmp,image/gif,image/avif,image/heic,.heic,.heif,.zip,.tif,.tiff";

// parts: transparent parts are left out of learning. side: pixels that the shorter side of each picture must have, if it
// must.
export function PicturesInput({ size, advice, parts = false, side = null }) {
  const any = draft.pictureCount.value > 0;
  useEffect(() => void (side && inBackground(draft.lookThrough)), [side, draft.dataset.value, draft.files.value]);
  useEffect(() => () => void (draft.lostPictures.value = 0), []);
  const lost = draft.lostPictures.value;
  return html`
    <div class="pictures-input">
      ${lost > 0 && !draft.dataset.value && html`<p class="warned" role="status">A reload keeps no pictures that were not sent yet: choose ${lost === 1 ? "it" : `the ${lost}`} again.</p>`}
      ${!any && html`<p class="lead">${advice}${side ? ` With this model the shorter side must be ${side} pixels.` : ""}</p>`}
      ${any ? html`<${Chosen} size=${size} parts=${parts} side=${side} />` : html`<${DropZone} />`}
      ${!any && html`<${Examples} /><${Earlier} />`}
    </div>`;
}

function DropZone() {
  return html`
    <label class="drop ${dropping.value ? "over" : ""}">
      <input class="sr" type="file" name="images" accept=${ACCEPT} multiple onChange=${(event) => draft.addFiles(event.target.files)} />
      <${Icon} name="upload" />
      <span><strong>Drop pictures here</strong>, paste them, or <u>choose files</u></span>
      <span class="hint">PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF, HEIC, or a zip of them</span>
    </label>`;
}

function Examples() {
  const fitting = EXAMPLES.filter((one) => one.kinds.includes(draft.kindId.value));
  if (!fitting.length) return null;
  return html`
    <div>
      <h3 class="small-head">Or begin with an example</h3>
      <ul class="strip">
        ${fitting.map((one) => html`
          <li key=${one.name}>
            <button type="button" class="tile" onClick=${() => attempt(async () => draft.addFiles(await exampleFiles(one)))}>
              <${Thumb} src=${one.thumb} /><span>${one.title}</span>
            </button>
          </li>`)}
      </ul>
    </div>`;
}

function Earlier() {
  const sets = (datasets.value ?? []).filter((one) => one.images.length && (draft.takesMaps.value || !one.maps.length)).slice(0, 12);
  if (!sets.length) return null;
  return html`
    <div>
      <h3 class="small-head">Or pictures from before</h3>
      <ul class="strip">
        ${sets.map((one) => html`
          <li key=${one.id}>
            <button type="button" class="tile" onClick=${() => { draft.dataset.value = one; }}>
              <${Thumb} src=${thumbnail(one.images[0])} /><span>${datasetName(one)}</span>
            </button>
          </li>`)}
      </ul>
    </div>`;
}

// The pictures chosen: one of them large, before and after cropping, the others small.
function Chosen({ size, parts, side }) {
  const set = draft.dataset.value;
  const items = set
    ? set.images.map((image) => ({ id: image.index, name: image.filename, role: set.maps.find((one) => one.index === image.index)?.role, url: image.url, small: thumbnail(image), notes: image.notes, width: image.width, height: image.height }))
    : draft.files.value.map(({ id, file, bitmap, ours, fitted, left }) => ({ id, name: file.name, file, bitmap, ours, fitted, left, width: bitmap?.width, height: bitmap?.height }));
  const [at, setAt] = useState(0);
  const [all, setAll] = useState(false);
  const shown = all || items.slice(SHOWN).some(wrong) ? items : items.slice(0, SHOWN);
  const current = items[Math.min(at, items.length - 1)];
  const area = useRef(null);
  const refused = items.findIndex(wrong);
  useEffect(() => {
    if (refused < 0) return;
    setAt(refused);
    scrollToStart(area.current);
  }, [draft.problems.value]);
  return html`
    <div class="chosen" ref=${area}>
      ${side && !draft.isMaterial.value ? html`<${Fit} key=${current.id} item=${current} side=${side} />` : html`<${BeforeAndAfter} key=${current.id} item=${current} size=${draft.isMaterial.value ? null : size} parts=${parts} />`}
      <${Enlarged} size=${size} />
      <${Few} />
      ${items.length > 1 && html`
        <ul class="strip small" aria-label="Pictures chosen">
          ${shown.map((one, index) => html`
            <li key=${one.id}>
              <button type="button" class="tile ${wrong(one) ? "wrong" : ""}" aria-pressed=${index === at} aria-label=${one.name} onClick=${() => setAt(index)}>
                <${Small} item=${one} />
              </button>
            </li>`)}
        </ul>`}
      ${shown.length < items.length && html`<p class="row"><span class="hint">and ${count(items.length - shown.length, "more", "more")}</span><button type="button" class="small" onClick=${() => setAll(true)}>Show all</button></p>`}
      ${draft.isMaterial.value && html`<p role="status">These are the maps of a material, which only Texture learns from.</p>`}
      ${draft.takesMaps.value && !set && items.length > 1 && html`<${RoleChoice} item=${current} />`}
      ${current.ours && html`
        <p class="row">This picture was made here or by the same software.
          <button type="button" class="small" onClick=${() => attempt(async () => go("jobs", await replay(current.file)))}><${Icon} name="again" />Make it again</button></p>`}
      <div class="row">
        <span class="hint">${count(items.length, current.role ? "map of a material" : "picture", current.role ? "maps of a material" : "pictures")}${set ? `, stored as ${datasetName(set)}` : ""}</span>
        ${!set && html`<label class="button small">Add more<input class="sr" type="file" accept=${ACCEPT} multiple onChange=${(event) => draft.addFiles(event.target.files)} /></label>`}
        ${!set && items.length > 1 && html`<button type="button" class="small" onClick=${() => { draft.files.value = draft.files.value.filter((one) => one.id !== current.id); }}>Remove this one</button>`}
        <button type="button" class="small" onClick=${() => { setAt(0); draft.clearPictures(); }}>Choose others</button>
      </div>
    </div>`;
}

// That pictures are smaller than they will be learned, and a click that learns them as they are.
function Enlarged({ size }) {
  if (!size || !draft.enlarged.value) return null;
  const { names, times, side } = draft.enlarged.value;
  const what = names.length > 1 ? `${names.length} pictures are enlarged up to` : `${names[0]} is enlarged`;
  return html`
    <p class="row warned" role="status">
      <span>${what} ${times.toFixed(1)} times, to ${size} × ${size}, and learned blurred.</span>
      ${side < size && html`<button type="button" class="small" onClick=${() => draft.override("image_size", side)}>Learn at ${side} × ${side}</button>`}
    </p>`;
}

// That there are too few pictures of an object.
function Few() {
  const number = draft.few.value;
  if (!number) return null;
  return html`
    <p class="row warned" role="status">
      <span>An object is learned from about ten pictures, all at the same place, size and direction. ${number === 1 ? "There is only one here: what the model draws will be near it." : `There are only ${number} here.`}</span>
    </p>`;
}

// Several pictures may be the aligned maps of one material, which are learned together.
function RoleChoice({ item }) {
  return html`
    <label class="row">This is
      <select name="role" value=${draft.roles.value[item.id] ?? ""} onChange=${(event) => draft.setRole(item.id, event.target.value)}>
        <option value="">a picture of its own</option>
        ${ROLES.map((role) => html`<option key=${role} value=${role}>the ${role} map of a material</option>`)}
      </select>
    </label>`;
}

// What a stored picture lost.
const noted = ({ notes = [] }) => notes.map((one) => `; ${one}`).join("");

const wrong = (item) => draft.problems.value.find((one) => one.file && one.file === item.name);

function Small({ item }) {
  if (item.small) return html`<${Thumb} src=${item.small} />`;
  if (item.bitmap) return html`<${AsSeen} source=${item.bitmap} size=${[64, 64]} label="" />`;
  return html`<span class="thumb blank">${item.name.split(".").at(-1)}</span>`;
}

function useSource(item) {
  const [source, setSource] = useState(item.bitmap ?? null);
  useEffect(() => {
    if (item.bitmap || !item.url) return;
    const image = new Image();
    image.src = item.url;
    image.decode().then(() => setSource(image), () => {});
  }, [item.id]);
  return source;
}

function unseenWords(item) {
  if (draft.isZip(item.file)) return "The service opens it when you start.";
  return draft.isNoPicture(item) ? "This file is not a picture." : "This browser cannot show it. If it is a picture, the service reads it when you start.";
}

// A picture that the browser cannot show, or not yet.
function Unseen({ item, fault }) {
  return html`
    <div class="unseen ${fault ? "wrong" : ""}">
      <${Icon} name=${fault ? "warning" : "photo"} />
      <strong>${item.name}</strong>
      <span class="hint">${fault ? fault.message : `${fileSize(item.file.size)}. ${unseenWords(item)}`}</span>
    </div>`;
}

// A picture of which no pixel may change its scale, and ways to give it a size that works; none if it is not opaque.
function Fit({ item, side }) {
  const source = useSource(item);
  const fault = wrong(item);
  if (!source && !item.url) return html`<${Unseen} item=${item} fault=${fault} />`;
  const whole = [item.width, item.height];
  const shown = item.fitted?.size ?? whole;
  const fits = fitsSide(shown, side);
  const opaque = draft.opaque.value[item.url ?? item.id] !== false;
  const ways = opaque ? waysToFit(whole, side) : [];
  return html`
    <div class="fit">
      <figure>
        ${item.fitted
          ? html`<${AsSeen} source=${item.fitted.bitmap} size=${shown} label=${`${item.name}, ${item.fitted.way === "crop" ? "cropped" : "scaled"}`} />`
          : html`<${CropFrame} source=${source} width=${item.width} height=${item.height} alt=${item.name} cut=${false} />`}
        <figcaption class="hint">${shortened(item.name)}, ${whole.join(" × ")}${noted(item)}${item.fitted ? `; of it ${shown.join(" × ")}, ${item.fitted.way === "crop" ? "cropped" : "scaled"}` : ""}</figcaption>
      </figure>
      ${!opaque && html`<p role="status">It has transparent parts: only opaque photographs are made tileable.</p>`}
      ${opaque && !fits && html`<p role="status">${Math.min(...whole) === side ? `The longer side can have ${Math.floor(MAX_PIXELS / side)} pixels at most.` : `With this model the shorter side must be ${side} pixels.`}</p>`}
      ${opaque && (!fits || item.fitted) && html`
        <div class="row">
          ${ways.map(({ way, size, words }) => html`<button key=${way} type="button" class="small" aria-pressed=${item.fitted?.way === way} title=${words} onClick=${() => attempt(() => draft.fit(item.id, { way, size }))}>${way === "crop" ? "Crop" : "Scale"} to ${size.join(" × ")}</button>`)}
          ${item.fitted && html`<button type="button" class="small" onClick=${() => draft.unfit(item.id)}>Back to the original</button>`}
        </div>
        <p class="hint">${ways.map(({ words }) => words).join(" ")}</p>`}
      ${fault && html`<p class="wrong" role="alert">${fault.message}</p>`}
    </div>`;
}

function BeforeAndAfter({ item, size, parts }) {
  const [partial, setPartial] = useState(false);
  const source = useSource(item);
  const fault = wrong(item);
  const map = item.file && draft.roles.value[item.id];
  const left = parts && !map ? item.left : null;
  const seen = useMemo(() => (left && source ? withoutPainted(source, left.paint, SEEN_SIDE) : source), [source, left]);
  if (!source && !item.url) return html`<${Unseen} item=${item} fault=${fault} />`;
  const cut = item.width !== item.height;
  return html`
    <div class="before-after">
      <figure>
        <${CropFrame} source=${source} width=${item.width} height=${item.height} alt=${`${item.name}${cut ? ", what is cut off dimmed" : ""}`} />
        <figcaption class="hint">${item.role ? `${item.role}: ` : ""}${shortened(item.name)}, ${item.width} × ${item.height}${noted(item)}</figcaption>
      </figure>
      ${size && html`
        <figure>
          <${AsSeen} source=${seen} size=${[size, size]} parts=${parts} tell=${setPartial} label=${`${item.name} as the model sees it${partial ? ", without what is left out" : ""}`} />
          <figcaption class="hint">as the model sees it, ${size} × ${size}${partial ? `; what is ${left ? "painted over or " : ""}transparent is left out` : ""}</figcaption>
        </figure>`}
      ${fault && html`<p class="wrong" role="alert">${fault.message}</p>`}
    </div>
    ${item.bitmap && parts && !map && html`<${LeftOut} item=${item} />`}
    ${item.left && (!parts || map) && html`<p class="hint" role="status">${map ? "Maps" : "Such pictures"} are learned whole: what is painted over in ${item.name} is not used.</p>`}`;
}

// What of a picture is not to be learned, painted over in it.
function LeftOut({ item }) {
  const { id, bitmap, left } = item;
  const painting = useSignal(false);
  const ground = useMemo(() => {
    const canvas = document.createElement("canvas");
    const size = [bitmap.width, bitmap.height];
    drawCovering(canvas, bitmap, shrunk(size, PAINTED_SIDE), null);
    return canvas;
  }, [bitmap]);
  const begin = () => {
    if (!left) draft.leaveOut(id, new Mask(ground.width, ground.height));
    painting.value = true;
  };
  const learnAll = () => {
    painting.value = false;
    draft.leaveOut(id, null);
  };
  return html`
    <div class="left-out">
      <div class="row">
        ${painting.value
          ? html`<button type="button" class="small" onClick=${() => { painting.value = false; }}>Put the brush away</button>`
          : html`<button type="button" class="small" onClick=${begin}><${Icon} name="brush" />Paint over what is not to be learned</button>`}
        ${left && html`<button type="button" class="small" onClick=${learnAll}>Learn all of it</button>`}
      </div>
      ${painting.value && left && html`<${Brush} mask=${left.paint} ground=${ground} label="what is not to be learned" changed=${() => draft.leaveOut(id, left.paint)} />`}
    </div>`;
}
