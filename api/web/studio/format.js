// Numbers, times and names in words.

const PLURAL = { s: 90, min: 90 * 60, h: 48 * 3600 };
const DAY = 24 * 3600;

export function duration(seconds) {
  if (seconds < 1) return "less than 1 s";
  if (seconds < PLURAL.s) return `${Math.round(seconds)} s`;
  if (seconds < PLURAL.min) return `${Math.round(seconds / 60)} min`;
  if (seconds <= PLURAL.h) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / DAY).toLocaleString("en")} days`;
}

const SECONDS = { s: 1, min: 60, h: 3600, days: DAY };

// From the one to the other, in the unit of the longer if the shorter is at least 1 of it; one duration if they read alike.
export function durations([least, most]) {
  const [from, to] = [duration(least), duration(most)];
  const [number, unit] = from.split(" ");
  if (from === to) return from;
  const last = to.split(" ").at(-1);
  if (unit === last) return `${number} to ${to}`;
  return `${least < SECONDS[last] ? from : (least / SECONDS[last]).toFixed(1)} to ${to}`;
}

export function fileSize(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${Math.round(bytes / 1000)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export function ago(time) {
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(time).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

const [NAME_START, NAME_END] = [40, 16]; // characters of a long name that are shown

// A name without its middle if it is very long.
export const shortened = (name) => (name.length > NAME_START + NAME_END + 1 ? `${name.slice(0, NAME_START)}…${name.slice(-NAME_END)}` : name);

export const moment = (time) => new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
export const percent = (share) => `${Math.round(100 * share)} %`;
export const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".") : "");
export const words = (name) => name.replaceAll("_", " ");

const PARAMETER = /\b[a-z]+(_[a-z]+)+\b(?!\.\w)/g; // which is no name of a file, such as stones_albedo.png
const NAME = /^[a-z]+(_[a-z]+)+$/;
const SAID = [[/\btrue\b/g, "on"], [/\bfalse\b/g, "off"], [/\bnull\b/g, "empty"], [/\bif absent\b/g, "if empty"], [/\bIf absent\b/g, "If empty"], [/\bmust be absent\b/g, "must be empty"]];

// What the service says of parameters, in the words of the page: its labels, and values as its fields show them. What
// stands in quotes, such as a model's name, stays.
export const pageWords = (text) => text.split(/(“[^”]*”)/).map((part, index) => (index % 2 ? part : inPageWords(part))).join("");

function inPageWords(text) {
  const named = text.replace(PARAMETER, words);
  const said = SAID.reduce((so, [api, page]) => so.replace(api, page), named);
  return said.replace(/(^|[.!?] )(on|off|empty):/g, (_, before, word) => `${before}${word[0].toUpperCase()}${word.slice(1)}:`);
}

// A parameter's value in one line.
export function value(given) {
  if (given === null || given === undefined) return "none";
  if (Array.isArray(given) && given.every((one) => one?.filters)) {
    return given.map(({ filters, kernel_size: side, stride }) => `${filters} of ${side}×${side}${stride > 1 ? ` every ${stride}` : ""}`).join(", ");
  }
  if (Array.isArray(given) && given.every((one) => typeof one !== "object")) return given.map(value).join(", ");
  if (typeof given === "object") return JSON.stringify(given);
  if (typeof given === "boolean") return given ? "yes" : "no";
  return NAME.test(given) ? words(given) : String(given);
}
