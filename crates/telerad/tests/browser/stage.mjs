// What the browser tests share: Chromium, a signed-in page, and ways to look at pictures.
// Environment: BASE, LOGIN, PASSWORD, CHROMIUM, PLAYWRIGHT, SHOTS (a folder for pictures).
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export const { BASE, LOGIN, PASSWORD, CHROMIUM, PLAYWRIGHT, SHOTS } = process.env;
export const VIEWER_MS = 120_000;

// A browser with one page. `problems` gathers what broke in it, `outside` what it asked of other hosts.
export async function launch() {
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
  return { browser, context, page, problems, outside, shot };
}

export async function signIn(page) {
  await page.goto(BASE);
  await page.getByLabel('Login').fill(LOGIN);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

export async function until(look, what, ms) {
  const end = Date.now() + ms;
  while (!(await look())) {
    if (Date.now() > end) throw new Error(`gave up waiting: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

// A number that changes when the picture does. Read from a screenshot, since a WebGL canvas cannot be read back.
export async function fingerprint(canvas) {
  const bytes = await canvas.screenshot();
  let sum = 0;
  for (const byte of bytes) sum = (sum * 31 + byte) >>> 0;
  return sum;
}

// A slice compresses badly; an empty viewport compresses to almost nothing.
export async function waitForPicture(canvas, ms) {
  await until(async () => (await canvas.screenshot()).length > 60_000, 'the viewer shows an image', ms);
}
