/** Which pictures a report carries: images that readers marked in the viewer, and what the draft proposes. */

import type { Draft, MarkedImage, Picture, Version } from "../api/types";
import type { Signing } from "../api/calls";

/** Most pictures of a report; the service refuses more. */
export const KEY_IMAGES_MAX = 24;

/** A picture that may go into the report. */
export interface Offered extends Picture {
  /** Who marked it; null for those of the draft. */
  markedBy: string | null;
  /** Whether it goes out unless it is taken out. */
  proposed: boolean;
  /** Names it when the report is signed. */
  name: { digest: string } | { instance: string; frame: number; digest: string };
}

/** The reader's own marks, what the draft proposes, marks of others. The same picture is there once. */
export function offered(marked: readonly MarkedImage[], draft: Draft | null, versions: readonly Version[]): Offered[] {
  const signed = new Set(versions.flatMap(({ key_images }) => key_images.map(({ digest }) => digest)));
  const marks = marked.map(({ instance, frame, mine, by, ...picture }) => ({
    ...picture,
    markedBy: mine ? "you" : (by ?? "somebody"),
    // An addendum repeats none that went out before.
    proposed: mine && !signed.has(picture.digest),
    name: { instance, frame, digest: picture.digest },
  }));
  const drafted = (draft?.key_images ?? []).map(({ digest, caption, url, width, height }) => ({
    digest,
    caption,
    url,
    width,
    height,
    markedBy: null,
    proposed: versions.length === 0,
    name: { digest },
  }));
  const isMine = ({ markedBy }: Offered) => markedBy === "you";
  const all: Offered[] = [...marks.filter(isMine), ...drafted, ...marks.filter((mark) => !isMine(mark))];
  return all.filter(({ digest }, place) => all.findIndex((one) => one.digest === digest) === place);
}

/** Those that go out: what is proposed, but for what the reader toggled. */
export function chosen(pictures: readonly Offered[], toggled: readonly string[]): Offered[] {
  return pictures.filter(({ digest, proposed }) => toggled.includes(digest) !== proposed).slice(0, KEY_IMAGES_MAX);
}

/** How a signature names them. */
export function named(pictures: readonly Offered[]): Pick<Signing, "key_images" | "marked_images"> {
  return {
    key_images: pictures.flatMap(({ name }) => ("instance" in name ? [] : [name.digest])),
    marked_images: pictures.flatMap(({ name }) => ("instance" in name ? [name] : [])),
  };
}
