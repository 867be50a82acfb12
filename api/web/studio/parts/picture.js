// Pictures that keep their place while they load.

import { returned } from "../api.js";
import { html, useEffect, useRef, useSignal, useState } from "../ui.js";

const COARSE = 1.5; // times that a picture is enlarged, from which on its pixels are shown

// A small picture in a list: loaded when it comes near. of: what it shows, with its width and height. shaped: in the
// proportions of that, rather than in a square. side: of its square, in pixels, in which a smaller picture is shown at a whole
// number of times its size, so that its pixels are even. onLoad(event): called when it is there. One that did not come is asked for
// again when the service is back.
export function Thumb({ src, alt = "", size = null, of = null, shaped = false, side = null, onLoad = null }) {
  const failedAt = useSignal(null); // how often the service had come back by then
  const coarse = useSignal(false);
  const shown = (event) => {
    const { clientWidth, naturalWidth } = event.target;
    coarse.value = naturalWidth === of?.width && clientWidth >= COARSE * naturalWidth;
    onLoad?.(event);
  };
  const key = failedAt.value === null ? 0 : returned.value - failedAt.value;
  const failed = () => {
    failedAt.value ??= returned.peek();
  };
  const whole = side !== null && Math.max(of.width, of.height) <= side;
  const style = shaped ? { aspectRatio: `${of.width} / ${of.height}` } : whole ? enlarged(of, side) : null;
  return html`<img key=${key} onError=${failed} onLoad=${shown} class="thumb ${whole || coarse.value ? "pixelated" : ""}" style=${style} src=${src} alt=${alt} loading="lazy" decoding="async" width=${size} height=${size} draggable=${false} />`;
}

// Show a picture in the middle of a square at about its size: with a whole number of the screen's pixels for each of its own if
// that nearly fills the square, else smoothly scaled to fill it. Pixels that are seen singly may leave more of it empty.
// The place should have `overflow: clip`.
const [LEAST, LEAST_OF_LARGE_PIXELS, MOST] = [0.95, 0.75, 1.08]; // of the side

function enlarged({ width, height }, side) {
  const fit = side / Math.max(width, height);
  const even = Math.round(devicePixelRatio * fit) / devicePixelRatio;
  const isEven = even >= (fit < 2 ? LEAST : LEAST_OF_LARGE_PIXELS) * fit && even <= MOST * fit;
  const scale = isEven ? even : fit;
  const [across, down] = [width, height].map((length) => Math.floor((side - scale * length) / 2));
  const beyond = [down, across].map((margin) => `${Math.max(-margin, 0)}px`).join(" ");
  return { width: `${scale * width}px`, height: `${scale * height}px`, maxWidth: "none", margin: `${down}px ${across}px`, clipPath: `inset(${beyond} round 7px)`, imageRendering: isEven ? null : "auto" };
}

// The largest whole multiple of a picture's width that there is room for, in CSS, so that its pixels are even; or all the room if
// that is less than the picture's width.
export const evenWidth = (room, width) => `max(round(down, ${room}, ${width}px), min(${room}, ${width}px))`;

// A picture that changes while one looks: the next is decoded before it takes the place of the last.
export function Changing({ src, alt, width, height }) {
  const [shown, setShown] = useState(src);
  const wanted = useRef(src);
  useEffect(() => {
    wanted.current = src;
    if (!src || src === shown) return;
    const next = new Image();
    next.src = src;
    next.decode().then(
      () => wanted.current === src && setShown(src),
      () => {}, // replaced meanwhile: the next event brings another
    );
  }, [src]);
  if (!shown) return null;
  return html`<img class="changing" src=${shown} alt=${alt} width=${width} height=${height} />`;
}
