/**
 * The viewer's frame. It stands beside the pages and is never taken out of the document, since taking it out would load the viewer anew,
 * which takes seconds. A page that shows images says where, and the frame is laid over that place.
 */

import { createContext, use, useCallback, useEffect, useMemo, useRef, useState, type ReactNode, type RefObject } from "react";
import { handleKey, type KeyHandlers } from "../app/keys";
import { Shown, type Opening } from "./warm";

/** The viewer is loaded this long after the first page, so that the page goes first. */
const WARM_AFTER_MS = 1_500;
/** Its page without a study. */
const EMPTY = "/viewer";

/** What `viewer-config.js` puts there for us. */
interface ViewerWindow extends Window {
  telerad?: {
    isIdle: () => boolean;
    open: (address: string) => void;
    idle: () => void;
    saveKeyImages: () => void;
  };
}

interface Host {
  frame: RefObject<HTMLIFrameElement | null>;
  keys: RefObject<KeyHandlers>;
  /** Told when the reader has stored an object from the viewer into the study on screen. */
  stored: RefObject<(() => void) | null>;
  show: (element: HTMLElement, opening: Opening) => void;
  hide: () => void;
  /** Has the viewer save at once what was marked in it. */
  save: () => void;
}

const HostContext = createContext<Host | null>(null);

export function useViewer(): Host {
  const host = use(HostContext);
  if (!host) throw new Error("no ViewerHost around this page");
  return host;
}

interface Props {
  /** Whether to load the viewer before a study is opened. */
  warm: boolean;
  header: ReactNode;
  children: ReactNode;
}

export function ViewerHost({ warm, header, children }: Props) {
  const frame = useRef<HTMLIFrameElement>(null);
  const keys = useRef<KeyHandlers>({});
  const stored = useRef<(() => void) | null>(null);
  const shown = useRef(new Shown());
  // What the frame is made with; later studies change the place in it, never this.
  const [source, setSource] = useState<string | null>(null);
  const [place, setPlace] = useState<HTMLElement | null>(null);
  // Why marks in the viewer are not saved, of a study that was left too.
  const [unsaved, setUnsaved] = useState<string | null>(null);

  useEffect(() => {
    if (!warm) return;
    const timer = setTimeout(() => setSource((known) => known ?? EMPTY), WARM_AFTER_MS);
    return () => clearTimeout(timer);
  }, [warm]);
  useLaidOver(frame, source, place);

  const show = useCallback((element: HTMLElement, opening: Opening) => {
    const viewer = frame.current?.contentWindow as ViewerWindow | null | undefined;
    if (viewer) turn(viewer, opening, shown.current);
    else setSource((known) => known ?? opening.address);
    shown.current.add(opening);
    setPlace(element);
  }, []);
  const hide = useCallback(() => {
    setPlace(null);
    const viewer = frame.current?.contentWindow as ViewerWindow | null | undefined;
    // Not loaded so far as to listen: it must not go on loading a study that nobody looks at.
    if (viewer?.telerad) viewer.telerad.idle();
    else viewer?.location.replace(EMPTY);
  }, []);
  const save = useCallback(() => {
    const viewer = frame.current?.contentWindow as ViewerWindow | null | undefined;
    viewer?.telerad?.saveKeyImages();
  }, []);
  const host = useMemo(() => ({ frame, keys, stored, show, hide, save }), [show, hide, save]);

  const listen = () => {
    const viewer = frame.current?.contentWindow as ViewerWindow | null | undefined;
    // The viewer is of the same origin, and its own keys come first there.
    viewer?.addEventListener("keydown", (event) => handleKey(keys.current, event));
    viewer?.addEventListener("telerad-stored", () => stored.current?.());
    viewer?.addEventListener("telerad-key-images", (event) =>
      setUnsaved((event as CustomEvent<{ unsaved: string | null }>).detail.unsaved),
    );
  };
  return (
    <HostContext value={host}>
      {header}
      {unsaved !== null && (
        <p className="unsaved-marks" role="alert" data-testid="unsaved-marks">
          Key images that you marked are not saved: {unsaved}. They are kept on this machine and tried again.
        </p>
      )}
      {source !== null && (
        <iframe
          className="viewer"
          ref={frame}
          src={source}
          title="Images"
          onLoad={listen}
          data-testid="viewer"
          data-shown={place !== null}
        />
      )}
      {children}
    </HostContext>
  );
}

/** Goes on with another study, or loads the viewer anew with it. */
function turn(viewer: ViewerWindow, opening: Opening, shown: Shown): void {
  if (viewer.telerad?.isIdle() && shown.takes(opening)) return viewer.telerad.open(opening.address);
  shown.clear();
  viewer.location.replace(opening.address);
}

/** Lays the frame over a place for as long as it is there. */
function useLaidOver(
  frame: RefObject<HTMLIFrameElement | null>,
  source: string | null,
  place: HTMLElement | null,
): void {
  useEffect(() => {
    if (source === null || !place) return;
    const lay = () => {
      const style = frame.current?.style;
      if (!style) return;
      const { left, top, width, height } = place.getBoundingClientRect();
      Object.assign(style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    };
    lay();
    const watch = new ResizeObserver(lay);
    watch.observe(place);
    window.addEventListener("resize", lay);
    return () => {
      watch.disconnect();
      window.removeEventListener("resize", lay);
    };
  }, [frame, source, place]);
}
