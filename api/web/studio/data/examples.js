// Pictures to begin with, which ship with the page. Where they come from: examples/README.md beside them.

const FOLDER = new URL("../examples/", import.meta.url);
const numbered = (stem, number) => Array.from({ length: number }, (_, index) => `${stem}-${String(index + 1).padStart(2, "0")}.png`);
const TEXTURES = ["texture", "dictionary", "inpaint", "classify"];
const MAPS = ["albedo", "normal", "height", "roughness"]; // file names that tell roles (roles.js)

export const EXAMPLES = [
  { name: "cobbles", title: "Cobbles", files: ["cobbles.png"], kinds: TEXTURES },
  { name: "paving", title: "Paving", files: ["paving.png"], kinds: [...TEXTURES, "seam"] },
  { name: "cloth", title: "Cloth", files: ["cloth.png"], kinds: TEXTURES },
  { name: "gravel", title: "Gravel", files: ["gravel.jpg"], kinds: [...TEXTURES, "seam"] },
  { name: "stones", title: "A material: four maps", files: MAPS.map((role) => `stones-${role}.png`), kinds: ["texture"] },
  { name: "fish", title: "Twelve fish", files: numbered("fish", 12), kinds: ["object"] },
  { name: "scenes", title: "Ten scenes", files: numbered("scene", 10), kinds: ["autoencoder", "reconstruct", "dictionary"] },
].map((one) => ({ ...one, thumb: new URL(one.files[0], FOLDER).href }));

const read = new WeakSet();

export async function exampleFiles({ files }) {
  const found = await Promise.all(files.map(async (name) => new File([await (await fetch(new URL(name, FOLDER))).blob()], name)));
  found.forEach((file) => read.add(file));
  return found;
}

// Whether a file is an example, which can be read again.
export const isExample = (file) => read.has(file);
