// The maps of a material, and what their files are usually called.

export const ROLES = ["albedo", "normal", "height", "roughness", "metalness", "occlusion", "other"];

const NAMES = {
  albedo: ["albedo", "basecolor", "basecolour", "diffuse", "diff", "color", "colour"],
  normal: ["normal", "normals", "nor"],
  height: ["height", "displacement", "disp", "bump"],
  roughness: ["roughness", "rough"],
  metalness: ["metalness", "metallic", "metal"],
  occlusion: ["occlusion", "ambientocclusion", "ao"],
};

// The role that a file's name ends with, such as "wood_normal.png", "WoodNormalGL.png" or "wood_diff_2k.jpg"; null if none.
export function roleOfName(name) {
  const stem = name.replace(/\.[^.]*$/, "").replace(/([a-z\d])([A-Z])/g, "$1 $2");
  const words = stem.toLowerCase().split(/[^a-z]+/);
  const last = words.findLast((word) => roleOf(word));
  return last ? roleOf(last) : null;
}

// The words of a file's name before the one that tells its role; all if none does.
export function withoutRole(words) {
  const at = words.findIndex((word) => roleOf(word.toLowerCase()));
  return at > 0 ? words.slice(0, at) : words;
}

const roleOf = (word) => Object.keys(NAMES).find((role) => NAMES[role].includes(word)) ?? null;
