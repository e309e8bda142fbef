import { useLayoutEffect, useRef, type ReactNode } from "react";

interface Props {
  title: string;
  children: ReactNode;
  onClose?: () => void;
  className?: string;
  testId?: string;
}

/** A modal dialog. The browser gives the focus back to where it was when it closes. Without `onClose` it cannot be dismissed.
 *  What carries `data-focus` has the focus first. */
export function Dialog({ title, children, onClose, className = "", testId }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const element = dialog.current;
    element?.showModal();
    element?.querySelector<HTMLElement>("[data-focus]")?.focus();
    return () => element?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      className={`dialog ${className}`}
      aria-label={title}
      data-testid={testId}
      onCancel={(event) => {
        event.preventDefault();
        onClose?.();
      }}
    >
      <h2 className="dialog-title">{title}</h2>
      {children}
    </dialog>
  );
}
