/** The pictures of the report that is written: what is offered, and what the reader chose of it. */

import { useEffect, useState } from "react";
import { markedImages } from "../api/calls";
import type { MarkedImages, Study } from "../api/types";
import { useSignedIn } from "../app/session";
import { chosen, offered, type Offered } from "./keyImages";

const AGAIN_MS = 10_000;
const NONE: MarkedImages = { images: [], left_out: 0 };

export interface KeyImagesHandle {
  offered: Offered[];
  chosen: Offered[];
  /** Marked images that no picture can be made of. */
  leftOut: number;
  toggle: (digest: string) => void;
}

export function useKeyImages(path: string, { draft, versions, image_set }: Study, round: number): KeyImagesHandle {
  const { images: marked, left_out: leftOut } = useMarked(path, `${image_set.digest} ${round}`);
  const after = versions.length;
  const [toggled, setToggled] = useState<{ after: number; digests: string[] }>({ after, digests: [] });
  const own = toggled.after === after ? toggled.digests : [];
  const pictures = offered(marked, draft, versions);
  return {
    offered: pictures,
    chosen: chosen(pictures, own),
    leftOut,
    toggle: (digest) =>
      setToggled({ after, digests: own.includes(digest) ? own.filter((other) => other !== digest) : [...own, digest] }),
  };
}

/** Marks are documents among the images, so they are asked for when these change. */
function useMarked(path: string, images: string): MarkedImages {
  const { person } = useSignedIn();
  const [marked, setMarked] = useState(NONE);
  const reads = person.role !== "centre";
  useEffect(() => {
    if (!reads) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const over = new AbortController();
    const look = () => {
      markedImages(path, over.signal).then(setMarked, () => {
        if (!over.signal.aborted) timer = setTimeout(look, AGAIN_MS);
      });
    };
    look();
    return () => {
      over.abort();
      clearTimeout(timer);
    };
  }, [path, images, reads]);
  return marked;
}
