// Somebody of a centre compares two contents of one image and images of two patients, decides, and takes it back, in Chromium.
// Environment: BASE, LOGIN, PASSWORD, CHROMIUM, PLAYWRIGHT, SHOTS (a folder for pictures).
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { BASE, LOGIN, PASSWORD, CHROMIUM, PLAYWRIGHT, SHOTS } = process.env;

const entry = existsSync(join(PLAYWRIGHT, 'index.mjs')) ? join(PLAYWRIGHT, 'index.mjs') : PLAYWRIGHT;
const { chromium } = await import(pathToFileURL(entry).href);
const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const context = await browser.newContext({ viewport: { width: 1440, height: 1000 }, colorScheme: 'dark' });
const page = await context.newPage();
page.setDefaultTimeout(60_000);
const problems = [];
const outside = [];
page.on('pageerror', (error) => problems.push(String(error)));
context.on('request', (request) => {
  const url = new URL(request.url());
  if (url.protocol.startsWith('http') && url.origin !== BASE) outside.push(url.href);
});
const shot = (name) => page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
const kind = (name) => page.locator(`[data-testid=conflict][data-kind=${name}]`);

async function decide(button, reason) {
  await button.click();
  const dialog = page.getByTestId('decide-dialog');
  await dialog.getByLabel('Why').fill(reason);
  await shot(`conflicts-dialog-${reason.length}`);
  await dialog.locator('button[type=submit]').click();
  await dialog.waitFor({ state: 'detached' });
}

try {
  await page.goto(BASE);
  await page.getByLabel('Login').fill(LOGIN);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('link', { name: 'Conflicts' }).first().click();

  const contents = kind('contents');
  await contents.waitFor();
  await kind('patient').waitFor();
  await shot('conflicts');
  await contents.getByTestId('conflict-compare').click();
  const comparison = contents.getByTestId('comparison');
  await comparison.waitFor();
  for (const picture of await comparison.locator('img').all()) {
    await picture.evaluate((image) => image.decode());
    assert.ok((await picture.evaluate((image) => image.naturalWidth)) > 100, 'a picture is there');
  }
  assert.equal(await comparison.locator('img').count(), 2);
  assert.match(await comparison.innerText(), /Pixels\s+different/);
  await shot('conflicts-compared');
  await decide(comparison.locator('[data-choice=use_second]'), 'The scanner was repaired and sent it again.');
  await contents.waitFor({ state: 'detached' });

  const patient = kind('patient');
  await patient.getByTestId('conflict-compare').click();
  await patient.getByTestId('comparison').waitFor();
  assert.match(await patient.innerText(), /QMNx85rKkkX/);
  await shot('conflicts-patient');
  await decide(patient.locator('[data-choice=other_patient]'), 'Wrong patient on the table.');
  await page.getByTestId('conflicts-empty').waitFor();
  await shot('conflicts-empty');

  await page.getByTestId('conflicts-decided').check();
  await contents.waitFor();
  assert.match(await contents.getByTestId('conflict-decision').innerText(), /The second is used/);
  await contents.getByTestId('conflict-compare').click();
  await contents.getByTestId('conflict-undo').waitFor();
  await shot('conflicts-decided');
  await decide(contents.getByTestId('conflict-undo'), 'It was right after all.');
  await contents.waitFor({ state: 'detached' });
  await page.getByTestId('conflicts-decided').uncheck();
  await contents.waitFor();
  // The address of one study, opened anew, shows the same.
  const study = await page.getByTestId('conflict-study').getAttribute('data-study');
  await page.goto(`${BASE}/conflicts/north/${study}`);
  await contents.waitFor();
  await page.setViewportSize({ width: 900, height: 1000 });
  await contents.getByTestId('conflict-compare').click();
  await contents.getByTestId('comparison').waitFor();
  await shot('conflicts-narrow');
  assert.deepEqual({ problems, outside }, { problems: [], outside: [] });
} catch (error) {
  await shot('conflicts-failed');
  throw error;
} finally {
  await browser.close();
}
