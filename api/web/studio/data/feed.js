// One event stream for all jobs of the caller, and none while the tab is hidden: a browser opens six connections to a host.

import { locked, returned, suspect } from "../api.js";
import { effect } from "../ui.js";

const NAMES = ["status", "progress", "preview", "done"];
const RETRY_MS = 3000;

// listener(name, data) gets every event. refresh() is called when events may have been missed.
export function startFeed(listener, refresh) {
  let source = null;
  let retry = 0;

  function open() {
    clearTimeout(retry);
    if (source || document.hidden || locked.peek()) return;
    source = new EventSource("v1/events");
    for (const name of NAMES) source.addEventListener(name, (event) => listener(name, JSON.parse(event.data)));
    source.addEventListener("error", () => {
      if (source?.readyState !== EventSource.CLOSED) return suspect(); // the browser connects again by itself
      close();
      retry = setTimeout(again, RETRY_MS); // refused: what is asked now tells why
    });
  }

  function close() {
    clearTimeout(retry);
    source?.close();
    source = null;
  }

  function again() {
    open();
    refresh();
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return close();
    again();
  });
  effect(() => {
    if (locked.value) return close();
    open();
    if (returned.value) refresh();
  });
}
