/* What a PNG that was drawn here says of itself. */

/* The text behind "softdiff:params" as an object; null: there is none, or this is no PNG. */
const readSettings = buffer => {
  const view = new DataView(buffer), signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
  const text = (from, to) => String.fromCharCode(...new Uint8Array(buffer, from, to - from));
  if (buffer.byteLength < 8 || signature.some((byte, i) => view.getUint8(i) !== byte)) return null;
  for (let at = 8; at + 12 <= buffer.byteLength;) {
    const size = view.getUint32(at), kind = text(at + 4, at + 8), end = at + 8 + size;
    if (end + 4 > buffer.byteLength) return null;
    if (kind === "tEXt" && size < 4096) {
      const [name, value] = text(at + 8, end).split("\0");
      if (name === "softdiff:params") {
        try {
          const settings = JSON.parse(value);
          return settings && typeof settings === "object" && settings.seed !== undefined ? settings : null;
        } catch {
          return null;
        }
      }
    }
    at = end + 4;
  }
  return null;
};
