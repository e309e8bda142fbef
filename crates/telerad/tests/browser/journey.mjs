// The journey as a person makes it, in Chromium. Environment: BASE, LOGIN, PASSWORD, CHROMIUM, PLAYWRIGHT, SHOTS (a folder for pictures).
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { BASE, fingerprint, launch, PASSWORD, SHOTS, signIn, until, VIEWER_MS, waitForPicture } from './stage.mjs';

const IMPRESSION = 'No intracranial haemorrhage. No fracture.';

const { browser, context, page, problems, outside, shot } = await launch();

try {
  await signIn(page);

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
