// The viewer as a radiologist uses it, in Chromium: kept loaded, prior beside, a measurement saved and found again, PDF, MPR and volume.
// Environment as in stage.mjs.
import assert from 'node:assert/strict';
import { launch, PASSWORD, signIn, until, VIEWER_MS } from './stage.mjs';

const { browser, page, problems, outside, shot } = await launch();
const viewer = page.frameLocator('[data-testid=viewer]');
const panes = viewer.locator('[data-cy=viewport-pane]');
const thumbnails = viewer.locator('[data-cy^=study-browser-thumbnail]');
let loads = 0;
const refused = [];
const frameTypes = new Set();
page.on('request', (request) => {
  if (new URL(request.url()).pathname === '/viewer') loads += 1;
});

const row = (text) => page.getByTestId('worklist-row').filter({ hasText: text });
const frame = () => page.frames().find((one) => one !== page.mainFrame() && one.url().includes('/viewer'));
// An empty pane is of one grey; the viewer copies what it draws into a canvas that can be read back.
const greys = (canvas) => {
  const small = new OffscreenCanvas(32, 32).getContext('2d');
  small.drawImage(canvas, 0, 0, 32, 32);
  return new Set(small.getImageData(0, 0, 32, 32).data.filter((_, index) => index % 4 === 0)).size;
};
const shows = (pane, what) =>
  until(async () => (await pane.locator('canvas').first().evaluate(greys).catch(() => 0)) > 8, what, VIEWER_MS);

async function open(text, count) {
  await row(text).click();
  await page.getByTestId('reading').waitFor();
  await until(async () => (await panes.count()) === count, `${count} panes`, VIEWER_MS);
  for (let pane = 0; pane < count; pane += 1) await shows(panes.nth(pane), `pane ${pane} of ${text}`);
}

async function backToTheList() {
  await page.getByRole('link', { name: 'Worklist' }).click();
  await page.getByTestId('worklist-row').first().waitFor();
}

async function layout(name) {
  await viewer.locator('[data-cy=Layout]').first().click();
  await viewer.getByText(name, { exact: true }).click();
}

