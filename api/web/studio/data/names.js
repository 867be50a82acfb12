// What models are called that nobody has named: by the pictures that they learned from.

import { withoutRole } from "./roles.js";

const ENDING = /\.[a-z]\w{1,4}$/i;
const LENGTH = 100;

// A name after pictures, as the service calls them: "Brick wall" for "brick_wall.jpg", "Fish" for "fish-01.png and 11 more".
export function nameAfter(pictures) {
  const [, first, more] = /^(.*?)( and \d+ more)?$/s.exec(pictures);
  const words = first.replace(ENDING, "").split(/[-_\s]+/).filter(Boolean);
  const common = more ? withoutRole(words).join(" ").replace(/[\s\d]+$/, "") : "";
  const name = (common || words.join(" ") || pictures).slice(0, LENGTH);
  return name[0].toUpperCase() + name.slice(1);
}

// The name, or if it is taken the name with a number behind it.
export function free(name, taken) {
  if (!taken.has(name)) return name;
  let number = 2;
  while (taken.has(`${name} ${number}`)) number += 1;
  return `${name} ${number}`;
}
