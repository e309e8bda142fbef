import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "../api/client";
import { ReportEditor, RETRY_PAUSE_MS, SAVE_PAUSE_MS, type Save } from "./editor";
import { NO_TEXT } from "./merge";

const AT = "2026-11-22T19:00:00Z";
const written = (findings: string) => ({ ...NO_TEXT, findings });
const error = (status: number, code: string) => new ApiError(status, code, code, null);

/** A server that counts revisions as the real one does. */
function server() {
  let revision = 0;
  const texts: string[] = [];
  const save = vi.fn<Save>(async (based_on, sections) => {
    if (based_on !== revision) throw error(409, "changed_elsewhere");
    revision += 1;
    texts.push(sections.map(({ text }) => text).join("|"));
    return { revision, at: AT };
  });
  return { save, texts };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("a report that is written", () => {
  it("is saved once, a pause after the last key", async () => {
    const { save, texts } = server();
    const editor = new ReportEditor(["findings"], save);
    editor.edit(written("A"));
    await vi.advanceTimersByTimeAsync(SAVE_PAUSE_MS - 1);
    editor.edit(written("AB"));
    await vi.advanceTimersByTimeAsync(SAVE_PAUSE_MS - 1);
    expect(texts).toEqual([]);
    expect(editor.unsaved).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    expect(texts).toEqual(["AB"]);
    expect(editor.state().saving).toEqual({ state: "saved", at: AT });
  });

  it("sends only its own parts", async () => {
    const { save } = server();
    const editor = new ReportEditor(["findings", "impression"], save);
    editor.edit({ ...written("A"), dose: "not of an addendum" });
    await editor.flush();
    expect(save).toHaveBeenCalledWith(0, [
      { kind: "findings", text: "A" },
      { kind: "impression", text: "" },
    ]);
  });

  it("saves what was typed during a save too, one at a time and in order", async () => {
    let answer: (value: { revision: number; at: string }) => void = () => {};
    const save = vi.fn<Save>(() => new Promise((resolve) => (answer = resolve)));
    const editor = new ReportEditor(["findings"], save);
    editor.edit(written("A"));
    await vi.advanceTimersByTimeAsync(SAVE_PAUSE_MS);
    editor.edit(written("AB"));
    await vi.advanceTimersByTimeAsync(SAVE_PAUSE_MS * 3);
    expect(save).toHaveBeenCalledTimes(1);
    answer({ revision: 1, at: AT });
    await vi.advanceTimersByTimeAsync(SAVE_PAUSE_MS);
    expect(save).toHaveBeenLastCalledWith(1, [{ kind: "findings", text: "AB" }]);
    answer({ revision: 2, at: AT });
    await vi.advanceTimersByTimeAsync(0);
    expect(editor.unsaved).toBe(false);
  });

  it("is not saved when only a draft was put in", async () => {
    const { save } = server();
    const editor = new ReportEditor(["findings"], save);
    editor.prefill(written("Draft"));
    await vi.advanceTimersByTimeAsync(RETRY_PAUSE_MS * 2);
    expect(await editor.flush()).toBe(true);
    expect(save).not.toHaveBeenCalled();
  });

  it.each([0, 401, 503])("is tried again by itself after status %i", async (status) => {
    const { save, texts } = server();
    save.mockRejectedValueOnce(error(status, "away"));
    const editor = new ReportEditor(["findings"], save);
    editor.edit(written("A"));
    await vi.advanceTimersByTimeAsync(SAVE_PAUSE_MS);
    expect(editor.state().saving.state).toBe("failed");
    expect(editor.state().texts.findings).toBe("A");
    await vi.advanceTimersByTimeAsync(RETRY_PAUSE_MS);
    expect(texts).toEqual(["A"]);
    expect(editor.unsaved).toBe(false);
  });

  it("waits for a person when it was changed elsewhere, then goes on top or gives way", async () => {
    const { save, texts } = server();
    await save(0, [{ kind: "findings", text: "other" }]);
    const editor = new ReportEditor(["findings"], save);
    editor.edit(written("mine"));
    expect(await editor.flush()).toBe(false);
    const calls = save.mock.calls.length;
    await vi.advanceTimersByTimeAsync(RETRY_PAUSE_MS * 3);
    expect(save).toHaveBeenCalledTimes(calls);
    expect(await editor.overwrite(1)).toBe(true);
    expect(texts).toEqual(["other", "mine"]);
    editor.load(written("other"), 1, AT);
    expect(editor.unsaved).toBe(false);
    expect(editor.state().texts.findings).toBe("other");
  });
});
