import { describe, expect, it } from "vitest";
import type { Draft, MarkedImage, Version } from "../api/types";
import { chosen, KEY_IMAGES_MAX, named, offered } from "./keyImages";

const picture = (digest: string) => ({ digest, caption: digest, url: `/${digest}`, width: 8, height: 8 });
const mark = (digest: string, mine = true): MarkedImage => ({
  ...picture(digest),
  instance: `1.${digest}`,
  frame: 1,
  mine,
  by: "Dr Bo Lind",
});
const draft = (...digests: string[]) =>
  ({ key_images: digests.map((digest, index) => ({ ...picture(digest), index: 700 + index })) }) as Draft;
const version = (...digests: string[]) => ({ key_images: digests.map((digest) => picture(digest)) }) as Version;
const digests = (pictures: { digest: string }[]) => pictures.map(({ digest }) => digest);

describe("pictures of a report", () => {
  it("are the reader's marks and the draft's, the same picture once", () => {
    const all = offered([mark("a"), mark("b", false)], draft("c", "a"), []);
    expect(digests(all)).toEqual(["a", "c", "b"]);
    expect(all.map(({ markedBy }) => markedBy)).toEqual(["you", null, "Dr Bo Lind"]);
    expect(digests(chosen(all, []))).toEqual(["a", "c"]);
    expect(named(chosen(all, ["b"]))).toEqual({
      key_images: ["c"],
      marked_images: [
        { instance: "1.a", frame: 1, digest: "a" },
        { instance: "1.b", frame: 1, digest: "b" },
      ],
    });
  });

  it("stay as the reader chose them when the draft is written again", () => {
    const again = { key_images: [{ ...picture("c"), index: 800 }] } as Draft;
    expect(chosen(offered([], again, []), ["c"])).toEqual([]);
  });

  it("are in an addendum those that were marked since", () => {
    expect(digests(chosen(offered([mark("a"), mark("n")], draft("c"), [version("a", "c")]), []))).toEqual(["n"]);
  });

  it("are no more than a report carries, marks before the draft's", () => {
    const many = Array.from({ length: KEY_IMAGES_MAX - 1 }, (_, index) => mark(`m${index}`));
    const all = chosen(offered(many, draft("c", "d"), []), []);
    expect(all).toHaveLength(KEY_IMAGES_MAX);
    expect(all.at(-1)?.digest).toBe("c");
  });
});
