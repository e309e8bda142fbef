/** A form that asks the service for something once: whether it is under way, and why it did not go. */

import { useState, type FormEvent } from "react";
import { asApiError, type ApiError } from "../api/client";

export interface Submitting {
  /** Also once it went: whoever asked closes the form. */
  busy: boolean;
  error: ApiError | null;
  onSubmit: (event: FormEvent) => void;
}

export function useSubmit(act: () => Promise<void>): Submitting {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  const submit = async () => {
    setBusy(true);
    setError(null);
    try {
      await act();
    } catch (thrown) {
      setError(asApiError(thrown));
      setBusy(false);
    }
  };
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    void submit();
  };
  return { busy, error, onSubmit };
}
