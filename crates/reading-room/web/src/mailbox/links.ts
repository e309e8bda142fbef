/** Finds the addresses in a plain text. Only http and https become links. */

export interface Part {
  text: string;
  link: boolean;
}

const ADDRESS = /https?:\/\/[^\s<>"']+/g;
/** Punctuation that ends a sentence, not an address. */
const TAIL = /[.,;:!?)\]]+$/;

export function withLinks(text: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const address = found.replace(TAIL, "");
    if (index > at) parts.push({ text: text.slice(at, index), link: false });
    parts.push({ text: address, link: true });
    at = index + address.length;
  }
  if (at < text.length) parts.push({ text: text.slice(at), link: false });
  return parts;
}
