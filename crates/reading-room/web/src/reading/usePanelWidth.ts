/** How wide the report panel is; the same next time on this machine. */

import { useEffect, useState } from "react";

const KEY = "telerad.panel";
const WIDTH_MIN = 400;
const IMAGES_MIN = 480;
const START_PART = 0.36;

export interface PanelWidth {
  width: number;
  min: number;
  max: number;
  folded: boolean;
  resize: (width: number) => void;
  reset: () => void;
  fold: () => void;
}

function start(): number {
  return Math.round(window.innerWidth * START_PART);
}

function stored(): number {
  const known = Number(window.localStorage.getItem(KEY));
  return known > 0 ? known : start();
}

export function usePanelWidth(): PanelWidth {
  const [wanted, setWanted] = useState(stored);
  const [folded, setFolded] = useState(false);
  const [available, setAvailable] = useState(window.innerWidth);
  useEffect(() => {
    const measure = () => setAvailable(window.innerWidth);
    window.addEventListener("resize", measure);
    return () => window.removeEventListener("resize", measure);
  }, []);
  const max = Math.max(WIDTH_MIN, available - IMAGES_MIN);
  const clamp = (width: number) => Math.min(Math.max(width, WIDTH_MIN), max);
  const resize = (width: number) => {
    setWanted(clamp(width));
    window.localStorage.setItem(KEY, String(clamp(width)));
  };
  return {
    width: clamp(wanted),
    min: WIDTH_MIN,
    max,
    folded,
    resize,
    reset: () => resize(start()),
    fold: () => setFolded((before) => !before),
  };
}
