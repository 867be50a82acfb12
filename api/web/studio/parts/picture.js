// Pictures that keep their place while they load.

import { html, useEffect, useRef, useState } from "../ui.js";

const COARSE = 64; // pixels: pictures of up to this side are enlarged, and their pixels shown

// A small picture in a list: loaded when it comes near. of: the artifact that it shows, if it is one.
export const Thumb = ({ src, alt = "", size = null, of = null }) =>
  html`<img class="thumb ${of && of.width <= COARSE ? "pixelated" : ""}" src=${src} alt=${alt} loading="lazy" decoding="async" width=${size} height=${size} draggable=${false} />`;

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
