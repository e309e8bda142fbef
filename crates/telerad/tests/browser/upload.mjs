// A technologist sends a disc as a ZIP and a folder of several studies, in Chromium; the network is cut and the server killed meanwhile.
// Environment: BASE, LOGIN, PASSWORD, CHROMIUM, PLAYWRIGHT, FILES (disc.zip, studies/), SHOTS (a folder for pictures). It asks on standard
// output for the server to be killed and started, and is told on standard input when that is done.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const { BASE: SERVER, LOGIN, PASSWORD, CHROMIUM, PLAYWRIGHT, FILES, SHOTS } = process.env;
const PATIENCE_MS = 60_000;
// Slow enough that a cut falls into the middle, fast enough for a test: of one connection, in bytes a second.
const SLOW_FOR_A_DISC = 3_000_000;
const SLOW_FOR_FILES = 250_000;

// The wire between browser and server: it can be slow, and it can be cut. The browser's own way of playing offline lets what is under
// way go through.
const wire = { slow: 0, cut: false, sockets: new Set() };
const proxy = createServer((near) => {
  if (wire.cut) return near.destroy();
  const far = connect(Number(new URL(SERVER).port), '127.0.0.1');
  for (const [one, other] of [[near, far], [far, near]]) {
    wire.sockets.add(one);
    one.on('error', () => other.destroy());
    one.on('close', () => {
      wire.sockets.delete(one);
      other.destroy();
    });
  }
  far.pipe(near);
  near.on('data', (bytes) => {
    far.write(bytes);
    if (!wire.slow) return;
    near.pause();
    setTimeout(() => near.resume(), wire.slow ? (bytes.length * 1000) / wire.slow : 0);
  });
});
await new Promise((done) => proxy.listen(0, '127.0.0.1', done));
const BASE = `http://127.0.0.1:${proxy.address().port}`;
const network = ({ cut = false, slow = 0 }) => {
  Object.assign(wire, { cut, slow });
  if (cut) for (const socket of wire.sockets) socket.destroy();
};

