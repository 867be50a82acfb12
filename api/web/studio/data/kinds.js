// What can be made, in the order of the cards. job: the kind of job, if it has another name. params: those that make it so.

export const KINDS = [
  {
    id: "texture",
    group: "learn",
    title: "Texture",
    line: "One photograph of a surface; new surface of any size.",
    advice: "One picture of a surface that looks alike everywhere, taken from straight above. Its elements should be some 10 to 30 pixels wide at the size learned. What is transparent, or painted over here, is not learned.",
    main: ["image_size", "orientations", "iterations", "seed"],
  },
  {
    id: "object",
    group: "learn",
    title: "Object",
    line: "A dozen aligned pictures of one thing; new ones of its kind.",
    advice: "About ten pictures of one kind of thing, all at the same place, size and direction, on a plain ground.",
    main: ["iterations", "coarse_iterations", "num_chains", "seed"],
  },
  {
    id: "autoencoder",
    group: "learn",
    title: "Auto-encoder",
    line: "Pictures of anything; a net that can draw them from its code.",
    advice: "Some ten pictures of any kind. The model learns to describe each in its own filters and to draw it again.",
    main: ["image_size", "iterations", "seed"],
  },
  {
    id: "dictionary",
    group: "learn",
    title: "Dictionary",
    line: "Any pictures; the small patterns that they are made of.",
    advice: "Any pictures with structure. The model learns a dictionary of small patches, the words that they are written in.",
    main: ["patch_size", "iterations", "seed"],
  },
  {
    id: "sample",
    group: "use",
    title: "New pictures",
    line: "More from a model that you have, at any size, seamless if you like.",
    main: ["count", "width", "height", "tileable"],
  },
  {
    id: "inpaint",
    group: "use",
    title: "Fill in",
    line: "Brush over what should go; the model paints it anew.",
    main: ["count", "steps", "seed"],
  },
  {
    id: "seam",
    job: "inpaint",
    params: { seam: true },
    group: "use",
    title: "Make tileable",
    line: "Your own photograph, painted anew in a band along its edges.",
    advice: "Opaque photographs whose shorter side has as many pixels as the model's pictures; others can be cropped or scaled here. All pixels stay as they are but those of a band along each edge, as wide as the net sees: with a small model that is much of the photograph.",
    main: ["count", "seam_width", "seed"],
  },
  {
    id: "reconstruct",
    group: "use",
    title: "Reconstruct",
    line: "See your pictures through a model, and what it misses.",
    advice: "Any pictures. The model codes and draws each, and the difference is measured.",
    main: ["mode", "frames"],
  },
  {
    id: "classify",
    group: "use",
    title: "Classify",
    line: "Which of several models does a picture come from?",
    advice: "Pictures to be judged, and two or more models of the same size, each learned from one kind of picture.",
    main: ["chains", "temperatures", "seed"],
  },
];

// Cards that open the form of a kind at a part of it, and stand behind its card.
export const PARTS = [
  { id: "guide", of: "sample", group: "use", title: "Guide", line: "New pictures that follow a sketch or a photograph in light and dark." },
  { id: "blend", of: "sample", group: "use", title: "Blend", line: "Several models on one canvas, each where you want it." },
];

export const cardsOf = (group) => KINDS.filter((one) => one.group === group).flatMap((one) => [one, ...PARTS.filter(({ of }) => of === one.id)]);

export const jobKind = (kind) => kind.job ?? kind.id;
export const kindOf = (id) => KINDS.find((one) => one.id === id) ?? KINDS[0];

// What a job makes. Of two kinds with the same kind of job, the one that sets parameters comes last.
export const kindOfJob = ({ kind, params }) =>
  KINDS.findLast((one) => jobKind(one) === kind && Object.entries(one.params ?? {}).every(([name, value]) => params[name] === value));
