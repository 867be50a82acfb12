// Pictures to begin with, which ship with the page. Where they come from: examples/README.md beside them.

const FOLDER = new URL("../examples/", import.meta.url);
const numbered = (stem, number) => Array.from({ length: number }, (_, index) => `${stem}-${String(index + 1).padStart(2, "0")}.png`);
const TEXTURES = ["texture", "dictionary", "inpaint", "classify"];

export const EXAMPLES = [
  { name: "paving", title: "Paving", files: ["paving.png"], kinds: TEXTURES },
  { name: "cobbles", title: "Cobbles", files: ["cobbles.png"], kinds: TEXTURES },
  { name: "cloth", title: "Cloth", files: ["cloth.png"], kinds: TEXTURES },
  { name: "gravel", title: "Gravel", files: ["gravel.jpg"], kinds: TEXTURES },
  { name: "fish", title: "Twelve fish", files: numbered("fish", 12), kinds: ["object"] },
  { name: "scenes", title: "Ten scenes", files: numbered("scene", 10), kinds: ["autoencoder", "reconstruct", "dictionary"] },
].map((one) => ({ ...one, thumb: new URL(one.files[0], FOLDER).href }));

export async function exampleFiles({ files }) {
  return await Promise.all(files.map(async (name) => new File([await (await fetch(new URL(name, FOLDER))).blob()], name)));
}
