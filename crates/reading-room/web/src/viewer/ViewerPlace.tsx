import { useEffect, useRef } from "react";
import type { KeyHandlers } from "../app/keys";
import { useViewer } from "./ViewerHost";
import type { Opening } from "./warm";

interface Props {
  opening: Opening;
  /** Keys that must work while the images have the focus. */
  keys: KeyHandlers;
}

/** Where a page shows images. */
export function ViewerPlace({ opening, keys }: Props) {
  const { show, hide, keys: latest } = useViewer();
  const element = useRef<HTMLDivElement>(null);
  const current = useRef(opening);
  useEffect(() => {
    current.current = opening;
    latest.current = keys;
  });
  const { address, round } = opening;
  useEffect(() => {
    if (element.current) show(element.current, current.current);
    return hide;
  }, [address, round, show, hide]);
  useEffect(
    () => () => {
      latest.current = {};
    },
    [latest],
  );
  return <div className="viewer-place" ref={element} />;
}