try {
  await signIn(page);
  await row('Volume').waitFor();
  page.on('response', (answer) => {
    if (answer.url().includes('/frames/')) frameTypes.add(/type="?([^";]+)/.exec(answer.headers()['content-type'])?.[1]);
    if (answer.status() >= 400) refused.push(`${answer.status()} ${answer.url()}`);
  });
  // Loaded while the list is looked at, without a study.
  await until(() => frame()?.url().endsWith('/viewer/idle'), 'the viewer is loaded ahead', VIEWER_MS);
  assert.equal(await page.getByTestId('viewer').isVisible(), false);

  // MPR and volume, of images that can be reconstructed.
  await open('Volume', 1);
  await layout('MPR');
  await until(async () => (await panes.count()) === 3, 'three planes', VIEWER_MS);
  for (let pane = 0; pane < 3; pane += 1) await shows(panes.nth(pane), `plane ${pane}`);
  await shot('mpr');
  await layout('3D only');
  await until(async () => (await panes.count()) === 1, 'one volume', VIEWER_MS);
  await shows(panes.first(), 'the volume');
  await shot('volume');
  await backToTheList();

  // The next patient, without loading the viewer again: nothing of the last one is left, the prior hangs beside and says so.
  await open('Head new', 2);
  assert.equal(loads, 1, 'the viewer was loaded once');
  await until(async () => (await viewer.getByText('PRIOR', { exact: true }).count()) === 1, 'one pane is the prior', VIEWER_MS);
  assert.equal(await panes.nth(1).getByText('PRIOR', { exact: true }).count(), 1, 'on the right');
  assert.match(await panes.nth(0).innerText(), /02-Mar-2024/);
  assert.match(await panes.nth(1).innerText(), /10-Jan-2023/);
  assert.doesNotMatch(await viewer.locator('body').innerText(), /Volume/, 'nothing of the last patient');
  await shot('prior-beside');

  // Without the prior: loaded anew, since the viewer knows this patient already.
  await page.getByRole('tab', { name: /Priors/ }).click();
  await page.getByTestId('prior-beside').click();
  await until(async () => (await panes.count()) === 1, 'one pane', VIEWER_MS);
  await shows(panes.first(), 'the new images alone');
  assert.equal(loads, 2);

  // A PDF of the study.
  await thumbnails.filter({ hasText: 'Request form' }).dblclick();
  const paper = viewer.locator('object[type="application/pdf"][data^="blob:"]');
  await paper.waitFor();
  const beginning = await paper.evaluate(async ({ data }) => (await (await fetch(data)).text()).slice(0, 5));
  assert.equal(beginning, '%PDF-');
  await until(async () => !(await viewer.getByText(/No online PDF viewer/).isVisible()), 'the browser shows it', VIEWER_MS);
  await shot('pdf');
  await thumbnails.filter({ hasText: 'CT' }).first().dblclick();
  await shows(panes.first(), 'the images again');

  // A measurement, saved as DICOM SR.
  await viewer.locator('[data-cy="MeasurementTools-split-button-primary"]').click();
  const box = await panes.first().boundingBox();
  await page.mouse.click(box.x + box.width * 0.45, box.y + box.height * 0.45);
  await page.mouse.move(box.x + box.width * 0.55, box.y + box.height * 0.48);
  await page.mouse.click(box.x + box.width * 0.6, box.y + box.height * 0.5);
  await viewer.locator('[data-cy="prompt-begin-tracking-yes-btn"]').click();
  await viewer.locator('[data-cy=trackedMeasurements-btn]').click();
  const measured = (await viewer.locator('[data-cy=data-row-details-primary]').first().innerText()).trim();
  assert.match(measured, /^\d+(\.\d+)? ?mm$/);
  await viewer.getByRole('button', { name: /Create SR/ }).click();
  const stored = page.waitForResponse((answer) => answer.request().method() === 'POST' && answer.url().endsWith('/studies'));
  await viewer.getByRole('button', { name: 'Save', exact: true }).click();
  assert.equal((await stored).status(), 200);
  await viewer.locator('[data-cy=study-browser-thumbnail-no-image]').filter({ hasText: 'SR' }).waitFor();
  await shot('measured');

  // What the reader stored is no news to the reader: the study can be signed as it is on screen.
  await page.getByRole('tab', { name: 'Report' }).click();
  await page.getByLabel('Impression').fill('Normal.');
  await page.locator('[data-testid=save-status][data-saving=saved]').waitFor();
  await until(async () => (await page.getByText(/30 images/).count()) > 0, 'the list knows of the report', VIEWER_MS);
  assert.equal(await page.getByText(/New images came/).count(), 0);

  // Found again by another load of everything.
  await page.reload();
  await until(async () => (await panes.count()) === 1, 'one pane', VIEWER_MS);
  await shows(panes.first(), 'the images after the reload');
  await viewer.locator('[data-cy=study-browser-thumbnail-no-image]').filter({ hasText: 'SR' }).dblclick();
  await shows(panes.first(), 'the image that was measured');
  await shot('report');
  await viewer.getByRole('button', { name: 'Yes', exact: true }).click();
  await viewer.locator('[data-cy=trackedMeasurements-btn]').click();
  const again = (await viewer.locator('[data-cy=data-row-details-primary]').first().innerText()).trim();
  const millimetres = (text) => Number(text.replace(/[^\d.]/g, ''));
  assert.ok(Math.abs(millimetres(again) - millimetres(measured)) < 0.2, `${measured}, then ${again}`);
  await shot('measured-again');

  await page.getByTestId('sign').click();
  await page.getByLabel('Your password').fill(PASSWORD);
  await page.getByTestId('confirm-sign').click();
  await page.getByTestId('signed-banner').waitFor();

  assert.deepEqual(problems, [], 'no page broke');
  assert.deepEqual(refused, [], 'nothing was refused');
  assert.deepEqual([...frameTypes], ['image/jls'], 'plain frames come compressed without loss');
  assert.deepEqual(outside, [], 'no request left this service');
  console.log('viewer: done');
} catch (error) {
  await shot('failed').catch(() => {});
  console.error(problems.join('\n'), refused.join('\n'));
  throw error;
} finally {
  await browser.close();
}
