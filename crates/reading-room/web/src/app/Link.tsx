import type { AnchorHTMLAttributes, MouseEvent } from "react";
import { navigate, type Handover } from "./router";

type Props = Omit<AnchorHTMLAttributes<HTMLAnchorElement>, "href"> & { to: string; leave?: Handover };

export function Link({ to, leave, onClick, ...rest }: Props) {
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    const elsewhere = event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    if (event.defaultPrevented || elsewhere) return;
    event.preventDefault();
    navigate(to, leave);
  };
  return <a {...rest} href={to} onClick={follow} />;
}
