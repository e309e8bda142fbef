// The journey as a person makes it, in Chromium. Environment: BASE, LOGIN, PASSWORD, CHROMIUM, PLAYWRIGHT, SHOTS (a folder for pictures).
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { BASE, LOGIN, PASSWORD, CHROMIUM, PLAYWRIGHT, SHOTS } = process.env;
const IMPRESSION = 'No intracranial haemorrhage. No fracture.';
const VIEWER_MS = 120_000;

const entry = existsSync(join(PLAYWRIGHT, 'index.mjs')) ? join(PLAYWRIGHT, 'index.mjs') : PLAYWRIGHT;
const { chromium } = await import(pathToFileURL(entry).href);
const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ['--no-sandbox', '--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--use-angle=swiftshader', '--enable-unsafe-swiftshader'],
});
const context = await browser.newContext({ viewport: { width: 1920, height: 1080 }, colorScheme: 'dark' });
const page = await context.newPage();
const problems = [];
const outside = [];
page.on('pageerror', (error) => problems.push(String(error)));
context.on('request', (request) => {
  const url = new URL(request.url());
  if (url.protocol.startsWith('http') && url.origin !== BASE) outside.push(url.href);
});
const shot = (name, options = {}) => page.screenshot({ path: join(SHOTS, `${name}.png`), ...options });

try {
  await page.goto(BASE);
  await page.getByLabel('Login').fill(LOGIN);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();

  const row = page.getByTestId('worklist-row').first();
  await row.waitFor();
  assert.equal(await row.getAttribute('data-priority'), 'stat');
  assert.equal(await row.getAttribute('data-draft'), 'current');
  await shot('worklist');
  await row.click();

  await page.getByTestId('reading').waitFor();
  await page.getByTestId('sign').waitFor();
  const technique = page.getByLabel('Technique');
  await technique.waitFor();
  assert.match(await technique.inputValue(), /120 kV/);

  // The images are on screen when a viewport of OHIF shows more than a few grey levels.
  const viewer = page.frameLocator('[data-testid=viewer]');
  const canvas = viewer.locator('.viewport-element canvas, .cornerstone-canvas').first();
  await canvas.waitFor({ timeout: VIEWER_MS });
  await waitForPicture(canvas, VIEWER_MS);
  const before = await fingerprint(canvas);
  await canvas.hover();
  for (let step = 0; step < 5; step += 1) await page.mouse.wheel(0, 120);
  await until(async () => (await fingerprint(canvas)) !== before, 'scrolling shows another slice', VIEWER_MS);

  await page.getByLabel('Impression').fill(IMPRESSION);
  await page.locator('[data-testid=save-status][data-saving=saved]').waitFor();
  await shot('reading');

  await page.getByTestId('sign').click();
  await page.getByTestId('sign-dialog').waitFor();
  const asked = await page.getByTestId('sign-dialog').innerText();
  assert.match(asked, /No intracranial haemorrhage/);
  assert.match(asked, /Signing as Dr Ada Moreau/, 'the signer sees whose signature it is');
  assert.match(asked, /empty lines left out/);
  await shot('signing');
  await page.getByLabel('Your password').fill('not the password at all');
  await page.getByTestId('confirm-sign').click();
  await page.locator('[data-testid=problem][data-code=wrong_password]').waitFor();
  await page.getByLabel('Your password').fill(PASSWORD);
  await page.getByTestId('confirm-sign').click();
  await page.getByTestId('signed-banner').waitFor();
  await page.locator('[data-testid=study-deliveries] [data-transport=accepted]').first().waitFor({ timeout: 60_000 });
  await shot('signed');

  await page.goto(`${BASE}/mailbox`);
  await page.getByTestId('mailbox-note').waitFor();
  await page.getByTestId('mail-item').first().click();
  await page.getByTestId('mail-message').waitFor();
  await shot('mailbox');
  const [report] = await Promise.all([context.waitForEvent('page'), page.getByTestId('mail-link').first().click()]);
  await report.waitForLoadState();
  report.on('pageerror', (error) => problems.push(String(error)));
  assert.match(await report.locator('body').innerText(), /No intracranial haemorrhage/);
  assert.doesNotMatch(await report.locator('body').innerText(), /Brain parenchyma/, 'an unanswered prompt is not signed');
  const picture = report.locator('img[src*="key-images"]').first();
  await picture.scrollIntoViewIfNeeded();
  await until(() => picture.evaluate((image) => image.complete && image.naturalWidth > 100), 'a key image is shown', 20_000);
  await report.screenshot({ path: join(SHOTS, 'physician.png'), fullPage: true });

  await page.goto(`${BASE}/deliveries`);
  const line = page.getByTestId('delivery-row').first();
  await line.waitFor();
  assert.notEqual(await line.getAttribute('data-acknowledged'), 'true', 'opening the page acknowledges nothing');

  await report.getByRole('button', { name: /I have read/ }).click();
  await report.waitForLoadState();
  assert.match(await report.locator('body').innerText(), /confirmed on .* that they have read/);
  await page.locator('[data-testid=delivery-row][data-acknowledged=true]').first().waitFor({ timeout: 20_000 });
  await shot('deliveries');

  await page.goto(`${BASE}/tasks`);
  await page.waitForLoadState('networkidle');
  await shot('tasks');
  assert.deepEqual(problems, [], 'no page broke');
  assert.deepEqual(outside, [], 'no request left this service');
  console.log('journey: done');
} catch (error) {
  await shot('failed').catch(() => {});
  console.error(problems.join('\n'));
  throw error;
} finally {
  await browser.close();
}

async function until(look, what, ms) {
  const end = Date.now() + ms;
  while (!(await look())) {
    if (Date.now() > end) throw new Error(`gave up waiting: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

// A number that changes when the picture does. Read from a screenshot, since a WebGL canvas cannot be read back.
async function fingerprint(canvas) {
  const bytes = await canvas.screenshot();
  let sum = 0;
  for (const byte of bytes) sum = (sum * 31 + byte) >>> 0;
  return sum;
}

// A slice compresses badly; an empty viewport compresses to almost nothing.
async function waitForPicture(canvas, ms) {
  await until(async () => (await canvas.screenshot()).length > 60_000, 'the viewer shows an image', ms);
}
