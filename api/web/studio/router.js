// The view that the address names, in the part after #: it survives a reload and can be sent to another device.

import { signal } from "./ui.js";

export const route = signal(parse(location.hash));

// Each entry of the browser's history knows the address that it was opened from: {from}, null if it was none of the page's.
let present = location.hash;
const scrolled = new Map(); // address -> pixels scrolled down when another was opened from it
let top = 0;
let leaving = false; // a second click goes no further back

// Pixels to scroll down to on the view that the address names: as far as before if the way back led there.
export const scrollBefore = () => top;

function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const parts = decoded(path.split("/").filter(Boolean));
  return { view: parts[0] ?? "make", parts: parts.slice(1), query: Object.fromEntries(new URLSearchParams(query)) };
}

// What cannot be decoded names no view.
function decoded(parts) {
  try {
    return parts.map(decodeURIComponent);
  } catch {
    return [""];
  }
}

// link("jobs", id) is the address of a job. A last argument that is an object becomes the query.
export function link(...parts) {
  const query = typeof parts.at(-1) === "object" ? new URLSearchParams(parts.pop()).toString() : "";
  return `#/${parts.map(encodeURIComponent).join("/")}${query && `?${query}`}`;
}

export function go(...parts) {
  location.hash = link(...parts);
}

// The same, but the way back does not lead here.
export function replace(...parts) {
  history.replaceState(history.state, "", link(...parts));
  present = location.hash;
  route.value = parse(present);
}

// Go back to where the present address was opened from; if that is not on this page, to the view instead.
export function leave(...instead) {
  if (leaving) return;
  if (!history.state?.from) return replace(...instead);
  leaving = true;
  history.back();
}

// Take names out of the query, because what they asked for was changed since: the way back leads to the change.
export function forget(...names) {
  const { view, parts, query } = route.peek();
  if (!names.some((name) => name in query)) return;
  replace(view, ...parts, Object.fromEntries(Object.entries(query).filter(([name]) => !names.includes(name))));
}

export function startRouter() {
  // A proxy may publish the page without a slash at its end, where links would leave the page.
  const base = new URL(document.baseURI);
  if (location.pathname !== base.pathname) history.replaceState(null, "", base.pathname + location.hash);
  if (!history.state) history.replaceState({ from: null }, "");
  addEventListener("popstate", () => {
    leaving = false;
  });
  addEventListener("hashchange", () => {
    if (history.state) top = scrolled.get(location.hash) ?? 0;
    else opened();
    present = location.hash;
    route.value = parse(present);
  });
}

function opened() {
  scrolled.set(present, scrollY);
  top = 0;
  history.replaceState({ from: present || link("make") }, "");
}
