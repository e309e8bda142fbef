// Key images as a radiologist marks them in the viewer, in Chromium: marked, saved by themselves, found again, taken back, kept while the
// service does not answer, in the report; and those of another maker's workstation. Environment as in stage.mjs, and STUDY.
import assert from 'node:assert/strict';
import { launch, PASSWORD, signIn, until, VIEWER_MS } from './stage.mjs';

const { STUDY } = process.env;
const ROOT = `/dicomweb/centres/north-clinic/studies/${STUDY}`;
const { browser, page, problems, outside, shot } = await launch();
const viewer = page.frameLocator('[data-testid=viewer]');
const panes = viewer.locator('[data-cy=viewport-pane]');
const documents = viewer.locator('[data-cy^=study-browser-thumbnail]').filter({ hasText: /^KO|Key images/ });
const button = viewer.locator('[data-cy=TeleradKeyImage] button');
const signs = viewer.locator('.telerad-key-sign');
const marked = page.locator('.key-images li[data-marked=true]');
const says = (text) => until(async () => (await button.getAttribute('aria-label')) === text, `the button says ${text}`, VIEWER_MS);
const place = async () => /(\d+\/\d+)/.exec(await panes.first().innerText())?.[1];
const stands = (where) => until(async () => (await place()) === where, `image ${where}`, VIEWER_MS);

async function open() {
  await panes.first().waitFor({ timeout: VIEWER_MS });
  await stands('1/28');
  // Keys go to the images only after a click into them.
  await panes.first().click();
}

const press = (key) => viewer.locator('body').press(key);

// Image by image. While the viewer still sets up a pane it takes no key, so each is looked after.
async function goTo(where) {
  const number = (text) => Number.parseInt(text, 10);
  await until(async () => {
    const now = number(await place());
    if (now !== number(where)) await press(now < number(where) ? 'ArrowDown' : 'ArrowUp');
    return now === number(where);
  }, `image ${where}`, VIEWER_MS);
  await stands(where);
}

const series = () =>
  page.evaluate(async (root) => {
    const answer = await fetch(`${root}/series?Modality=KO`, { headers: { Accept: 'application/dicom+json' } });
    return answer.status === 204 ? [] : (await answer.json()).map((one) => one['0008103E']?.Value?.[0] ?? '');
  }, ROOT);
const storing = () =>
  page.waitForResponse((answer) => answer.request().method() === 'POST' && answer.url().endsWith(ROOT), { timeout: VIEWER_MS });

try {
  await signIn(page);
  await page.getByTestId('worklist-row').filter({ hasText: 'Head new' }).click();
  await page.getByTestId('reading').waitFor();

  // Another maker's document: in the list with who and when, its images on a double click, and never before the images themselves.
  await open();
  await says('Mark key image');
  assert.equal(await documents.count(), 1);
  assert.match(await documents.innerText(), /Key images, Lind Bo, 2 Mar 2024 14:03/);
  await shot('keys-list');
  await documents.dblclick();
  await stands('1/3');
  await shot('keys-other');
  assert.equal(await signs.count(), 0, "another's marks are not the reader's");
  await viewer.locator('[data-cy^=study-browser-thumbnail]').filter({ hasText: 'S:1' }).first().dblclick();
  await stands('1/28');

  // Two images: one by the key, one by the button. They are saved by themselves, as one document.
  await goTo('4/28');
  const stored = storing();
  await press('k');
  await press('ArrowDown');
  await button.click();
  await says('2 key images, saving');
  assert.equal((await stored).status(), 200);
  await says('2 key images, saved');
  await stands('5/28');
  await signs.waitFor();
  await goTo('6/28');
  assert.equal(await signs.count(), 0, 'the sign is of the image, not of the pane');
  await goTo('4/28');
  await signs.waitFor();
  assert.equal(await viewer.getByText('Multiple Patients').count(), 0);
  await shot('keys-marked');
  assert.equal((await series()).filter((description) => description === 'Key images').length, 1, 'one document of two marks');

  // Under the report without a load of anything, chosen; and no news to the reader.
  await until(async () => (await marked.count()) === 5, 'marked images under the report', VIEWER_MS);
  const checked = await marked.locator('input').evaluateAll((boxes) => boxes.map((box) => box.checked));
  assert.deepEqual(checked, [true, true, false, false, false]);
  assert.match(await marked.nth(4).innerText(), /Lind Bo/);
  await until(async () => (await page.getByText(/30 images/).count()) > 0, 'the page knows of the document', VIEWER_MS);
  assert.equal(await page.getByText(/New images came|still arriving|draft was written before/).count(), 0);
  await shot('keys-report');

  // After another load of everything: the signs, and the list of exactly these two.
  await page.reload();
  await open();
  await says('2 key images, saved');
  await until(async () => (await documents.count()) === 2, 'both documents', VIEWER_MS);
  const mine = documents.filter({ hasText: 'Ada Moreau' });
  await mine.dblclick();
  await stands('1/2');
  await signs.waitFor();
  await goTo('2/2');
  await signs.waitFor();
  await shot('keys-mine');

  // A mark taken away is gone after another load, though the service did not answer when it was to be saved.
  await page.route(`**${ROOT}`, (route) => (route.request().method() === 'POST' ? route.abort() : route.fallback()));
  await press('k');
  await says('Key images NOT SAVED');
  await page.getByTestId('unsaved-marks').waitFor();
  await shot('keys-unsaved');
  await page.unroute(`**${ROOT}`);
  const later = storing();
  await page.reload();
  assert.equal((await later).status(), 200, 'what was not saved is saved by the next page');
  await open();
  await says('1 key image, saved');
  await mine.dblclick();
  await stands('1/1');
  await signs.waitFor();
  assert.equal(await documents.count(), 2, 'of the own documents the newest is listed');

  // The last mark taken away, and set again, so that the report has one.
  await press('k');
  await says('Mark key image');
  await until(async () => (await marked.count()) === 3, "another's marks alone", VIEWER_MS);
  await page.reload();
  await open();
  await says('Mark key image');
  assert.equal(await documents.count(), 1);
  await goTo('4/28');
  await press('k');
  await says('1 key image, saved');
  await until(async () => (await marked.count()) === 4, 'the mark is offered', VIEWER_MS);

  await page.getByRole('tab', { name: 'Report' }).click();
  await page.getByLabel('Impression').fill('Normal.');
  await page.locator('[data-testid=save-status][data-saving=saved]').waitFor();
  await page.getByTestId('sign').click();
  await page.getByLabel('Your password').fill(PASSWORD);
  await page.getByTestId('confirm-sign').click();
  await page.getByTestId('signed-banner').waitFor();

  assert.deepEqual(problems, [], 'no page broke');
  assert.deepEqual(outside, [], 'no request left this service');
  console.log('key images: done');
} catch (error) {
  await shot('keys-failed').catch(() => {});
  console.error(problems.join('\n'));
  throw error;
} finally {
  await browser.close();
}
