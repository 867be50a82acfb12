export const Inpainting = () => null;
