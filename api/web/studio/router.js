// The view that the address names, in the part after #: it survives a reload and can be sent to another device.

import { signal } from "./ui.js";

export const route = signal(parse(location.hash));

function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decodeURIComponent);
  return { view: parts[0] ?? "make", parts: parts.slice(1), query: Object.fromEntries(new URLSearchParams(query)) };
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
  route.value = parse(location.hash);
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
  addEventListener("hashchange", () => {
    route.value = parse(location.hash);
  });
}
