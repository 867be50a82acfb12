// Line icons, 24 x 24, drawn for this page. They are decoration: the control beside them has the words.

import { html } from "../ui.js";

const PATHS = {
  make: "M12 5v14M5 12h14",
  jobs: "M4 17l4.5-6 4 3.5L20 6M4 21h16",
  gallery: "M4 5h7v7H4zM13 5h7v7h-7zM4 14h7v5H4zM13 14h7v5h-7z",
  models: "M12 3l8 4.5-8 4.5-8-4.5zM4 12l8 4.5 8-4.5M4 16.5L12 21l8-4.5",
  upload: "M12 16V5M7 9.5L12 4.5l5 5M5 19.5h14",
  download: "M12 4.5v11M7 11l5 5 5-5M5 19.5h14",
  close: "M6 6l12 12M18 6L6 18",
  back: "M14.5 5l-7 7 7 7",
  next: "M9.5 5l7 7-7 7",
  plus: "M12 5.5v13M5.5 12h13",
  minus: "M5.5 12h13",
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M8.5 5.5v13M15.5 5.5v13",
  again: "M19 12a7 7 0 1 1-2.2-5.1M19.5 3.5v4h-4",
  dice: "M5 5h14v14H5zM9 9h.01M15 15h.01M15 9h.01M9 15h.01M12 12h.01",
  vary: "M4 8h9v9H4zM8 8V4.5h9.5v9.5H13M17 18h.01M20 18h.01M20 21h.01",
  tile: "M4 4h16v16H4zM9.3 4v16M14.7 4v16M4 9.3h16M4 14.7h16",
  compare: "M12 3v18M4 6h8v12H4zM15 6h5v12h-5",
  pixels: "M4 4h7v7H4zM13 13h7v7h-7zM13 4h7v7h-7zM4 13h7v7H4z",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  brush: "M15 4.5l4.5 4.5L11 17.5 6.5 13zM6.5 13c-2 1-1.5 4-3 5.5 2.5.5 6 .5 7.5-1",
  bin: "M5 7h14M9.5 7V4.5h5V7M7 7l1 12.5h8L17 7M10.5 10.5v6M13.5 10.5v6",
  pen: "M5 19l1-4L16.5 4.5l3 3L9 18z",
  check: "M5 12.5l4.5 4.5L19 7.5",
  warning: "M12 4L3 19.5h18zM12 10v4.5M12 17h.01",
  undo: "M9 6L4.5 10.5 9 15M5 10.5h9a5 5 0 0 1 0 10h-3",
  out: "M14 5h5v14h-5M4 12h10M10 8l4 4-4 4",
  photo: "M4 5h16v14H4zM4 16l4.5-4.5 4 4 3-3L20 17M15.5 9h.01",
};

export const Icon = ({ name }) =>
  html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>`;
