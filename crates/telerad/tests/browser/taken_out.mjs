// An administrator takes a study out, finds it on the list and brings it back, from the worklist and while it is open, in Chromium.
// Environment: that of stage.mjs, STUDY (which may go), HELD (which another reader holds), LATE (an image of the former that comes while
// somebody writes a reason), TOKEN (its sender's).
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { BASE, launch, signIn } from './stage.mjs';

const { STUDY, HELD, LATE, TOKEN } = process.env;
const REASON = 'Sent under another patient’s name. The centre sends it again under the right one.';

const { browser, page, problems, outside, shot } = await launch();
await page.setViewportSize({ width: 1440, height: 900 });
page.setDefaultTimeout(60_000);
const row = (study) => page.locator(`[data-testid=worklist-row][data-study="${study}"]`);
const dialog = page.getByTestId('take-out-dialog');
const item = page.locator(`[data-testid=taken-out-study][data-study="${STUDY}"]`);
const focused = () => page.evaluate(() => document.activeElement?.outerHTML.slice(0, 200) ?? '');

// From the row of the worklist, by keyboard alone.
async function ask(study) {
  await row(study).locator('.row-link').focus();
  await page.keyboard.press('e');
  await page.keyboard.press('Tab');
  assert.match(await focused(), /take-out/, 'the button follows the row');
  await page.keyboard.press('Enter');
  await dialog.waitFor();
}

async function oneMoreComes() {
  const image = await readFile(LATE);
  const head = '--edge\r\nContent-Type: application/dicom\r\n\r\n';
  const answer = await fetch(`${BASE}/dicomweb/studies`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${TOKEN}`,
      'content-type': 'multipart/related; type="application/dicom"; boundary=edge',
    },
    body: Buffer.concat([Buffer.from(head), image, Buffer.from('\r\n--edge--\r\n')]),
  });
  assert.equal(answer.status, 200, await answer.text());
}

async function listed() {
  await page.getByRole('link', { name: 'Taken out' }).click();
  await item.waitFor();
}

async function bringBack() {
  await item.getByTestId('bring-back').click();
  await page.getByTestId('bring-back-dialog').waitFor();
  assert.match(await focused(), /confirm-bring-back/);
  await shot('taken-out-bring-back');
  await page.keyboard.press('Enter');
  await page.getByTestId('taken-out-done').waitFor();
  await item.waitFor({ state: 'detached' });
}

try {
  await signIn(page);
  await page.getByRole('link', { name: 'Taken out' }).click();
  await page.getByTestId('taken-out-empty').waitFor();
  await shot('taken-out-empty');
  await page.getByRole('link', { name: 'Worklist' }).click();

  await row(STUDY).waitFor();
  await ask(STUDY);
  const confirm = dialog.getByTestId('confirm-take-out');
  await confirm.waitFor();
  assert.match(await dialog.innerText(), /27 images in 1 series/);
  assert.match(await dialog.innerText(), /Until .* \(30 more days\)\. Then it is removed for good\./);
  assert.match(await focused(), /<textarea/, 'one can write at once');
  assert.equal(await confirm.isDisabled(), true, 'not without a reason');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await row(STUDY).waitFor();
  assert.match(await focused(), /take-out/, 'the focus is where it was');

  await page.keyboard.press('Enter');
  await confirm.waitFor();
  await dialog.getByLabel('Why').fill(REASON);
  await shot('taken-out-dialog');
  // What is on screen is not what would go any more: it is shown anew, and what was written stays.
  await oneMoreComes();
  await confirm.click();
  await dialog.getByTestId('looked-again').waitFor();
  assert.match(await dialog.innerText(), /28 images in 1 series/);
  assert.equal(await dialog.getByLabel('Why').inputValue(), REASON);
  await shot('taken-out-again');
  await confirm.click();
  await dialog.waitFor({ state: 'detached' });
  await row(STUDY).waitFor({ state: 'detached' });
  assert.match(await page.getByTestId('notice').innerText(), /Taken out; it can come back until .*\.$/);
  await shot('taken-out-worklist');

  await ask(HELD);
  await dialog.getByTestId('problem').waitFor();
  assert.match(await dialog.innerText(), /A reader holds this study\. Ask them to give it back/);
  assert.equal(await confirm.count(), 0);
  await shot('taken-out-held');
  await dialog.getByRole('button', { name: 'Close' }).click();

  await listed();
  const text = await item.innerText();
  assert.match(text, /Taken out by root/);
  assert.match(text, /Can come back for 30 more days/);
  assert.ok(text.includes(REASON), text);
  await shot('taken-out');
  await bringBack();
  await shot('taken-out-back');

  // It is as it was; opened by its reader's key it is held, so that it has to be let go first.
  await page.getByTestId('taken-out-done').getByRole('link').click();
  await page.getByTestId('patient-strip').waitFor();
  await page.getByTestId('start-reading').click();
  await page.getByTestId('release').waitFor();
  await page.locator('.patient-images summary').click();
  await page.getByTestId('take-out').click();
  assert.match(await dialog.getByTestId('problem').innerText(), /You hold this study/);
  await shot('taken-out-mine');
  await dialog.getByTestId('release-to-take-out').click();
  await confirm.waitFor();
  await dialog.getByLabel('Why').fill('It was wrong after all.');
  await shot('taken-out-reading');
  await confirm.click();
  await page.getByTestId('notice').waitFor();
  assert.equal(new URL(page.url()).pathname, '/');
  await listed();
  await page.setViewportSize({ width: 800, height: 900 });
  await shot('taken-out-narrow');
  await bringBack();
  await page.getByTestId('taken-out-empty').waitFor();
  await page.goto(`${BASE}/taken-out`);
  await page.getByTestId('taken-out-empty').waitFor();
  assert.deepEqual({ problems, outside }, { problems: [], outside: [] });
} catch (error) {
  await shot('taken-out-failed');
  throw error;
} finally {
  await browser.close();
}
