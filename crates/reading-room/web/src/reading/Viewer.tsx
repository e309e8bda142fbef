import { useEffect, useRef, type RefObject } from "react";
import { handleKey, type KeyHandlers } from "../app/keys";

interface Props {
  frame: RefObject<HTMLIFrameElement | null>;
  src: string;
  /** Keys that must work while the images have the focus. */
  keys: KeyHandlers;
}

export function Viewer({ frame, src, keys }: Props) {
  const latest = useRef(keys);
  useEffect(() => {
    latest.current = keys;
  });
  const listen = () => {
    // The viewer is of the same origin, and its own keys come first there.
    frame.current?.contentWindow?.addEventListener("keydown", (event) => handleKey(latest.current, event));
  };
  return <iframe className="viewer" ref={frame} src={src} title="Images" onLoad={listen} data-testid="viewer" />;
}