const entry = existsSync(join(PLAYWRIGHT, 'index.mjs')) ? join(PLAYWRIGHT, 'index.mjs') : PLAYWRIGHT;
const { chromium } = await import(pathToFileURL(entry).href);
const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ['--no-sandbox', '--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const context = await browser.newContext({ viewport: { width: 1440, height: 1000 }, colorScheme: 'dark' });
const page = await context.newPage();
page.setDefaultTimeout(PATIENCE_MS);
const problems = [];
const outside = [];
const resumed = [];
page.on('pageerror', (error) => problems.push(String(error)));
context.on('request', (request) => {
  const url = new URL(request.url());
  if (url.protocol.startsWith('http') && url.origin !== BASE) outside.push(url.href);
  if (request.method() === 'PATCH') resumed.push(Number(request.headers()['upload-offset']));
});
const shot = (name) => page.screenshot({ path: join(SHOTS, `upload-${name}.png`), fullPage: true });
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const ask = async (what) => {
  console.log(what);
  await answers.next();
};
const state = (name) => page.locator(`[data-testid=sending][data-state=${name}]`);
try {
  await page.goto(`${BASE}/upload`);
  await page.getByLabel('Login').fill(LOGIN);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByTestId('drop-area').waitFor();
  await page.getByTestId('journeys-empty').waitFor();
  assert.equal(await page.getByRole('link', { name: 'Worklist' }).count(), 0, 'who sends does not read');
  await shot('empty');

  // The disc, as a ZIP; the network goes away in the middle of it.
  network({ slow: SLOW_FOR_A_DISC });
  await page.getByTestId('choose-files').setInputFiles(join(FILES, 'disc.zip'));
  await state('sending').waitFor();
  await until(async () => (await part()) > 0.2, 'a fifth of the ZIP is sent');
  await shot('sending');
  network({ cut: true });
  await state('offline').waitFor();
  const before = await part();
  assert.ok(before > 0.1 && before < 1, `cut at ${before}`);
  await shot('offline');
  network({});
  await state('done').waitFor();
  assert.ok(resumed.some((offset) => offset > 0), `it went on where it stopped, not at the beginning: ${resumed}`);
  const disc = page.getByTestId('batch-study').first();
  assert.equal(await disc.getAttribute('data-stored'), '7');
  assert.match(await page.getByTestId('missing').innerText(), /lists 8 images; 1 is not here/);
  assert.match(await page.getByTestId('missing').innerText(), /IM000003/);
  await shot('disc');
  await page.getByRole('button', { name: 'Close' }).click();

  // A folder of several studies; the page is loaded again in between, then the server is killed.
  network({ slow: SLOW_FOR_FILES });
  await page.getByTestId('choose-folder').setInputFiles(join(FILES, 'studies'));
  await until(async () => Number(await page.evaluate(() => JSON.parse(localStorage.getItem('telerad.sending') ?? '{"sent":""}').sent.split(' ').length)) > 3,
    'some files are sent');
  await shot('folder');
  page.once('dialog', (dialog) => dialog.accept());
  await page.reload();
  await page.getByTestId('upload-resume').waitFor();
  await shot('interrupted');
  await page.getByTestId('choose-folder').setInputFiles(join(FILES, 'studies'));
  await page.getByText(/sent before the page was closed/).waitFor();
  await until(async () => (await part()) > 0.3, 'a third of the folder is sent');
  await ask('kill the server');
  await page.locator('[data-testid=sending]:is([data-state=offline],[data-state=server])').waitFor();
  await shot('server-away');
  await ask('start the server');
  network({});
  await state('done').waitFor();
  const done = await page.locator('main > [data-testid=batch] [data-testid=batch-study]').evaluateAll((rows) => rows.map((row) => [row.dataset.stored, row.dataset.already, row.dataset.done]));
  const images = done.reduce((sum, [stored]) => sum + Number(stored), 0);
  assert.equal(images, 24, JSON.stringify(done));
  assert.ok(done.every(([, , isDone]) => isDone === 'true'), JSON.stringify(done));
  assert.match(await page.getByTestId('refusals').innerText(), /damaged[\s\S]*not a DICOM image[\s\S]*export it from the scanner again/);
  await until(async () => (await page.getByTestId('journey').count()) === 2, 'both studies are listed');
  await page.locator('[data-testid=journey][data-stage=drafted]').first().waitFor();
  await shot('done');

  // By keyboard alone, and in a narrow window.
  await page.getByRole('button', { name: 'Choose a folder' }).focus();
  assert.ok(await page.evaluate(() => document.activeElement?.textContent === 'Choose a folder'));
  await page.getByRole('button', { name: 'Close' }).press('Enter');
  await page.getByTestId('earlier-batch').first().locator('summary').first().press('Enter');
  await page.setViewportSize({ width: 700, height: 900 });
  await shot('narrow');
  await page.setViewportSize({ width: 1440, height: 1000 });

  // A drop, as from a file manager, of the same folder's files: everything is here already.
  await page.evaluate(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(['[autorun]'], 'AUTORUN.INF'));
    window.dispatchEvent(new DragEvent('dragenter', { dataTransfer: transfer, cancelable: true }));
  });
  await page.getByText('Let go to send').waitFor();
  await shot('over');
  await page.evaluate(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(['[autorun]'], 'AUTORUN.INF'));
    window.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, cancelable: true }));
  });
  await page.getByText('There were no images in what you dropped').waitFor();
  await page.getByText('1 file left out').waitFor();
  await shot('no-images');

  assert.deepEqual(problems, [], 'no page broke');
  assert.deepEqual(outside, [], 'no request left this service');
  console.log('upload: done');
} catch (error) {
  await shot('failed').catch(() => {});
  console.error(problems.join('\n'));
  throw error;
} finally {
  await browser.close();
  network({ cut: true });
  proxy.close();
  process.stdin.destroy();
}

async function part() {
  return Number(await page.locator('[data-testid=sending] > progress').getAttribute('value'));
}

async function until(look, what) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await look())) {
    if (Date.now() > end) throw new Error(`gave up waiting: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
